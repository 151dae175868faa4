/** Taking jobs from the lane's queue: a claim is the rename of a key, and one rename has one winner. */
import { basename, join } from 'node:path'
import { idOfKey, keysIn } from '../contract/spool.ts'
import type { JobRecord } from '../contract/spool-records.ts'
import { fits, tooLong, tooLongForLane } from './choose-job.ts'
import { type Runner, remainingMs } from './runner.ts'

export interface Claimed {
  readonly key: string
  readonly id: string
  readonly job: JobRecord
}

const listingAgeMs = 500
/** A queue of 100,000 takes a tenth of a second to list: never more than a small share of the time goes there. */
const listingShare = 20

/** The lane's queue as last listed; listed anew when used up or old, so that an urgent late arrival waits for one job at most. */
export class Queue {
  readonly #runner: Runner
  #keys: string[] = []
  #next = 0
  #listAgainAtMs = Number.NEGATIVE_INFINITY
  /** What did not fit will not fit later either: the walltime only shrinks. */
  readonly #unfit = new Set<string>()

  constructor(runner: Runner) {
    this.#runner = runner
  }

  /** How many keys were still there, by the last listing. */
  get left(): number {
    return this.#keys.length - this.#next
  }

  /** Claims the first job that fits; undefined when there is none. */
  claim(): Claimed | undefined {
    if (this.#next >= this.#keys.length || this.#runner.clock.monotonicMs() > this.#listAgainAtMs) this.#list(false)
    for (;;) {
      const key = this.#keys[this.#next++]
      if (key === undefined) return undefined
      const claimed = this.#take(key)
      if (claimed !== undefined) return claimed
    }
  }

  /** After `closing` was written: is there work after all? Trusts no cached listing. */
  hasWork(): boolean {
    this.#list(true)
    return this.#keys.length > 0
  }

  #list(fresh: boolean): void {
    const { files, spool, shape, clock } = this.#runner
    const startMs = clock.monotonicMs()
    const names = fresh ? files.listFresh(spool.queue(shape.lane)) : files.list(spool.queue(shape.lane))
    this.#keys = keysIn(names).filter((key) => !this.#unfit.has(key))
    this.#next = 0
    const endMs = clock.monotonicMs()
    this.#listAgainAtMs = endMs + Math.max(listingAgeMs, listingShare * (endMs - startMs))
  }

  #take(key: string): Claimed | undefined {
    const { files, spool, shape, id: me, log } = this.#runner
    const id = idOfKey(key)
    if (id === undefined) return undefined
    const from = join(spool.queue(shape.lane), key)
    const job = files.readJson<JobRecord>(spool.control(id).record)
    if (job === undefined) {
      if (files.exists(from)) this.#dropStray(id, from)
      return undefined
    }
    if (!stillFits(this.#runner, job)) {
      log.info(`${id} ${tooLong(job, remainingMs(this.#runner))}: left for the next runner`)
      this.#unfit.add(key)
      return undefined
    }
    const to = join(spool.running(me), key)
    if (files.move(from, to)) return { key, id, job }
    // somebody else has it, or our own folder was cleaned away while it was empty
    if (!files.exists(spool.running(me))) files.makeFolder(spool.running(me))
    return undefined
  }

  /**
   * A key whose job was cleaned away is dropped: left there it would ask for runner after runner. The folder is read anew before; and
   * were the job only not to be seen from here, the audit would make the key again.
   */
  #dropStray(id: string, from: string): void {
    const { files, spool, log } = this.#runner
    if (files.listFresh(spool.controls).includes(id) && files.exists(spool.control(id).record)) {
      this.#unfit.add(basename(from))
      return
    }
    log.warn(`${id} has a key and no job: the key is dropped`)
    files.remove(from)
  }
}

/** Whether what is left of the walltime holds it. What no runner can hold is taken, to be told so. */
export function stillFits(runner: Runner, job: JobRecord): boolean {
  const { shape } = runner
  return fits(job, remainingMs(runner), shape) || tooLongForLane(job, shape.timeMs) !== undefined
}

/** A job that is not ours to run goes back, or, alive elsewhere, is let go. */
export function returnToQueue(runner: Runner, claimed: Claimed): void {
  const { files, spool } = runner
  files.move(join(spool.running(runner.id), claimed.key), join(spool.queue(runner.shape.lane), claimed.key))
}

export function dropKey(runner: Runner, claimed: Claimed): void {
  runner.files.remove(join(runner.spool.running(runner.id), claimed.key))
}

export function handOver(runner: Runner, claimed: Claimed): void {
  const { files, spool } = runner
  const from = join(spool.running(runner.id), claimed.key)
  const done = spool.done(claimed.job.gateway)
  if (files.move(from, join(done, claimed.key)) || !files.exists(from)) return
  files.makeFolder(done)
  files.move(from, join(done, claimed.key))
}
