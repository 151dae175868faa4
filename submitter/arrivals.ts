/**
 * Accepted jobs on their way to their sites, handed on while others are still being accepted: what a site, its line and its queuer have
 * to do is done meanwhile. Nobody who accepts waits for a site; what is not fetched is sent by a later pass.
 */
import { promised } from '../system/promised.ts'
import type { Accepted } from './accept.ts'
import type { JobToSend } from './accept-job.ts'

export class Arrivals {
  readonly #batches: (readonly JobToSend[])[] = []
  #over = false
  #change = promised<void>()
  readonly #begun = promised<void>()
  readonly #all = promised<Accepted | undefined>()

  /** Resolves with the first jobs, or when it is certain that none will come. */
  get begun(): Promise<void> {
    return this.#begun.promise
  }

  /** All that accepting found, at its end; undefined when another pass was at it. */
  get all(): Promise<Accepted | undefined> {
    return this.#all.promise
  }

  /** Jobs whose `.submitted` is durable. */
  add(jobs: readonly JobToSend[]): void {
    if (jobs.length === 0) return
    this.#batches.push(jobs)
    this.#begun.resolve()
    this.#changed()
  }

  end(accepted: Accepted | undefined): void {
    this.#over = true
    this.#begun.resolve()
    this.#all.resolve(accepted)
    this.#changed()
  }

  /** One site's jobs, in batches as they come, until the last of all. */
  async *of(site: string): AsyncGenerator<readonly JobToSend[]> {
    for (let at = 0; ; at++) {
      while (at === this.#batches.length) {
        if (this.#over) return
        await this.#change.promise
      }
      const own = this.#batches[at]?.filter(({ plan }) => plan.site.name === site) ?? []
      if (own.length > 0) yield own
    }
  }

  #changed(): void {
    const { resolve } = this.#change
    this.#change = promised()
    resolve()
  }
}
