/** What to do with a job that a runner took: a pure choice over its attempts. And which jobs fit what is left of the walltime. */

import type { Exit } from '../contract/exit-file.ts'
import type { AttemptRecord, JobRecord, LaneShape } from '../contract/spool-records.ts'
import { renderDuration } from '../contract/units.ts'
import { type Attempt, interruptions, orphanedExit } from '../spool/attempt.ts'

export type Choice =
  /** It has ended; its key belongs among the done ones. */
  | { readonly do: 'hand-over' }
  | { readonly do: 'finish'; readonly attempt: AttemptRecord; readonly exit: Exit }
  /** Somebody took the number that ends it and died before saying so. */
  | { readonly do: 'finish-fenced'; readonly fence: AttemptRecord }
  /** Alive in another runner, or begun by one nobody knows to be dead: not ours. */
  | { readonly do: 'drop' }
  /** Its script outlived the runner that started it, on this machine. */
  | { readonly do: 'adopt'; readonly attempt: AttemptRecord }
  /** Its script was interrupted and has not gone yet: it is ended, and the choice made again. */
  | { readonly do: 'stop'; readonly attempt: AttemptRecord }
  | { readonly do: 'abort'; readonly attempt: number; readonly message: string; readonly unended: boolean }
  /** `unended`: the attempt before has no end cause yet, and gets one first. */
  | { readonly do: 'run'; readonly attempt: number; readonly alone: boolean; readonly unended: boolean }

export interface JobSight {
  readonly hasResult: boolean
  readonly attempts: readonly Attempt[]
  /** Whether a runner is proven to have ended. */
  readonly hasEnded: (runner: string) => boolean
  /** Whether processes of that attempt still live on this machine. */
  readonly livesHere: (attempt: AttemptRecord) => boolean
}

export function chooseForJob(job: JobRecord, sight: JobSight, laneTimeMs = Number.POSITIVE_INFINITY): Choice {
  if (sight.hasResult) return { do: 'hand-over' }
  const last = sight.attempts.at(-1)
  const next = (last?.number ?? 0) + 1
  const record = last?.record
  const exit = last === undefined ? undefined : orphanedExit(last, job)
  if (record !== undefined && exit !== undefined) return { do: 'finish', attempt: record, exit }
  if (record?.fence !== undefined) return { do: 'finish-fenced', fence: record }
  if (record !== undefined) {
    if (last?.end === undefined && !sight.hasEnded(record.runner)) return { do: 'drop' }
    if (sight.livesHere(record)) {
      return { do: interruptions.has(last?.end?.cause ?? '') ? 'stop' : 'adopt', attempt: record }
    }
  }
  const unended = last !== undefined && last.end === undefined
  const message = atLimit(job, sight.attempts) ?? tooLongForLane(job, laneTimeMs)
  if (message !== undefined) return { do: 'abort', attempt: next, message, unended }
  return { do: 'run', attempt: next, alone: last?.end?.cause === 'died-together', unended }
}

/**
 * As `chooseForJob`, by what `look` sees. A script may end between the look at its exit and the look for its processes, and would be
 * started again: once it is seen to be gone its exit, which its wrapper wrote before, is looked for anew.
 */
export function chooseByLook(job: JobRecord, look: () => JobSight, laneTimeMs?: number): Choice {
  const sight = look()
  const choice = chooseForJob(job, sight, laneTimeMs)
  const isFinal = choice.do !== 'run' && choice.do !== 'abort'
  return isFinal || sight.attempts.length === 0 ? choice : chooseForJob(job, look(), laneTimeMs)
}

const ownDeaths: ReadonlySet<string> = new Set(['died-alone', 'walltime'])
const sharedDeaths: ReadonlySet<string> = new Set(['died-together', 'interrupted', 'preempted'])

/** A script that was started and of which nobody said more has died. */
function causeOf({ record, end }: Attempt): string | undefined {
  if (record === undefined || record.fence !== undefined) return undefined
  return end?.cause ?? 'died-alone'
}

/** The sentence that ends a job without a counted exit which used up its attempts; undefined while it has some left. */
export function atLimit(job: JobRecord, attempts: readonly Attempt[]): string | undefined {
  const causes = attempts.map(causeOf).filter((cause) => cause !== undefined)
  const started = attempts.filter(({ record }) => record !== undefined && record.fence === undefined).at(-1)?.record
  const where = `the last on node ${started?.node || '(unknown)'} in allocation ${started?.runner || '(unknown)'}`
  const own = causes.filter((cause) => ownDeaths.has(cause))
  if (own.length >= job.maxAttempts) {
    const what = own.every((cause) => cause === 'walltime')
      ? 'did not end within the walltime of its allocation'
      : 'died with its allocation or without telling its exit code'
    return `The job ${what} ${times(own.length)} (max_attempts), ${where}; it is not started again`
  }
  const shared = causes.filter((cause) => sharedDeaths.has(cause)).length
  if (shared >= job.maxInterruptions) {
    return `The job was interrupted ${times(shared)} (max_interruptions), ${where}; it is not started again`
  }
  return undefined
}

function times(count: number): string {
  return count === 1 ? 'once' : `${count} times`
}

const startUpMs = 10_000

/**
 * A job of known time must fit what remains; one of unknown time is not started inside the margin. A fresh runner has nearly all of the
 * lane's walltime: what needs just that much is started by it, as no later one has more.
 */
export function fits(
  job: Pick<JobRecord, 'timeMs'>,
  remaining: number,
  lane: Pick<LaneShape, 'timeMs' | 'marginMs'>,
): boolean {
  const needed = job.timeMs === undefined ? lane.marginMs : job.timeMs + startUpMs
  return remaining > Math.min(needed, 0.95 * lane.timeMs)
}

/** No runner of the lane can hold it: submitted before the lane's walltime was shortened, say. */
export function tooLongForLane(job: Pick<JobRecord, 'timeMs'>, laneTimeMs: number): string | undefined {
  if (job.timeMs === undefined || job.timeMs <= laneTimeMs) return undefined
  return `The job needs ${renderDuration(job.timeMs)}, which exceeds the walltime of its lane, ${renderDuration(laneTimeMs)}`
}

export function tooLong(job: Pick<JobRecord, 'timeMs'>, remaining: number): string {
  const needs = job.timeMs === undefined ? 'an unknown time' : renderDuration(job.timeMs)
  return `needs ${needs}, ${renderDuration(Math.max(0, Math.round(remaining / 1000) * 1000))} are left`
}
