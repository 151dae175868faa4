/**
 * Results that could not be delivered: each failed try is remembered, tried again after a pause that grows, and given up when the job's
 * expiry has run out. Nothing computed is lost: it stays at the site for a while, and the result says until when.
 */
import { join } from 'node:path'
import type { ObserverTime } from '../contract/spool-records.ts'
import { judgeOutput } from './check-files.ts'
import type { Gateway } from './gateway.ts'
import { statePaths } from './gateway.ts'
import type { JobReceiver } from './receive-job.ts'
import { afterFailure, restMs, type SiteState } from './site-state.ts'

type Tries = Record<string, SiteState>

export class Undelivered {
  readonly #gateway: Gateway
  readonly #path: string
  readonly #before: Tries
  readonly #after: Tries = {}

  constructor(gateway: Gateway, site: string) {
    this.#gateway = gateway
    this.#path = join(statePaths(gateway.config.state).sites, `${site}.undelivered.json`)
    this.#before = gateway.files.readJson<Tries>(this.#path) ?? {}
  }

  /** Why a result is not asked for now: its pause lasts, or its destinations could not take it. */
  obstacle(id: string, receiver: JobReceiver, now: ObserverTime): string | undefined {
    const before = this.#before[id]
    // only after a first failed try is it known that there are outputs to be delivered: a failed script needs no destination
    if (before === undefined) return undefined
    for (const { path } of receiver.description.outputs.values()) {
      const fault = judgeOutput(this.#gateway, receiver.owner, path)
      if (fault !== undefined) return fault.fault
    }
    if (restMs(before, now) === 0) return undefined
    this.#after[id] = before
    return before.trouble ?? 'it failed before'
  }

  /** One more failed try; true when the job's expiry has run out with it. */
  failed(id: string, why: string, now: ObserverTime, expiryMs: number): boolean {
    if (this.#after[id] !== undefined) return false
    const state = afterFailure(this.#before[id] ?? { failingMs: 0, failures: 0 }, why, now)
    this.#after[id] = state
    return state.failingMs > expiryMs
  }

  save(): void {
    if (JSON.stringify(this.#after) === JSON.stringify(this.#before)) return
    this.#gateway.files.makeFolder(statePaths(this.#gateway.config.state).sites)
    this.#gateway.files.replace(this.#path, `${JSON.stringify(this.#after)}\n`)
  }
}
