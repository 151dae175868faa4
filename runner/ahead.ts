/**
 * The next job of each slot, claimed before the slot is free so that it starts at once. This is done only while short scripts follow each
 * other: a claimed job must not wait behind a long one, so it goes back as soon as the script before it turns out to be no short one.
 */
import { describeError } from '../contract/errors.ts'
import type { JobRecord } from '../contract/spool-records.ts'
import type { Choice } from './choose-job.ts'
import { type Claimed, type Queue, returnToQueue } from './claim.ts'
import { discard, makeReady, type ReadyJob } from './ready-job.ts'
import type { Runner } from './runner.ts'

/** A script that takes less is a short one. */
const shortMs = 250
/**
 * More than other runners of the lane can do in that time: one that finds the queue empty leaves, and would not be there any more for what
 * goes back.
 */
const manyLeft = 1_000

export interface Held {
  readonly claimed: Claimed
  /** Never rejects; undefined when it is to be carried out in the ordinary way. */
  readonly ready: Promise<ReadyJob | undefined>
}

export class Ahead {
  readonly #runner: Runner
  readonly #slots: number
  readonly #choose: (job: JobRecord) => Choice
  readonly #held = new Map<number, Held & { readonly untilMs: number }>()
  /** When the script of a slot began, and whether one may be claimed behind it. */
  readonly #running = new Map<number, { readonly sinceMs: number; open: boolean }>()
  readonly #short = new Set<number>()

  constructor(runner: Runner, slots: number, choose: (job: JobRecord) => Choice) {
    this.#runner = runner
    this.#slots = slots
    this.#choose = choose
  }

  /** A script begins in the slot. */
  begins(slot: number): void {
    this.#running.set(slot, { sinceMs: this.#runner.clock.monotonicMs(), open: this.#short.has(slot) })
  }

  /** It has ended. */
  ends(slot: number): void {
    const running = this.#running.get(slot)
    this.#running.delete(slot)
    if (running !== undefined && this.#runner.clock.monotonicMs() - running.sinceMs < shortMs) this.#short.add(slot)
    else this.#short.delete(slot)
  }

  has(slot: number): boolean {
    return this.#held.has(slot)
  }

  /** What is held for the slot. */
  take(slot: number): Held | undefined {
    const held = this.#held.get(slot)
    this.#held.delete(slot)
    return held
  }

  /** What is held for another slot, whose script goes on: a free one takes it. */
  takeAny(): Claimed | undefined {
    for (const slot of this.#held.keys()) return this.#release(slot)
    return undefined
  }

  /** Claims a job behind each script that may be a short one, as its predecessor was. */
  claim(queue: Queue): void {
    if (this.#runner.shape.maxRunners > 1 && queue.left < manyLeft) return
    for (const [slot, running] of this.#running) {
      if (!running.open) continue
      // once for each script
      running.open = false
      const claimed = queue.claim()
      if (claimed === undefined) return
      this.#held.set(slot, { claimed, ready: this.#ready(claimed, slot), untilMs: running.sinceMs + shortMs })
    }
  }

  async #ready(claimed: Claimed, slot: number): Promise<ReadyJob | undefined> {
    try {
      return await makeReady(this.#runner, claimed, this.#choose(claimed.job), slot, this.#slots)
    } catch (error) {
      this.#runner.log.debug(`${claimed.id} is not made ready ahead: ${describeError(error)}`)
      return undefined
    }
  }

  /** How long until one has waited long enough; Infinity when none waits. */
  patienceMs(): number {
    const untilMs = Math.min(...[...this.#held.values()].map((held) => held.untilMs))
    return Math.max(0, untilMs - this.#runner.clock.monotonicMs())
  }

  /** Returns those that have waited long enough, or all. */
  giveBack(which: 'overdue' | 'all'): void {
    const now = this.#runner.clock.monotonicMs()
    for (const [slot, { untilMs }] of [...this.#held]) {
      if (which === 'overdue' && now < untilMs) continue
      const claimed = this.#release(slot)
      try {
        if (claimed !== undefined) returnToQueue(this.#runner, claimed)
      } catch (error) {
        // it is the queuer's to return, once we have left
        this.#runner.log.warn(`cannot return ${claimed?.id} to the queue: ${describeError(error)}`)
      }
    }
  }

  /** Their keys are left where they are. */
  abandon(): void {
    for (const slot of [...this.#held.keys()]) this.#release(slot)
  }

  #release(slot: number): Claimed | undefined {
    const held = this.take(slot)
    void held?.ready.then((ready) => ready !== undefined && discard(ready))
    return held?.claimed
  }
}
