/** Ending a script and everything it started, whatever session it moved to: TERM, a grace, KILL, by the mark in the environment. */
import { basename } from 'node:path'
import { markName } from '../contract/job-mark.ts'
import { launcherFile } from '../contract/launcher.ts'
import type { Clock } from '../system/clock.ts'
import { commandLine, processesCarrying, processesMarked, signal } from '../system/process.ts'

const pollMs = 50
/** Rounds of KILL in which the wrapper is spared: when all else is gone it writes the exit and ends by itself. */
const sparingRounds = 20

/** A runner of an earlier version had a shell of this kind for each script, which carries the mark. */
function isWrapper(pid: number): boolean {
  return basename(commandLine(pid)[1] ?? '').startsWith(launcherFile)
}

/**
 * True when nothing of the job lives any more. `session` is its launcher's, when we started it; a script that the launcher was told of
 * a moment ago, and has not started yet, is not `over`.
 */
export async function stopProcesses(
  clock: Clock,
  mark: string,
  graceMs: number,
  session?: number,
  over: () => boolean = () => true,
): Promise<boolean> {
  const left = () => processesMarked(markName, mark, session)
  let told = false
  for (let waited = 0; waited < graceMs; waited += pollMs) {
    const pids = left()
    if (pids.length === 0 && over()) return true
    if (!told) for (const pid of pids) signal(pid, 'SIGTERM')
    told ||= pids.length > 0
    await clock.sleep(pollMs)
  }
  for (let round = 0; round < 2 * sparingRounds; round++) {
    const pids = left()
    if (pids.length === 0 && over()) return true
    for (const pid of pids) if (round > sparingRounds || !isWrapper(pid)) signal(pid, 'SIGKILL')
    await clock.sleep(pollMs)
  }
  return left().length === 0
}

/** Ends the launcher before its script, so that no exit is written: the script's end is to count for nothing. */
export function stopUntold(
  clock: Clock,
  mark: string,
  graceMs: number,
  launcher?: number,
  session?: number,
): Promise<boolean> {
  if (launcher !== undefined) signal(launcher, 'SIGKILL')
  for (const pid of processesMarked(markName, mark, session)) if (isWrapper(pid)) signal(pid, 'SIGKILL')
  return stopProcesses(clock, mark, graceMs, session)
}

const sweepMs = 1_000

/**
 * What short jobs may have left behind in sessions of their own. A walk over all processes costs more than such a job itself, so one walk
 * a second looks for the leavings of all that ended since.
 */
export class Leftovers {
  readonly #clock: Clock
  readonly #graceMs: number
  #ended: string[] = []
  #timer: NodeJS.Timeout | undefined
  #sweeping: Promise<void> = Promise.resolve()

  constructor(clock: Clock, graceMs: number) {
    this.#clock = clock
    this.#graceMs = graceMs
  }

  add(mark: string): void {
    this.#ended.push(mark)
    this.#timer ??= setTimeout(() => this.#sweep(), sweepMs).unref()
  }

  #sweep(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    const marks = this.#ended
    this.#ended = []
    if (marks.length === 0) return
    const found = [...processesCarrying(markName, marks)].filter(([, pids]) => pids.length > 0)
    const before = this.#sweeping
    this.#sweeping = Promise.all([
      before,
      ...found.map(([mark]) => stopProcesses(this.#clock, mark, this.#graceMs)),
    ]).then(() => undefined)
  }

  /** Before the runner leaves: nothing of its jobs stays behind. */
  async end(): Promise<void> {
    this.#sweep()
    await this.#sweeping
  }
}
