/**
 * Ending a script of another node: TERM, a grace, KILL to its step, by name, then whatever is left of srun here. srun itself is not sent
 * TERM before that: it would end its step by KILL at once; and killed, it could end nothing.
 */
import { markName } from '../contract/job-mark.ts'
import { readSteps, signalStepsCommand, stepsCommand } from '../scheduler/slurm-steps.ts'
import type { Clock } from '../system/clock.ts'
import { processesMarked, runCommand } from '../system/process.ts'
import { stopProcesses } from './stop-processes.ts'

const askMs = 15_000
const pollMs = 200
const killMs = 5_000

/** Undefined when nobody could tell. */
async function stepsOf(nativeId: string, mark: string): Promise<string[] | undefined> {
  return readSteps(await runCommand(stepsCommand(nativeId), askMs), mark)
}

/** True when nothing of the job lives any more: neither its step nor, here, its srun. */
export async function stopStep(
  clock: Clock,
  nativeId: string,
  mark: string,
  graceMs: number,
  over: () => boolean = () => true,
): Promise<boolean> {
  let ids: string[] | undefined
  for (const [signal, ms] of [
    ['TERM', graceMs],
    ['KILL', killMs],
  ] as const) {
    const untilMs = clock.monotonicMs() + ms
    let told = false
    do {
      const isHere = !over() || processesMarked(markName, mark).length > 0
      if (!told || !isHere) {
        ids = await stepsOf(nativeId, mark)
        if (ids?.length === 0 && !isHere) return true
      }
      if (!told && ids !== undefined && ids.length > 0) {
        await runCommand(signalStepsCommand(ids, signal), askMs)
        told = true
      }
      await clock.sleep(pollMs)
    } while (clock.monotonicMs() < untilMs)
  }
  const isOver = await stopProcesses(clock, mark, killMs, undefined, over)
  return isOver && ids?.length === 0
}
