/** Digests of large inputs, kept between passes: an upload that takes several of them is not read again from its start for each. */
import type { Stats } from '../system/os.ts'
import { type Gateway, statePaths } from './gateway.ts'

interface Known {
  readonly sign: string
  readonly size: number
  readonly sha256: string
}

const mostKept = 1_000
/** Far above the steps in which any file system tells the time. */
const settledMs = 5_000

/** What changes when the file does. */
function signOf(stats: Stats): string {
  return [stats.dev, stats.ino, stats.size, stats.mtimeMs, stats.ctimeMs].join(' ')
}

export class DigestCache {
  readonly #gateway: Gateway
  readonly #known: Map<string, Known>
  #changed = false

  constructor(gateway: Gateway) {
    this.#gateway = gateway
    const kept = gateway.files.readJson<Record<string, Known>>(statePaths(gateway.config.state).digests) ?? {}
    this.#known = new Map(Object.entries(kept))
  }

  get(path: string, stats: Stats): { sha256: string; size: number } | undefined {
    const known = this.#known.get(path)
    return known?.sign === signOf(stats) ? { sha256: known.sha256, size: known.size } : undefined
  }

  /**
   * What was changed right before it was looked at may be changed again with the same times, and is not kept: of an input that the site
   * has, no byte is sent that would show it.
   */
  set(path: string, { stats, atMs }: { readonly stats: Stats; readonly atMs: number }, sha256: string): void {
    if (this.get(path, stats) !== undefined || atMs - stats.ctimeMs < settledMs) return
    this.#known.delete(path)
    this.#known.set(path, { sign: signOf(stats), size: stats.size, sha256 })
    this.#changed = true
  }

  save(): void {
    if (!this.#changed) return
    const kept = Object.fromEntries([...this.#known].slice(-mostKept))
    this.#gateway.files.replace(statePaths(this.#gateway.config.state).digests, `${JSON.stringify(kept)}\n`)
    this.#changed = false
  }
}
