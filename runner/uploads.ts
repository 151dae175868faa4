/** Uploads for this lane that still grow: a runner with nothing to do waits for them a while, so that they need no second queue wait. */
import { join } from 'node:path'
import type { Runner } from './runner.ts'

const stillMs = 60_000
const longestWaitMs = 600_000

export class Uploads {
  readonly #runner: Runner
  readonly #seen = new Map<string, { bytes: number; sinceMs: number }>()
  #waitingSinceMs: number | undefined

  constructor(runner: Runner) {
    this.#runner = runner
  }

  /** Work was found: the patience starts anew. */
  reset(): void {
    this.#waitingSinceMs = undefined
  }

  /** True while an upload for this lane moved within the last minute and we have not waited ten. */
  growing(): boolean {
    const { files, spool, shape, clock } = this.#runner
    const now = clock.monotonicMs()
    let growing = false
    for (const name of files.list(spool.stagings)) {
      if (!name.endsWith(`.${shape.lane}`)) continue
      const input = join(spool.stagings, name, 'job', 'input')
      let bytes = 0
      for (const file of files.list(input)) bytes += 1 + (files.stat(join(input, file))?.size ?? 0)
      const seen = this.#seen.get(name)
      if (seen === undefined || seen.bytes !== bytes) this.#seen.set(name, { bytes, sinceMs: now })
      if (seen === undefined || seen.bytes !== bytes || now - seen.sinceMs < stillMs) growing = true
    }
    if (!growing) return false
    this.#waitingSinceMs ??= now
    return now - this.#waitingSinceMs < longestWaitMs
  }
}
