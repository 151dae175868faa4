/** How many jobs an owner may have in flight: what is over it waits in the dropbox, unread. Counted only where the config sets a limit. */
import type { Names } from './dropbox.ts'
import type { Gateway } from './gateway.ts'
import { readSubmitted } from './submitted-file.ts'

export class OwnerLimit {
  readonly #gateway: Gateway
  readonly #limit: number | undefined
  readonly #inFlight = new Map<number, number>()

  constructor(gateway: Gateway, names: Names, arrivals: number) {
    this.#gateway = gateway
    this.#limit = gateway.config.owners.limits.jobs
    if (this.#limit === undefined || arrivals === 0) return
    for (const name of names.submitted) {
      const found = readSubmitted(gateway, name)
      if (found !== undefined && found !== 'raw') this.add(found.hpc.owner.uid)
    }
  }

  add(uid: number): void {
    this.#inFlight.set(uid, (this.#inFlight.get(uid) ?? 0) + 1)
  }

  /** Why another job of this owner waits; undefined when it need not. */
  reached(uid: number): string | undefined {
    if (this.#limit === undefined || (this.#inFlight.get(uid) ?? 0) < this.#limit) return undefined
    const name = this.#gateway.userName(uid)
    if (name !== undefined && this.#gateway.config.owners.trusted.includes(name)) return undefined
    return `${name ?? `uid ${uid}`} has ${this.#limit} jobs in flight, which is the limit of an owner`
  }
}
