/** One site's turn in a pass, under its lock: what there is to do, the pass itself, and what a failure means for its jobs. */
import { describeError, HpcError } from '../contract/errors.ts'
import type { Arrivals } from './arrivals.ts'
import { giveUpLost, planAudit } from './audit.ts'
import type { Site } from './config.ts'
import { expireJobs } from './expire.ts'
import type { Gateway } from './gateway.ts'
import { withLock } from './lock.ts'
import { markAsked, unmarkAsked } from './outstanding.ts'
import type { Session } from './session.ts'
import { passOver, type SiteReport, siteError } from './site-pass.ts'
import { afterFailure, readSiteState, restMs, type SiteState, writeSiteState } from './site-state.ts'
import { Turns } from './turns.ts'

/** Connections kept between passes by `watch`; a single tick opens its own. */
export type Sessions = (site: Site) => Promise<Session> | undefined

/** One site's share, under its lock; a failing site is remembered as failing, which is all that happens to its jobs. */
export async function attendSite(
  gateway: Gateway,
  uuid: string,
  site: Site,
  arrivals: Arrivals,
  busy: string[],
  sessions: Sessions,
): Promise<SiteReport | undefined> {
  return withLock(gateway, `site ${site.name}`, busy, async (lock) => {
    const state = readSiteState(gateway, site.name)
    const now = gateway.clock.uptime()
    try {
      const rest = restMs(state, now)
      if (rest > 0) {
        throw new HpcError(
          'transient',
          `Not asking site "${site.name}" for ${Math.ceil(rest / 1000)} s: ${state.trouble}`,
        )
      }
      const { ids: audit, whole: auditWhole, strays } = planAudit(gateway, site, state, now)
      const work = { site, lock, uuid, arrivals, state, audit, auditWhole, strays }
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
