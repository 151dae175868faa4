/** Ending a script and everything it started, whatever session it moved to: TERM, a grace, KILL, by the mark in the environment. */
import { markName } from '../contract/job-mark.ts'
import type { Clock } from '../system/clock.ts'
import { commandLine, processesMarked, signal } from '../system/process.ts'

const pollMs = 50
/** Rounds of KILL in which the wrapper is spared: when all else is gone it writes the exit and ends by itself. */
const sparingRounds = 20

/** The name of the wrapper in its own command line. */
export const wrapperName = 'hpc-job'

/** True when nothing that carries the mark lives any more. */
export async function stopProcesses(clock: Clock, mark: string, graceMs: number): Promise<boolean> {
  for (const pid of processesMarked(markName, mark)) signal(pid, 'SIGTERM')
  for (let waited = 0; waited < graceMs; waited += pollMs) {
    if (processesMarked(markName, mark).length === 0) return true
    await clock.sleep(pollMs)
  }
  for (let round = 0; round < 2 * sparingRounds; round++) {
    const left = processesMarked(markName, mark)
    if (left.length === 0) return true
    for (const pid of left) if (round > sparingRounds || commandLine(pid)[3] !== wrapperName) signal(pid, 'SIGKILL')
    await clock.sleep(pollMs)
  }
  return processesMarked(markName, mark).length === 0
}
