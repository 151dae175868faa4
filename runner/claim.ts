/** Taking jobs from the lane's queue: a claim is the rename of a key, and one rename has one winner. */
import { join } from 'node:path'
import { idOfKey, keysIn } from '../contract/spool.ts'
import type { JobRecord } from '../contract/spool-records.ts'
import { fits, tooLong } from './choose-job.ts'
import { type Runner, remainingMs } from './runner.ts'

export interface Claimed {
  readonly key: string
  readonly id: string
  readonly job: JobRecord
}

const listingAgeMs = 500

/** The lane's queue as last listed; listed anew when used up or old, so that an urgent late arrival waits for one job at most. */
export class Queue {
  readonly #runner: Runner
  #keys: string[] = []
  #listedAtMs = Number.NEGATIVE_INFINITY
  /** What did not fit will not fit later either: the walltime only shrinks. */
  readonly #unfit = new Set<string>()

  constructor(runner: Runner) {
    this.#runner = runner
  }

  /** Claims the first job that fits; undefined when there is none. */
  claim(): Claimed | undefined {
    const now = this.#runner.clock.monotonicMs()
    if (this.#keys.length === 0 || now - this.#listedAtMs > listingAgeMs) this.#list(false)
    for (;;) {
      const key = this.#keys.shift()
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
    const { files, spool, shape } = this.#runner
    const names = fresh ? files.listFresh(spool.queue(shape.lane)) : files.list(spool.queue(shape.lane))
    this.#keys = keysIn(names).filter((key) => !this.#unfit.has(key))
    this.#listedAtMs = this.#runner.clock.monotonicMs()
  }

  #take(key: string): Claimed | undefined {
    const { files, spool, shape, id: me, log } = this.#runner
    const id = idOfKey(key)
    if (id === undefined) return undefined
    const job = files.readJson<JobRecord>(spool.control(id).record)
    const from = join(spool.queue(shape.lane), key)
    if (job === undefined) {
      // a key whose job was cleaned away, or is not visible here yet: the audit will make it again if it was the latter
      if (this.#runner.clock.monotonicMs() - this.#listedAtMs > listingAgeMs) files.remove(from)
      else this.#unfit.add(key)
      return undefined
    }
    const remaining = remainingMs(this.#runner)
    if (!fits(job, remaining, shape.marginMs)) {
      log.info(`${id} ${tooLong(job, remaining)}: left for the next runner`)
      this.#unfit.add(key)
      return undefined
    }
    return files.move(from, join(spool.running(me), key)) ? { key, id, job } : undefined
  }
}

/** A job that is not ours to run goes back, or, alive elsewhere, is let go. */
export function returnToQueue(runner: Runner, claimed: Claimed): void {
  const { files, spool } = runner
  files.move(join(spool.running(runner.id), claimed.key), join(spool.queue(claimed.job.lane), claimed.key))
}

export function dropKey(runner: Runner, claimed: Claimed): void {
  runner.files.remove(join(runner.spool.running(runner.id), claimed.key))
}

export function handOver(runner: Runner, claimed: Claimed): void {
  const { files, spool } = runner
  const done = spool.done(claimed.job.gateway)
  if (!files.exists(done)) files.makeFolder(done)
  files.move(join(spool.running(runner.id), claimed.key), join(done, claimed.key))
}
