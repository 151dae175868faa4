/** A tool that polls: looks at dropboxes and destinations all the time, and remembers what no tool should ever see. */
import { statSync } from 'node:fs'
import type { Content, Seen, Sighting } from './evidence.ts'
import { realView } from './real-view.ts'
import { contentAt, same } from './results.ts'

/** A job to be watched: where its result comes, and what may lie at each of its destinations. */
export interface Watched {
  readonly dropbox: string
  readonly name: string
  readonly outputs: Readonly<Record<string, Content>>
}

export class Reader {
  readonly #watched: Watched[] = []
  readonly #before = new Map<string, Content>()
  /** What was read last of each file, and of which state of it: a file that is as it was is not read again. */
  readonly #known = new Map<string, { readonly state: string; readonly found: Content }>()
  readonly #results = new Map<string, string>()
  readonly #sightings: Sighting[] = []
  readonly #replaced = new Set<string>()
  readonly #partial = new Set<string>()
  readonly #timer: NodeJS.Timeout

  constructor(everyMs = 20) {
    this.#timer = setInterval(() => this.look(), everyMs)
    this.#timer.unref()
  }

  /** From now on this job's result and destinations are looked at. */
  watch(job: Watched): void {
    for (const [path, content] of Object.entries(job.outputs))
      this.#before.set(path, contentAt(realView, path, content))
    this.#watched.push(job)
  }

  look(): void {
    for (const job of this.#watched) {
      const path = `${job.dropbox}/${job.name}.job.finished`
      const stats = statSync(path, { throwIfNoEntry: false, bigint: true })
      const identity = stats === undefined ? undefined : `${stats.ino}:${stats.mtimeNs}`
      const known = this.#results.get(path)
      // the result first, then what it vouches for
      const found = this.#lookAtOutputs(job)
      if (identity === undefined || identity === known) continue
      if (known === undefined) this.#sightings.push({ dropbox: job.dropbox, name: job.name, outputs: found })
      else this.#replaced.add(path)
      this.#results.set(path, identity)
    }
  }

  #lookAtOutputs({ outputs }: Watched): Record<string, Content> {
    return Object.fromEntries(
      Object.entries(outputs).map(([path, whole]) => {
        const found = this.#contentAt(path, whole)
        // a folder cannot be replaced in one step: it may be away for an instant, never in parts
        const gone = found === null || (typeof found === 'object' && Object.keys(found).length === 0)
        if (!same(found, whole) && !same(found, this.#before.get(path) ?? null) && !gone) this.#partial.add(path)
        return [path, found]
      }),
    )
  }

  #contentAt(path: string, expected: Content): Content {
    const stats = statSync(path, { throwIfNoEntry: false, bigint: true })
    if (stats?.isFile() !== true) return contentAt(realView, path, expected)
    const state = `${stats.ino}:${stats.size}:${stats.mtimeNs}:${stats.ctimeNs}`
    const known = this.#known.get(path)
    if (known?.state === state) return known.found
    const found = contentAt(realView, path, expected)
    this.#known.set(path, { state, found })
    return found
  }

  /** A last look, and what was seen in all. */
  end(): Seen {
    clearInterval(this.#timer)
    return this.seen()
  }

  /** One more look, and what was seen until now. */
  seen(): Seen {
    this.look()
    return { sightings: this.#sightings, replaced: [...this.#replaced], partial: [...this.#partial] }
  }
}
