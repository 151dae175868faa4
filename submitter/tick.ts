/** One pass over the dropbox and all sites. A crash between any two lines loses nothing: the next pass reads the files and goes on. */
import { describeError, HpcError } from '../contract/errors.ts'
import { remember } from '../system/remember.ts'
import { type Accepted, accept } from './accept.ts'
import { giveUpLost, planAudit } from './audit.ts'
import type { Site } from './config.ts'
import { gatewayUuid } from './dropbox.ts'
import { expireJobs } from './expire.ts'
import type { Gateway } from './gateway.ts'
import { type Lock, takeLock, waitForLock } from './lock.ts'
import { markAsked, sitesToAsk, unmarkAsked } from './outstanding.ts'
import { confirmPublished } from './pending.ts'
import type { Session } from './session.ts'
import { passOver, type SiteReport, siteError } from './site-pass.ts'
import { afterFailure, readSiteState, restMs, type SiteState, writeSiteState } from './site-state.ts'
import { findTemplate } from './templates.ts'
import { Turns } from './turns.ts'

export interface TickReport {
  readonly accepted: Accepted | undefined
  readonly sites: readonly SiteReport[]
  readonly errors: readonly HpcError[]
  /** Locks other passes hold: `accept`, `site <name>`, each with who. */
  readonly busy: readonly string[]
}

/** Connections kept between passes by `watch`; a single tick opens its own. */
export type Sessions = (site: Site) => Promise<Session> | undefined

const confirmPatienceMs = 10_000

export async function tick(gateway: Gateway, sessions: Sessions = () => undefined): Promise<TickReport> {
  const uuid = gatewayUuid(gateway)
  const busy: string[] = []
  const accepted = await withLock(gateway, 'accept', busy, (lock) =>
    accept({
      gateway,
      lock,
      uuid,
      turns: new Turns(gateway),
      failingMs: remember((site: string) => readSiteState(gateway, site).failingMs),
      findTemplate: remember((script: string) => findTemplate(gateway, script)),
    }),
  )
  const asked = sitesToAsk(gateway)
  const passes = await Promise.allSettled(asked.map((site) => passOf(gateway, uuid, site, accepted, busy, sessions)))
  const sites = passes.flatMap((pass) => (pass.status === 'fulfilled' && pass.value !== undefined ? [pass.value] : []))
  const errors = passes.flatMap((pass) => (pass.status === 'rejected' ? [pass.reason as HpcError] : []))
  // short work: whoever holds the lock now is soon done, and a job that is not confirmed would be asked for once more
  const lock = sites.length === 0 ? undefined : await waitForLock(gateway, 'accept', confirmPatienceMs)
  if (lock !== undefined) {
    try {
      confirmPublished(gateway, sites)
    } finally {
      await lock.release()
    }
  }
  return { accepted, sites, errors, busy }
}

/** One site's share, under its lock; a failing site is remembered as failing, which is all that happens to its jobs. */
async function passOf(
  gateway: Gateway,
  uuid: string,
  site: Site,
  accepted: Accepted | undefined,
  busy: string[],
  sessions: Sessions,
): Promise<SiteReport | undefined> {
  return withLock(gateway, `site ${site.name}`, busy, async (lock) => {
    const state = readSiteState(gateway, site.name)
    const now = gateway.clock.uptime()
    const jobs = accepted?.toSend.get(site.name) ?? []
    try {
      const rest = restMs(state, now)
      if (rest > 0) {
        throw new HpcError(
          'transient',
          `Not asking site "${site.name}" for ${Math.ceil(rest / 1000)} s: ${state.trouble}`,
        )
      }
      const cancels = accepted?.cancels.filter((request) => request.site === site.name) ?? []
      const doubtful = accepted?.doubtful.filter(({ hpc }) => hpc.site === site.name) ?? []
      const { ids: audit, whole: auditWhole, strays } = planAudit(gateway, site, state, now)
      const work = { site, lock, uuid, jobs, doubtful, cancels, state, audit, auditWhole, strays }
      markAsked(gateway, site.name)
      const report = await passOver(gateway, work, await sessions(site))
      giveUpLost(gateway, lock, report)
      rememberTurns(gateway, report)
      unmarkAsked(gateway, site.name)
      return report
    } catch (error) {
      const known = siteError(site, error)
      if (restMs(state, now) === 0) {
        const after = afterFailure(state, describeError(known), now)
        writeSiteState(gateway, site.name, after)
        const { ended, left } = expireJobs(gateway, lock, site.name, after.failingMs, known.message)
        const streakMs = after.failingMs - (after.failingSinceMs ?? after.failingMs)
        if (left === 0 && (ended > 0 || streakMs > gateway.config.expiryMs)) forgetWorkspace(gateway, site.name, after)
      }
      throw known
    }
  })
}

/** Nothing of ours is left to wait for there: whatever workspace is found next is the one, a wiped one is made anew. */
function forgetWorkspace(gateway: Gateway, site: string, { workspace, ...rest }: SiteState): void {
  if (workspace === undefined) return
  gateway.log.warn(`${site}: all its jobs were given up; its workspace may be made anew`)
  writeSiteState(gateway, site, rest)
}

function rememberTurns(gateway: Gateway, report: SiteReport): void {
  const turns = new Turns(gateway)
  for (const { lane, firstTurn } of report.lanes) turns.served(lane, firstTurn)
  turns.save()
}

/** Overlapping passes share out the work by the locks: what another pass holds is left to it. */
async function withLock<T>(
  gateway: Gateway,
  name: string,
  busy: string[],
  act: (lock: Lock) => Promise<T>,
): Promise<T | undefined> {
  const lock = await takeLock(gateway, name)
  if ('heldBy' in lock) {
    busy.push(`${name}: ${lock.heldBy}`)
    return undefined
  }
  try {
    return await act(lock)
  } finally {
    await lock.release()
  }
}
