/** Seeing a started script through: its time, a request to cancel it, its exit, what it left behind, its result. */
import { describeError } from '../contract/errors.ts'
import { type Exit, hasBegun, parseExitFile } from '../contract/exit-file.ts'
import { jobMark, markName } from '../contract/job-mark.ts'
import type { AttemptRecord, EndCause } from '../contract/spool-records.ts'
import { exitPath, isLatestAttempt, launcherLives, readAttempts } from '../spool/attempt.ts'
import { type Ended, overtime, readCancel } from '../spool/ended-by-us.ts'
import { finishAttempt } from '../spool/finish.ts'
import { groupLives, processesMarked, signal } from '../system/process.ts'
import { isMachineTrouble } from '../system/trouble.ts'
import { abort } from './abort-job.ts'
import { type Claimed, dropKey, handOver, returnToQueue } from './claim.ts'
import { PeakMemory } from './peak-memory.ts'
import { recordEnd } from './prepare-job.ts'
import type { Runner } from './runner.ts'
import { stopProcesses, stopUntold } from './stop-processes.ts'
import { stopStep } from './stop-step.ts'

const graceMs = 10_000
/** After the scheduler's TERM there are seconds: KillWait is 30 by default and less at some sites. */
const hurriedGraceMs = 3_000
const watchMs = 500
const settleMs = 250
/** A walk over all processes is little beside a script that ran so long. */
const worthAWalkMs = 200

export interface RunningJob {
  readonly claimed: Claimed
  readonly attempt: AttemptRecord
  /** The script and all it left behind are gone: its slot can have the next job, while the result of this one is made. */
  readonly vacated: Promise<void>
  /** Rejects only with what the next job would meet too. */
  readonly ended: Promise<void>
  /** Ends the script; it goes back to the queue. */
  interrupt(cause: EndCause): void
  /** Ends the script and records nothing: another runner has our seat. */
  abandon(): void
}

export interface Script {
  readonly ended: Promise<unknown>
  /** When it is ours. */
  readonly launcher: { readonly pid: number; readonly session: number } | undefined
  /** It had done so for others before. */
  readonly hasServed: boolean
  /** On another node of the allocation, as a step. */
  readonly isFar: boolean
}

export function attend(runner: Runner, claimed: Claimed, attempt: AttemptRecord, script: Script): RunningJob {
  const attended = new AttendedJob(runner, claimed, attempt, script)
  return {
    claimed,
    attempt,
    vacated: attended.vacated,
    ended: attended.seeThrough(),
    interrupt: (cause) => attended.interrupt(cause),
    abandon: () => attended.abandon(),
  }
}

class AttendedJob {
  readonly #runner: Runner
  readonly #claimed: Claimed
  readonly #attempt: AttemptRecord
  readonly #script: Script
  readonly #memory: PeakMemory
  readonly #mark: string
  #over = false
  #interruptedBy: EndCause | undefined
  #abandoned = false
  #endedByUs: Ended | undefined
  #stopping: Promise<unknown> | undefined
  #vacate: () => void = () => undefined
  readonly vacated: Promise<void>

  constructor(runner: Runner, claimed: Claimed, attempt: AttemptRecord, script: Script) {
    this.#runner = runner
    this.#claimed = claimed
    this.#attempt = attempt
    this.#script = script
    this.#mark = jobMark(claimed.id, attempt.attempt)
    this.#memory = new PeakMemory(this.#mark)
    this.vacated = new Promise((resolve) => {
      this.#vacate = resolve
    })
  }

  async seeThrough(): Promise<void> {
    void this.#watch()
    await this.#script.ended
    this.#over = true
    await this.#stopping
    try {
      if (!this.#abandoned) await this.#conclude()
    } catch (error) {
      if (isMachineTrouble(error)) throw error
      this.#giveUp(error)
    } finally {
      this.#vacate()
    }
  }

  interrupt(cause: EndCause): void {
    if (this.#interruptedBy !== undefined || this.#exit() !== undefined || this.#over) return
    this.#interruptedBy = cause
    try {
      recordEnd(this.#runner, this.#claimed.id, this.#attempt.attempt, cause)
      this.#stop(hurriedGraceMs)
    } catch (error) {
      this.#runner.log.warn(`cannot record that ${this.#claimed.id} was interrupted: ${describeError(error)}`)
      this.#stopUntold()
    }
  }

  abandon(): void {
    this.#abandoned = true
    if (!this.#over) this.#stopUntold()
  }

  /** A counted exit would make our killing look like the script's own end. */
  #stopUntold(): void {
    if (this.#script.isFar) {
      const launcher = this.#launcher()
      if (launcher !== undefined) signal(launcher, 'SIGKILL')
      this.#stopping = stopStep(this.#runner.clock, this.#runner.nativeId, this.#mark, hurriedGraceMs)
      return
    }
    this.#stopping = stopUntold(this.#runner.clock, this.#mark, hurriedGraceMs, this.#launcher(), this.#session)
  }

  #stop(grace: number): void {
    const over = () => this.#over
    if (this.#script.isFar) {
      this.#stopping = stopStep(this.#runner.clock, this.#runner.nativeId, this.#mark, grace, over)
      return
    }
    this.#stopping = stopProcesses(this.#runner.clock, this.#mark, grace, this.#session, over)
  }

  get #session(): number | undefined {
    return this.#script.launcher?.session
  }

  /** Ours, or that of an adopted script while it lives. */
  #launcher(): number | undefined {
    if (this.#script.launcher !== undefined) return this.#script.launcher.pid
    return launcherLives(this.#attempt, this.#runner.bootId) ? this.#attempt.launcher?.pid : undefined
  }

  #exit(): Exit | undefined {
    return parseExitFile(this.#exitText())
  }

  #exitText(): string | undefined {
    const { files, spool } = this.#runner
    return files.readText(exitPath(spool.control(this.#claimed.id), this.#attempt))
  }

  /** How long the script has run, whoever started it: an adopted one keeps its time. */
  #ranMs(): number {
    return this.#runner.clock.uptime().ms - this.#attempt.uptimeMs
  }

  async #watch(): Promise<void> {
    const { clock, log } = this.#runner
    for (;;) {
      await clock.within(watchMs, this.#script.ended)
      if (this.#over || this.#endedByUs !== undefined) return
      try {
        this.#endedByUs = this.#mustEnd()
        // of a far one only srun is here
        if (!this.#script.isFar) this.#memory.sample(this.#ranMs())
      } catch (error) {
        log.warn(`cannot look after ${this.#claimed.id}: ${describeError(error)}`)
      }
      if (this.#endedByUs !== undefined && this.#interruptedBy === undefined) this.#stop(graceMs)
    }
  }

  #mustEnd(): Ended | undefined {
    const { job, id } = this.#claimed
    const { files, spool } = this.#runner
    return readCancel(files, spool.control(id)) ?? overtime(job, this.#ranMs())
  }

  async #conclude(): Promise<void> {
    const { files, spool, clock, leftovers } = this.#runner
    const { job, id } = this.#claimed
    const { attempt } = this.#attempt
    const exit = this.#exit()
    // the scheduler's TERM may reach the script a moment before it reaches us
    if (exit === undefined || exit.rc < 0 || exit.rc > 128) await clock.sleep(settleMs)
    if (this.#abandoned) return
    if (this.#mayBeInterrupted(exit)) {
      this.#interruptedBy = 'interrupted'
      recordEnd(this.#runner, id, attempt, 'interrupted')
    }
    await this.#endLeftovers(exit)
    if (this.#abandoned) return
    if (this.#interruptedBy !== undefined) return returnToQueue(this.#runner, this.#claimed)
    const control = spool.control(id)
    if (exit === undefined) {
      if (!isLatestAttempt(files, control, attempt)) return dropKey(this.#runner, this.#claimed)
      if (this.#endedByUs !== undefined) return abort(this.#runner, this.#claimed, attempt + 1, this.#endedByUs)
      recordEnd(this.#runner, id, attempt, this.#wasNeverBegun() ? 'never-started' : 'died-alone')
      return returnToQueue(this.#runner, this.#claimed)
    }
    // an attempt with an exit is finished, whoever finds it: nothing is lost when the next script starts before this result is written
    this.#vacate()
    await new Promise((resolve) => setImmediate(resolve))
    if (this.#abandoned) return
    const attempts = readAttempts(files, control, { record: this.#attempt, exit })
    if (attempts.at(-1)?.number !== attempt) return dropKey(this.#runner, this.#claimed)
    const { bytes } = this.#memory
    await finishAttempt(files, spool, job, this.#attempt, exit, this.#runner.uuid(), this.#endedByUs, bytes, attempts)
    handOver(this.#runner, this.#claimed)
    leftovers.add(this.#mark)
  }

  /**
   * Its launcher, which had served others, died before it: all who could have started it are gone, and none said that it did. A launcher
   * that serves nobody may be this job's own doing.
   */
  #wasNeverBegun(): boolean {
    return this.#script.hasServed && !hasBegun(this.#exitText())
  }

  /** A script that failed after the scheduler's signal came tells of the signal. */
  #mayBeInterrupted(exit: Exit | undefined): boolean {
    if (this.#interruptedBy !== undefined || this.#endedByUs !== undefined) return false
    return this.#runner.stopping() === 'terminated' && exit?.rc !== 0
  }

  /** What goes on writing after the script's end is ended before the outputs are read; of a short script, only when it shows at once. */
  async #endLeftovers(exit: Exit | undefined): Promise<void> {
    const { clock, nativeId } = this.#runner
    if (this.#script.isFar) {
      // of a step that told its end Slurm sees to the rest; an srun that died has left it running
      if (exit === undefined) await stopStep(clock, nativeId, this.#mark, hurriedGraceMs)
      return
    }
    const session = this.#session
    const group = exit?.group
    const suspicious = exit === undefined || this.#interruptedBy !== undefined || this.#endedByUs !== undefined
    const ranMs = exit === undefined ? 0 : exit.endUptimeMs - exit.startUptimeMs
    const shows = group === undefined || groupLives(group) || ranMs > worthAWalkMs
    if (!suspicious && !(shows && processesMarked(markName, this.#mark, session).length > 0)) return
    await stopProcesses(clock, this.#mark, hurriedGraceMs, session)
  }

  /** The end of this job cannot be recorded, for a reason of its own: it is ended under a fence, or left to the next look at its key. */
  #giveUp(error: unknown): void {
    const why = `The end of the job could not be recorded: ${describeError(error)}`
    this.#runner.log.warn(`${this.#claimed.id}: ${why}`)
    try {
      abort(this.#runner, this.#claimed, this.#attempt.attempt + 1, { state: 'aborted', message: why })
    } catch {
      returnToQueue(this.#runner, this.#claimed)
    }
  }
}
