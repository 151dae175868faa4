/** Whether the promises of the design were kept in a story that has ended. Pure but for reading through the view; each sentence is one broken promise. */
import type { Evidence } from './evidence.ts'
import { judgeLeavings } from './leavings.ts'
import { judgeResult } from './results.ts'
import { judgeAllocations, judgeRunners, judgeRuns, judgeTimes } from './runs.ts'

export function judge(evidence: Evidence): readonly string[] {
  return [
    ...evidence.jobs.flatMap((job) => judgeResult(evidence, job)),
    ...evidence.jobs.flatMap((job) => judgeRuns(evidence, job)),
    ...judgeRunners(evidence),
    ...judgeTimes(evidence),
    ...judgeAllocations(evidence),
    ...judgeLeavings(evidence),
    ...(evidence.seen?.partial ?? []).map((path) => `${path} was seen in parts`),
  ]
}
