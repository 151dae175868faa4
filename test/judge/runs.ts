/** Promises 3, 4 and 7: no start beside or after one whose exit was told, nor after the result; no more runners at work, and no more allocations waiting, than allowed; nothing begun that has no time. */
import type { Evidence, Job, Run } from './evidence.ts'

export function judgeRuns({ view, runs }: Evidence, job: Job): readonly string[] {
  if (runs === undefined) return []
  const mine = runs.filter((run) => run.job === job.name).sort((a, b) => a.startMs - b.startMs)
  if (mine.length === 0 && job.mayNotRun !== true && view.text(`${job.dropbox}/${job.name}.job.finished`) !== undefined)
    return [`${job.name} has a result and was never run`]
  const late = mine.filter(({ afterResult }) => afterResult === true)
  if (late.length > 0) return late.map(({ mark }) => `${mark} was started when ${job.name} had its result`)
  return mine.slice(1).flatMap((next, i) => {
    const run = mine[i] as Run
    if (run.told && run.endMs !== undefined && run.endMs <= next.startMs)
      return [`${job.name} was started again (${next.mark}) after ${run.mark} had told its exit`]
    if (run.endMs !== undefined && run.endMs > next.startMs)
      return [`${job.name} was started again (${next.mark}) while ${run.mark} ran`]
    return []
  })
}

/** At each start: runners of its lane with a script that runs. */
export function judgeRunners({ runs = [], maxRunners = 1 }: Evidence): readonly string[] {
  return runs.flatMap((begun) => {
    if (begun.runner === undefined) return []
    const atWork = new Set(
      runs
        .filter((run) => run.lane === begun.lane && run.startMs <= begun.startMs && (run.endMs ?? 0) > begun.startMs)
        .map(({ runner }) => runner),
    ).add(begun.runner)
    return atWork.size > maxRunners
      ? [
          `${atWork.size} runners at work (${[...atWork].join(', ')}), ${maxRunners} allowed, when ${begun.mark} was started`,
        ]
      : []
  })
}

export function judgeAllocations({ allocations = [], maxRunners = 1 }: Evidence): readonly string[] {
  return allocations.flatMap((one) => {
    const waiting = allocations.filter(
      (other) =>
        other !== one &&
        other.lane === one.lane &&
        other.submittedMs <= one.submittedMs &&
        (other.leftQueueMs ?? Number.POSITIVE_INFINITY) > one.submittedMs,
    ).length
    return waiting >= maxRunners
      ? [`allocation ${one.id} was submitted while ${waiting} waited in ${one.lane}, ${maxRunners} allowed`]
      : []
  })
}

/** Nothing is started that what is left of the walltime is known not to hold. */
export function judgeTimes({ runs = [] }: Evidence): readonly string[] {
  return runs.flatMap(({ mark, leftMs, needsMs }) =>
    leftMs !== undefined && needsMs !== undefined && leftMs < needsMs
      ? [`${mark} was started with ${leftMs / 1000} s left of its allocation, and needs ${needsMs / 1000} s`]
      : [],
  )
}
