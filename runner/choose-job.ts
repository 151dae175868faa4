/** What to do with a job that a runner took: a pure choice over its attempts. And which jobs fit what is left of the walltime. */

import type { Exit } from '../contract/exit-file.ts'
import type { AttemptRecord, JobRecord } from '../contract/spool-records.ts'
import { renderDuration } from '../contract/units.ts'
import { type Attempt, countedExit } from '../spool/attempt.ts'

export type Choice =
  /** It has ended; its key belongs among the done ones. */
  | { readonly do: 'hand-over' }
  | { readonly do: 'finish'; readonly attempt: AttemptRecord; readonly exit: Exit }
  /** Alive in another runner, or begun by one nobody knows to be dead: not ours. */
  | { readonly do: 'drop' }
  /** Its script outlived the runner that started it, on this machine. */
  | { readonly do: 'adopt'; readonly attempt: AttemptRecord }
  | { readonly do: 'abort'; readonly attempt: number; readonly message: string }
  | { readonly do: 'run'; readonly attempt: number; readonly alone: boolean }

export interface JobSight {
  readonly hasResult: boolean
  readonly attempts: readonly Attempt[]
  /** Whether a runner is proven to have ended. */
  readonly hasEnded: (runner: string) => boolean
  /** Whether processes of that attempt still live on this machine. */
  readonly livesHere: (attempt: AttemptRecord) => boolean
}

export function chooseForJob(job: JobRecord, sight: JobSight): Choice {
  if (sight.hasResult) return { do: 'hand-over' }
  const last = sight.attempts.at(-1)
  if (last === undefined) return { do: 'run', attempt: 1, alone: false }
  const exit = countedExit(last)
  if (last.record !== undefined && exit !== undefined) return { do: 'finish', attempt: last.record, exit }
  if (last.record?.fence !== undefined) {
    return { do: 'abort', attempt: last.number + 1, message: 'It was being ended when its end was interrupted' }
  }
  if (last.record !== undefined) {
    if (last.end === undefined && !sight.hasEnded(last.record.runner)) return { do: 'drop' }
    if (sight.livesHere(last.record)) return { do: 'adopt', attempt: last.record }
  }
  const limit = atLimit(job, sight.attempts)
  if (limit !== undefined) return { do: 'abort', attempt: last.number + 1, message: limit }
  return { do: 'run', attempt: last.number + 1, alone: last.end?.cause === 'died-together' }
}

const ownDeaths = ['died-alone', 'walltime']
const sharedDeaths = ['died-together', 'interrupted', 'preempted']

/** The sentence that ends a job which used up its attempts; undefined while it has some left. */
export function atLimit(job: JobRecord, attempts: readonly Attempt[]): string | undefined {
  const count = (causes: readonly string[]) =>
    attempts.filter(({ end }) => end !== undefined && causes.includes(end.cause)).length
  const last = attempts.at(-1)
  const where = `the last on ${last?.record?.node ?? 'an unknown node'} in ${last?.record?.runner ?? 'an unknown allocation'}`
  const own = count(ownDeaths)
  if (own >= job.maxAttempts) {
    return `The job took its allocation down or outlived it ${own} times (max_attempts), ${where}; it is not started again`
  }
  const shared = count(sharedDeaths)
  if (shared >= job.maxInterruptions) {
    return `The job was interrupted ${shared} times (max_interruptions), ${where}; it is not started again`
  }
  return undefined
}

const startUpMs = 10_000

/** A job of known time must fit what remains; one of unknown time is not started inside the margin. */
export function fits(job: Pick<JobRecord, 'timeMs'>, remaining: number, marginMs: number): boolean {
  return job.timeMs === undefined ? remaining > marginMs : remaining > job.timeMs + startUpMs
}

export function tooLong(job: Pick<JobRecord, 'timeMs'>, remaining: number): string {
  const needs = job.timeMs === undefined ? 'an unknown time' : renderDuration(job.timeMs)
  return `needs ${needs}, ${renderDuration(Math.max(0, Math.round(remaining / 1000) * 1000))} are left`
}
