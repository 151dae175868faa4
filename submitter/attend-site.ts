/** One site's turn in a pass, under its lock: what there is to do, the pass itself, and what a failure means for its jobs. */
import { describeError, HpcError } from '../contract/errors.ts'
import type { Arrivals } from './arrivals.ts'
import { giveUpLost, planAudit } from './audit.ts'
import type { Site } from './config.ts'
import { endCancelledHere } from './end-cancelled.ts'
import { expireJobs } from './expire.ts'
import type { Gateway } from './gateway.ts'
import { type Lock, withLock } from './lock.ts'
import { markAsked, unmarkAsked } from './outstanding.ts'
import { Session } from './session.ts'
import { passOver, type SiteReport, siteError } from './site-pass.ts'
import { afterFailure, readSiteState, restMs, type SiteState, writeSiteState } from './site-state.ts'
import { Turns } from './turns.ts'

/** Connections kept between passes by `watch`; a single tick opens its own. */
export type Sessions = (site: Site) => Promise<Session> | undefined

/** A pass, as the sites it attends share it. */
export interface Pass {
  readonly gateway: Gateway
  readonly uuid: string
  readonly arrivals: Arrivals
  /** The sites that are to be asked; known when accepting has begun, while they may be attended before. */
  readonly asked: Promise<readonly Site[]>
  /** Locks that others hold. */
  readonly busy: string[]
  readonly sessions: Sessions
}

/**
 * One site's share, under its lock; a failing site is remembered as failing, which is all that happens to its jobs. `begun` is called when
 * there is nothing to do for it at first but wait.
 */
export async function attendSite(pass: Pass, site: Site, begun: () => void): Promise<SiteReport | undefined> {
  const { gateway, uuid, arrivals, asked, busy, sessions } = pass
  return withLock(gateway, `site ${site.name}`, busy, async (lock) => {
    const state = readSiteState(gateway, site.name)
    const now = gateway.clock.uptime()
    const rest = restMs(state, now)
    const line = new Line(gateway, site, state, sessions)
    // a site we have never seen is not entered before a job is accepted for it
    if (rest === 0 && state.workspace !== undefined) line.begin(begun)
    else begun()
    try {
      if (!(await asked).includes(site)) return undefined
      if (rest > 0) {
        throw new HpcError(
          'transient',
          `Not asking site "${site.name}" for ${Math.ceil(rest / 1000)} s: ${state.trouble}`,
        )
      }
      const work = { site, lock, uuid, arrivals, state, audit: planAudit(gateway, site, state, now) }
      markAsked(gateway, site.name)
      const report = await passOver(gateway, work, await line.begin())
      giveUpLost(gateway, lock, report)
      rememberTurns(gateway, report)
      unmarkAsked(gateway, site.name)
      return report
    } catch (error) {
      const known = siteError(site, error)
      // what is still being accepted counts among what it has left
      await arrivals.all
      if (rest === 0) {
        const after = afterFailure(state, describeError(known), now)
        writeSiteState(gateway, site.name, after)
        const { ended, left, whole } = expireJobs(gateway, lock, site.name, after, known.message)
        const streakMs = after.failingMs - (after.failingSinceMs ?? after.failingMs)
        if (whole && left === 0 && (ended > 0 || streakMs > gateway.config.expiryMs))
          forgetWorkspace(gateway, site.name, after)
      }
      await endUnsent(gateway, lock, site.name, arrivals)
      throw known
    } finally {
      await line.end()
    }
  })
}

/** Nobody can say now whether these had been sent, and their owners need not wait for it. */
async function endUnsent(gateway: Gateway, lock: Lock, site: string, arrivals: Arrivals): Promise<void> {
  const accepted = await arrivals.all
  for (const request of accepted?.cancels ?? []) {
    if (request.site !== site || request.unsure !== true) continue
    const message = `The job was cancelled; its site "${site}" does not answer and is to be told, as it may have been sent`
    endCancelledHere(gateway, lock, request, { message, told: false })
  }
}

/** The session of one pass: one that is kept, or our own, which ends with the pass. */
class Line {
  readonly #open: (begun?: () => void) => Promise<Session>
  readonly #kept: () => Promise<Session> | undefined
  #session: Promise<Session> | undefined
  #opened: Session | undefined
  #own = false

  constructor(gateway: Gateway, site: Site, state: SiteState, sessions: Sessions) {
    this.#kept = () => sessions(site)
    this.#open = (begun) => Session.open(gateway, site, state.workspace !== undefined, begun)
  }

  begin(begun?: () => void): Promise<Session> {
    if (this.#session === undefined) {
      const kept = this.#kept()
      this.#own = kept === undefined
      if (kept !== undefined) begun?.()
      this.#session = kept ?? this.#open(begun)
      const note = (session: Session) => {
        this.#opened = session
      }
      // whoever needs it awaits it; it may turn out that nobody does
      this.#session.then(note).catch(() => undefined)
    }
    return this.#session
  }

  /** One that nobody needed in the end, and that is still being opened, is ended when it is there: its lock is not held for that. */
  async end(): Promise<void> {
    if (!this.#own || this.#session === undefined) return
    if (this.#opened !== undefined) await this.#opened.close()
    else void this.#session.then((session) => session.close()).catch(() => undefined)
  }
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
