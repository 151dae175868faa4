/**
 * Small pieces written together: a frame of its own each would be a packet, a system call and an encryption each. What is written in one
 * turn of the event loop leaves at its end, in the order it came, and earlier when there is much of it.
 */
import { once } from 'node:events'
import type { Writable } from 'node:stream'

const muchBytes = 128 * 1024

export class BatchWriter {
  readonly #output: Writable
  #pieces: Uint8Array[] = []
  #bytes = 0
  #atTurnsEnd: NodeJS.Immediate | undefined
  /** While the output has no room for more: all who wait, wait for the same. */
  #full: Promise<unknown> | undefined

  constructor(output: Writable) {
    this.#output = output
  }

  /** Undefined when there is room for more, else a promise of it, which rejects when the output breaks meanwhile. */
  write(piece: Uint8Array): Promise<unknown> | undefined {
    this.#pieces.push(piece)
    this.#bytes += piece.length
    if (this.#bytes >= muchBytes) return this.flush()
    // a broken output tells its own listeners
    this.#atTurnsEnd ??= setImmediate(() => this.flush()?.catch(() => undefined))
    return this.#full
  }

  /** Writes at once, after what waits; resolves when the memory of `piece` may be used again. A broken output tells its own listeners. */
  through(piece: Uint8Array): Promise<void> {
    this.flush()?.catch(() => undefined)
    return new Promise((resolve) => {
      this.#output.write(piece, () => resolve())
    })
  }

  flush(): Promise<unknown> | undefined {
    clearImmediate(this.#atTurnsEnd)
    this.#atTurnsEnd = undefined
    if (this.#pieces.length === 0) return undefined
    const all = this.#pieces.length === 1 ? this.#pieces[0] : Buffer.concat(this.#pieces, this.#bytes)
    this.#pieces = []
    this.#bytes = 0
    if (this.#output.write(all)) return undefined
    this.#full ??= this.#drained()
    return this.#full
  }

  #drained(): Promise<unknown> {
    const drained = once(this.#output, 'drain')
    const over = () => {
      this.#full = undefined
    }
    drained.then(over, over)
    return drained
  }
}
