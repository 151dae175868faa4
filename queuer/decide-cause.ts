/**
 * Why the attempts of a dead runner ended, by what the scheduler's books told of its allocation: a pure choice. Books that are silent, or
 * have forgotten, prove nothing: then the job may have brought its runner down, and that is counted against it.
 */
import type { AllocationEnd, EndCause, RunnerEnd } from '../contract/spool-records.ts'
import type { RunnerSight } from './decide-runners.ts'

/** A requeue is another start of the same allocation: how that one ends says nothing of the start before it. */
export type BookedEnd = AllocationEnd | 'requeued'

/** What one more look at the books adds: the first they tell of this start of the allocation is what ended it. */
export function rememberEnd(
  before: BookedEnd | undefined,
  requeued: boolean,
  told: AllocationEnd | undefined,
): BookedEnd | undefined {
  return before ?? (requeued ? 'requeued' : told)
}

/** What ended a dead runner's allocation, by all who looked. One that we cancelled ourselves, as it was silent, was dead before that. */
export function decideEnd(sights: readonly Pick<RunnerSight, 'ended' | 'cancelled'>[]): AllocationEnd | undefined {
  const ends = new Set(sights.map(({ ended }) => ended).filter((ended) => ended !== undefined))
  if (ends.has('requeued')) return undefined
  if (sights.some(({ cancelled }) => cancelled)) ends.delete('cancelled')
  const [end, ...more] = ends
  return end === 'requeued' || more.length > 0 ? undefined : end
}

const causes: ReadonlyMap<string | undefined, EndCause> = new Map<AllocationEnd, EndCause>([
  ['cancelled', 'interrupted'],
  ['preempted', 'preempted'],
  ['walltime', 'walltime'],
])

/** The cause of an attempt that its runner, which has ended, left open beside `together - 1` others. */
export function decideCause(end: Pick<RunnerEnd, 'how' | 'allocation'>, together: number): EndCause {
  if (end.how === 'walltime') return 'walltime'
  if (end.how !== 'dead') return 'interrupted'
  return causes.get(end.allocation) ?? (together > 1 ? 'died-together' : 'died-alone')
}
