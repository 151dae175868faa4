/**
 * How many jobs an owner may have in flight: what is over it waits in the dropbox, unread. Counted only where the config sets a limit.
 * Whose a job is, is kept in the state folder, so that each `.submitted` is read once: names are written there before this pass accepts
 * any, so a name can come to stand for another job only in a pass that found it gone before. Losing the file costs reading them all.
 */
import type { Names } from './dropbox.ts'
import { type Gateway, statePaths } from './gateway.ts'
import { readSubmitted } from './submitted-file.ts'

export class OwnerLimit {
  readonly #gateway: Gateway
  readonly #limit: number | undefined
  readonly #inFlight = new Map<number, number>()

  constructor(gateway: Gateway, names: Names, arrivals: number) {
    this.#gateway = gateway
    this.#limit = gateway.config.owners.limits.jobs
    if (this.#limit === undefined || arrivals === 0) return
    const path = statePaths(gateway.config.state).owners
    const known = new Map(Object.entries(gateway.files.readJson<Record<string, number>>(path) ?? {}))
    const inFlight = new Map<string, number>()
    for (const name of names.submitted) {
      const uid = known.get(name) ?? ownerOf(gateway, name)
      if (uid === undefined) continue
      inFlight.set(name, uid)
      this.add(uid)
    }
    const changed = inFlight.size !== known.size || [...inFlight.keys()].some((name) => !known.has(name))
    if (changed) gateway.files.replace(path, `${JSON.stringify(Object.fromEntries(inFlight))}\n`)
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

function ownerOf(gateway: Gateway, name: string): number | undefined {
  const found = readSubmitted(gateway, name)
  return found === undefined || found === 'raw' ? undefined : found.hpc.owner.uid
}
