/** The jobs at work in this allocation, side by side in `slots` places. */
import { jobMark, markName } from '../contract/job-mark.ts'
import { laneOfRunner } from '../contract/spool.ts'
import type { EndCause, JobRecord } from '../contract/spool-records.ts'
import { readAttempts, readResult } from '../spool/attempt.ts'
import { finishAttempt } from '../spool/finish.ts'
import { runnerEnd } from '../spool/seat.ts'
import { processesMarked } from '../system/process.ts'
import { type Choice, chooseForJob } from './choose-job.ts'
import { type Claimed, dropKey, handOver, type Queue } from './claim.ts'
import type { Heartbeat } from './heartbeat.ts'
import { abort, adoptJob, type RunningJob, startJob } from './run-job.ts'
import type { Runner } from './runner.ts'

export class Slots {
  readonly #runner: Runner
  readonly #heartbeat: Heartbeat
  readonly #running = new Map<number, RunningJob>()
  readonly #count: number
  /** A suspect, whose last attempt died together with others, runs with nothing beside it. */
  #alone = false
  /** What went wrong with a job's files, not with a job: the runner cannot go on. */
  #fault: unknown
  #suspect: { claimed: Claimed; attempt: number } | undefined

  constructor(runner: Runner, heartbeat: Heartbeat, count: number) {
    this.#runner = runner
    this.#heartbeat = heartbeat
    this.#count = count
  }

  get busy(): boolean {
    return this.#running.size > 0 || this.#suspect !== undefined
  }

  get free(): boolean {
    return this.#running.size < this.#count && !this.#alone && this.#suspect === undefined
  }

  /** Claims and starts one job. False when the queue has none for us; true also when the claimed one needed no start. */
  async startNext(queue: Queue): Promise<boolean> {
    const claimed = queue.claim()
    if (claimed === undefined) return false
    await this.#carryOut(claimed, this.#choose(claimed.job))
    return true
  }

  #choose(job: JobRecord): Choice {
    const { files, spool } = this.#runner
    const control = spool.control(job.id)
    return chooseForJob(job, {
      hasResult: readResult(files, control) !== undefined,
      attempts: readAttempts(files, control),
      hasEnded: (runner) => runnerEnd(files, spool.lane(laneOfRunner(runner)), runner) !== undefined,
      livesHere: (attempt) =>
        attempt.bootId === this.#runner.bootId &&
        processesMarked(markName, jobMark(job.id, attempt.attempt)).length > 0,
    })
  }

  async #carryOut(claimed: Claimed, choice: Choice): Promise<void> {
    const { files, spool, log } = this.#runner
    switch (choice.do) {
      case 'hand-over':
        return handOver(this.#runner, claimed)
      case 'drop':
        log.info(`${claimed.id} is alive in another runner: left to it`)
        return dropKey(this.#runner, claimed)
      case 'finish':
        await finishAttempt(files, spool, claimed.job, choice.attempt, choice.exit, this.#runner.uuid())
        return handOver(this.#runner, claimed)
      case 'abort':
        return abort(this.#runner, claimed, choice.attempt, { state: 'aborted', message: choice.message })
      case 'adopt':
        return this.#attend(adoptJob(this.#runner, claimed, choice.attempt), this.#freeSlot())
      case 'run': {
        const cancel = files.readJson<{ cause: 'cancelled' | 'aborted'; why: string }>(spool.control(claimed.id).cancel)
        if (cancel !== undefined) {
          return abort(this.#runner, claimed, choice.attempt, { state: cancel.cause, message: cancel.why })
        }
        if (choice.alone && this.#running.size > 0) {
          this.#suspect = { claimed, attempt: choice.attempt }
          return
        }
        return this.#start(claimed, choice.attempt, choice.alone)
      }
    }
  }

  async #start(claimed: Claimed, attempt: number, alone: boolean): Promise<void> {
    const slot = this.#freeSlot()
    const running = await startJob(this.#runner, claimed, attempt, slot, this.#count)
    if (running === undefined) return this.#heartbeat.jobDone()
    this.#alone = alone
    this.#attend(running, slot)
  }

  #freeSlot(): number {
    for (let slot = 0; ; slot++) if (!this.#running.has(slot)) return slot
  }

  #attend(running: RunningJob, slot: number): void {
    this.#running.set(slot, running)
    const free = () => {
      this.#running.delete(slot)
      this.#alone = false
      this.#heartbeat.jobDone()
    }
    running.ended.then(free, (error: unknown) => {
      free()
      this.#fault ??= error
    })
  }

  /** Settles when a job has ended; a waiting suspect is started when all others have. Throws what went wrong with a job's files. */
  async change(atMostMs: number): Promise<void> {
    const running = [...this.#running.values()].map(({ ended }) => ended)
    if (running.length > 0)
      await this.#runner.clock.within(
        atMostMs,
        Promise.race(running).catch(() => undefined),
      )
    if (this.#fault !== undefined) throw this.#fault
    const suspect = this.#suspect
    if (suspect !== undefined && this.#running.size === 0) {
      this.#suspect = undefined
      await this.#start(suspect.claimed, suspect.attempt, true)
    }
  }

  /** Ends all scripts and returns their jobs to the queue. */
  async interrupt(cause: EndCause): Promise<void> {
    for (const running of this.#running.values()) running.interrupt(cause)
    await Promise.allSettled([...this.#running.values()].map(({ ended }) => ended))
  }

  async abandon(): Promise<void> {
    for (const running of this.#running.values()) running.abandon()
    await Promise.allSettled([...this.#running.values()].map(({ ended }) => ended))
  }
}
