/** What is remembered of a site between passes: its workspace, how long it has been failing, and what the last look showed, for `status`. */
import type { LaneReport, ObserverTime } from '../contract/spool-records.ts'
import { type Gateway, statePaths } from './gateway.ts'

export interface SiteState {
  readonly workspace?: string
  /** The sum of failing time: each failed try adds the time since the last try, at most ten minutes. */
  readonly failingMs: number
  readonly failures: number
  /** What `failingMs` was when the failures in a row began. */
  readonly failingSinceMs?: number
  readonly trouble?: string
  readonly lastTry?: ObserverTime
  readonly lastContact?: string
  readonly lanes?: readonly LaneReport[]
  readonly host?: string
  readonly generation?: number
  readonly lastAudit?: ObserverTime
  /** The last name that an audit under way has come to. */
  readonly auditedTo?: string
  /** The last name that was looked at for its expiry, where that takes several failed passes. */
  readonly expiredTo?: string
}

const longestStepMs = 600_000
const patientFailures = 5

export function readSiteState(gateway: Gateway, site: string): SiteState {
  return gateway.files.readJson<SiteState>(statePaths(gateway.config.state).site(site)) ?? { failingMs: 0, failures: 0 }
}

export function writeSiteState(gateway: Gateway, site: string, state: SiteState): void {
  gateway.files.makeFolder(statePaths(gateway.config.state).sites)
  gateway.files.replace(statePaths(gateway.config.state).site(site), `${JSON.stringify(state)}\n`)
}

/** A pure step: what one more failed try adds. */
export function afterFailure(before: SiteState, trouble: string, now: ObserverTime): SiteState {
  const since =
    before.lastTry !== undefined && before.lastTry.bootId === now.bootId ? now.ms - before.lastTry.ms : 60_000
  const step = before.failures === 0 ? 0 : Math.min(longestStepMs, Math.max(0, since))
  const failingSinceMs = before.failures === 0 ? before.failingMs : (before.failingSinceMs ?? before.failingMs)
  const failingMs = before.failingMs + step
  return { ...before, failingMs, failures: before.failures + 1, failingSinceMs, trouble, lastTry: now }
}

/** A site that failed again and again is asked less often: after five failures in a row 1, 2, 4 … up to 10 minutes apart. */
export function restMs(state: SiteState, now: ObserverTime): number {
  if (state.failures < patientFailures || state.lastTry === undefined || state.lastTry.bootId !== now.bootId) return 0
  const pause = Math.min(longestStepMs, 30_000 * 2 ** (state.failures - patientFailures))
  return Math.max(0, pause - (now.ms - state.lastTry.ms))
}
