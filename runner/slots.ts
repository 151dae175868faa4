/** The jobs at work in this allocation, side by side in `slots` places. */

import { describeError } from '../contract/errors.ts'
import { jobMark } from '../contract/job-mark.ts'
import { laneOfRunner } from '../contract/spool.ts'
import type { AttemptRecord, EndCause, JobRecord } from '../contract/spool-records.ts'
import { attemptLives, readAttempts, readResult } from '../spool/attempt.ts'
import { hasEnded } from '../spool/end-file.ts'
import { readCancel } from '../spool/ended-by-us.ts'
import { finishAttempt, finishFenced } from '../spool/finish.ts'
import { lastWords } from '../spool/last-words.ts'
import { isMachineTrouble } from '../system/trouble.ts'
import { abort } from './abort-job.ts'
import { Ahead, type Held } from './ahead.ts'
import type { RunningJob } from './attend-job.ts'
import { type Choice, chooseByLook } from './choose-job.ts'
import { type Claimed, dropKey, handOver, type Queue, returnToQueue, stillFits } from './claim.ts'
import type { Heartbeat } from './heartbeat.ts'
import { recordEnd } from './prepare-job.ts'
import { discard, isStillReady, startReady } from './ready-job.ts'
import { adoptJob, startJob } from './run-job.ts'
import type { Runner } from './runner.ts'
import { stopProcesses } from './stop-processes.ts'

/** For what an interrupted attempt left on this machine. */
const leftoverGraceMs = 3_000

export class Slots {
  readonly #runner: Runner
  readonly #heartbeat: Heartbeat
  /** By slot, until the script and what it left behind are gone. */
  readonly #running = new Map<number, RunningJob>()
  /** Those, and the ones whose slots may be taken again while their results are made. */
  readonly #attended = new Set<RunningJob>()
  readonly #count: number
  readonly #ahead: Ahead
  /** A suspect, whose last attempt died together with others, runs with nothing beside it. */
  #alone = false
  /** What went wrong with the machine, not with a job: the runner cannot go on. */
  #fault: unknown
  #suspect: { claimed: Claimed; attempt: number } | undefined

  constructor(runner: Runner, heartbeat: Heartbeat, count: number) {
    this.#runner = runner
    this.#heartbeat = heartbeat
    this.#count = count
    this.#ahead = new Ahead(runner, count, (job) => this.#choose(job))
  }

  get busy(): boolean {
    return this.#attended.size > 0 || this.#suspect !== undefined
  }

  get free(): boolean {
    // large outputs take time to digest: not so many at once that the scripts of the next suffer
    if (this.#attended.size > 2 * this.#count) return false
    return this.#running.size < this.#count && !this.#alone && this.#suspect === undefined
  }

  /**
   * Starts the job that is held for a free slot, or claims and starts one. False when the queue has none for us; true also when the one
   * we had needed no start.
   */
  async startNext(queue: Queue): Promise<boolean> {
    const slot = this.#freeSlot()
    const held = this.#ahead.take(slot)
    const claimed = held?.claimed ?? queue.claim() ?? this.#ahead.takeAny()
    if (claimed === undefined) return false
    try {
      if (held === undefined) await this.#carryOut(claimed, this.#choose(claimed.job))
      else await this.#startHeld(held, slot)
    } catch (error) {
      if (isMachineTrouble(error)) throw error
      this.#giveUp(claimed, error)
    }
    return true
  }

  /** Claims the next job behind each short script, so that it starts when that ends. */
  claimAhead(queue: Queue): void {
    if (!this.free && !this.#alone && this.#suspect === undefined) this.#ahead.claim(queue)
  }

  /** Nothing waits behind a script that takes long; when no more is to be started, nothing waits at all. */
  giveBack(which: 'overdue' | 'all'): void {
    this.#ahead.giveBack(this.#suspect === undefined ? which : 'all')
  }

  async #startHeld({ claimed, ready }: Held, slot: number): Promise<void> {
    const found = await ready
    if (found === undefined || !isStillReady(this.#runner, found)) {
      if (found !== undefined) discard(found)
      // held while this process stood still
      if (!stillFits(this.#runner, claimed.job)) return returnToQueue(this.#runner, claimed)
      return this.#carryOut(claimed, this.#choose(claimed.job))
    }
    const running = startReady(this.#runner, found)
    if (running === undefined) return this.#heartbeat.jobDone()
    this.#attend(running, slot)
  }

  #choose(job: JobRecord, stopped = false): Choice {
    const { files, spool, shape } = this.#runner
    const control = spool.control(job.id)
    const look = () => ({
      hasResult: files.exists(control.result) && readResult(files, control) !== undefined,
      attempts: readAttempts(files, control),
      hasEnded: (runner: string) => hasEnded(files, spool.lane(laneOfRunner(runner)), runner),
      livesHere: (attempt: AttemptRecord) => !stopped && attemptLives(job.id, attempt, this.#runner.bootId),
    })
    return chooseByLook(job, look, shape.timeMs)
  }

  async #carryOut(claimed: Claimed, choice: Choice): Promise<void> {
    const { files, spool, log, clock } = this.#runner
    switch (choice.do) {
      case 'hand-over':
        return this.#handOver(claimed)
      case 'drop':
        log.info(`${claimed.id} is alive in another runner: left to it`)
        return dropKey(this.#runner, claimed)
      case 'finish':
        await finishAttempt(files, spool, claimed.job, choice.attempt, choice.exit, this.#runner.uuid())
        return this.#handOver(claimed)
      case 'finish-fenced':
        finishFenced(files, spool, claimed.job, choice.fence, this.#runner.uuid())
        return this.#handOver(claimed)
      case 'stop':
        log.info(`${claimed.id}: ending what its attempt ${choice.attempt.attempt} left on this machine`)
        await stopProcesses(clock, jobMark(claimed.id, choice.attempt.attempt), leftoverGraceMs)
        return this.#carryOut(claimed, this.#choose(claimed.job, true))
      case 'abort': {
        if (choice.unended) recordEnd(this.#runner, claimed.id, choice.attempt - 1, 'died-alone')
        const words = lastWords(files, spool.control(claimed.id), choice.attempt - 1)
        const message = words === '' ? choice.message : `${choice.message}. Its last lines: ${words}`
        abort(this.#runner, claimed, choice.attempt, { state: 'aborted', message })
        return this.#heartbeat.jobDone()
      }
      case 'adopt':
        return this.#attend(adoptJob(this.#runner, claimed, choice.attempt), this.#freeSlot())
      case 'run': {
        if (choice.unended) recordEnd(this.#runner, claimed.id, choice.attempt - 1, 'died-alone')
        const cancel = readCancel(files, spool.control(claimed.id))
        if (cancel !== undefined) {
          abort(this.#runner, claimed, choice.attempt, cancel)
          return this.#heartbeat.jobDone()
        }
        if (choice.alone && this.#running.size > 0) {
          this.#suspect = { claimed, attempt: choice.attempt }
          return
        }
        return this.#start(claimed, choice.attempt, choice.alone)
      }
    }
  }

  #handOver(claimed: Claimed): void {
    handOver(this.#runner, claimed)
    this.#heartbeat.jobDone()
  }

  async #start(claimed: Claimed, attempt: number, alone: boolean): Promise<void> {
    const slot = this.#freeSlot()
    const running = await startJob(this.#runner, claimed, attempt, slot, this.#count)
    if (running === undefined) return this.#heartbeat.jobDone()
    this.#alone = alone
    this.#attend(running, slot)
  }

  /** Something of this one job cannot be read or written: it is ended with that as its message, and the others go on. */
  #giveUp(claimed: Claimed, error: unknown): void {
    const { files, spool, log } = this.#runner
    const message = `The job could not be carried on: ${describeError(error)}`
    log.warn(`${claimed.id}: ${message}`)
    try {
      const last = readAttempts(files, spool.control(claimed.id)).at(-1)?.number ?? 0
      abort(this.#runner, claimed, last + 1, { state: 'aborted', message })
    } catch (second) {
      if (isMachineTrouble(second)) throw second
      // not even that: the audit will find it
      dropKey(this.#runner, claimed)
    }
  }

  /** One for which a job is held, if there is. */
  #freeSlot(): number {
    const free = Array.from({ length: this.#count }, (_, slot) => slot).filter((slot) => !this.#running.has(slot))
    return free.find((slot) => this.#ahead.has(slot)) ?? free[0] ?? this.#count
  }

  #attend(running: RunningJob, slot: number): void {
    this.#running.set(slot, running)
    this.#attended.add(running)
    this.#ahead.begins(slot)
    const vacate = () => {
      if (this.#running.get(slot) !== running) return
      this.#running.delete(slot)
      this.#ahead.ends(slot)
      this.#alone = false
    }
    const end = () => {
      vacate()
      this.#attended.delete(running)
      this.#heartbeat.jobDone()
    }
    running.vacated.then(vacate)
    running.ended.then(end, (error: unknown) => {
      end()
      this.#fault ??= error
    })
  }

  /** Throws what went wrong with the machine. */
  check(): void {
    if (this.#fault !== undefined) throw this.#fault
  }

  /** Settles when a slot was vacated or a job has ended; a waiting suspect is started when all others have. */
  async change(atMostMs: number): Promise<void> {
    const runs = new Set(this.#running.values())
    const changes = [...this.#attended].map((job) => (runs.has(job) ? job.vacated : job.ended.catch(() => undefined)))
    const patienceMs = Math.min(atMostMs, this.#ahead.patienceMs())
    if (changes.length > 0) await this.#runner.clock.within(patienceMs, Promise.race(changes))
    this.check()
    const suspect = this.#suspect
    if (suspect !== undefined && this.#running.size === 0) {
      this.#suspect = undefined
      // the others may have run for long
      if (stillFits(this.#runner, suspect.claimed.job)) await this.#start(suspect.claimed, suspect.attempt, true)
      else returnToQueue(this.#runner, suspect.claimed)
    }
  }

  /** Ends all scripts and returns their jobs to the queue. */
  async interrupt(cause: EndCause): Promise<void> {
    this.#ahead.giveBack('all')
    if (this.#suspect !== undefined) returnToQueue(this.#runner, this.#suspect.claimed)
    this.#suspect = undefined
    for (const running of this.#attended) running.interrupt(cause)
    await Promise.allSettled([...this.#attended].map(({ ended }) => ended))
  }

  async abandon(): Promise<void> {
    this.#ahead.abandon()
    this.#suspect = undefined
    for (const running of this.#attended) running.abandon()
    await Promise.allSettled([...this.#attended].map(({ ended }) => ended))
  }
}
