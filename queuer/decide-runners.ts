/** Whether a lane needs another runner now: a pure choice. Unknown is not absent: without a certain answer nothing is submitted. */
import type { LaneHealth, ObserverTime } from '../contract/spool-records.ts'
import type { Allocation, Answer } from '../scheduler/scheduler.ts'
import type { BookedEnd } from './decide-cause.ts'

export interface LaneSituation {
  readonly waiting: number
  /** Keys that runners hold. */
  readonly running: number
  readonly maxRunners: number
  /** The scheduler's word on all allocations of the workspace. */
  readonly queue: Answer<readonly Allocation[]>
  /** Native ids of this lane's allocations that still stand for a runner at work or to come. */
  readonly counted: number
  /** Allocations of the workspace in all lanes, and how many the site allows; null is no limit. */
  readonly allocations: number
  readonly allocationLimit: number | null
  /** An earlier submission whose outcome nobody knows yet. */
  readonly unsettled: boolean
  readonly health: LaneHealth | undefined
  /** What is left of the back-off. */
  readonly restMs: number
}

export type RunnerDecision =
  | { readonly action: 'none' }
  | { readonly action: 'submit' }
  | { readonly action: 'waiting' | 'back-off'; readonly why: string }

export function decideRunners(lane: LaneSituation): RunnerDecision {
  if (lane.waiting === 0) return { action: 'none' }
  if (!lane.queue.certain) return { action: 'waiting', why: `the scheduler did not answer: ${lane.queue.why}` }
  // a job that runs keeps its runner busy; only what waits beside it asks for another
  if (lane.counted >= Math.min(lane.maxRunners, lane.waiting + lane.running)) return { action: 'none' }
  if (lane.unsettled) {
    return {
      action: 'waiting',
      why: 'an earlier submission may have gone through; two certain answers a minute apart will tell',
    }
  }
  if (lane.allocationLimit !== null && lane.allocations >= lane.allocationLimit) {
    return { action: 'waiting', why: `the site's limit of ${lane.allocationLimit} allocations is reached` }
  }
  if (lane.restMs > 0) {
    return {
      action: 'back-off',
      why: `${lane.health?.failedStarts} runners in a row failed to start: ${lane.health?.reason}; next try in ${Math.ceil(lane.restMs / 1000)} s`,
    }
  }
  return { action: 'submit' }
}

const toleratedFailures = 3
const firstBackOffMs = 60_000
const longestBackOffMs = 3_600_000

/** Since when one gateway knows of the failure (named by when its finder saw it) that the lane's back-off follows. */
export interface BackOffSight {
  readonly failure: ObserverTime
  readonly since: ObserverTime
}

/** A new failure, or a new boot of the observer, starts the wait anew: times of two clocks are never compared. */
export function lookAtBackOff(before: BackOffSight | undefined, health: LaneHealth, now: ObserverTime): BackOffSight {
  const known =
    before !== undefined &&
    before.failure.ms === health.since.ms &&
    before.failure.bootId === health.since.bootId &&
    before.since.bootId === now.bootId
  return known ? before : { failure: health.since, since: now }
}

export function restOfBackOff(sight: BackOffSight, health: LaneHealth, now: ObserverTime): number {
  return Math.max(0, health.backOffMs - (now.ms - sight.since.ms))
}

export function goodHealth(now: ObserverTime): LaneHealth {
  return { failedStarts: 0, reason: '', since: now, backOffMs: 0, countedIntent: 0 }
}

/** The health of a lane after one more start that went wrong, or (reason undefined) one that went well. */
export function healthAfterStart(
  before: LaneHealth | undefined,
  reason: string | undefined,
  now: ObserverTime,
): LaneHealth {
  if (reason === undefined) return goodHealth(now)
  const failedStarts = (before?.failedStarts ?? 0) + 1
  const over = failedStarts - toleratedFailures
  const backOffMs = over < 0 ? 0 : Math.min(longestBackOffMs, firstBackOffMs * 2 ** over)
  return { ...goodHealth(now), failedStarts, reason, backOffMs }
}

export interface RunnerSight {
  readonly beat: number
  /** Since when the observer saw no beat. */
  readonly since: ObserverTime
  /** Certain answers of the scheduler, one a look, in which it was not there. */
  readonly absences: number
  /** We have cancelled its allocation ourselves, as it was silent. */
  readonly cancelled: boolean
  /** What the scheduler's books told of the end of its allocation while they kept it: they forget within minutes. */
  readonly ended?: BookedEnd
}

const stillMs = 300_000
const silentMs = 900_000

/** What one more look at a runner's heartbeat adds: dead only when absent twice and still for 300 s, silent when there but mute for 15 min. */
export function lookAtRunner(
  before: RunnerSight | undefined,
  beat: number,
  live: boolean | undefined,
  now: ObserverTime,
): { readonly sight: RunnerSight; readonly verdict: 'alive' | 'dead' | 'silent' } {
  const moved = before === undefined || before.beat !== beat || before.since.bootId !== now.bootId
  const since = moved ? now : before.since
  const absences = live === undefined ? (before?.absences ?? 0) : live ? 0 : (before?.absences ?? 0) + 1
  const sight = { beat, since, absences, cancelled: before?.cancelled ?? false }
  const still = now.ms - since.ms
  if (absences >= 2 && still >= stillMs) return { sight, verdict: 'dead' }
  if (live === true && still >= silentMs && !sight.cancelled)
    return { sight: { ...sight, cancelled: true }, verdict: 'silent' }
  return { sight, verdict: 'alive' }
}
