/** A channel in memory: what one side writes arrives at the other a moment later, until the wire is cut. */
import { Readable, Writable } from 'node:stream'
import type { Kernel } from './kernel.ts'

export interface Wire {
  readonly input: Writable
  readonly output: Readable
  /** Nothing more arrives; with an error the writer hears of it too. `keep`: so many bytes of what is under way still arrive. */
  cut(error?: Error, keep?: number): void
  /** Nothing more arrives, and nobody hears of it. */
  stall(): void
  /** Its writer was killed: what it wrote arrives, and it writes no more. */
  hush(): void
}

/** `heldUntilMs`: the reader stands still until then. */
export function wire(kernel: Kernel, delayMs: number, heldUntilMs: () => number = () => 0): Wire {
  let whole = true
  let hushed = false
  const output = new Readable({ read: () => undefined })
  const under: Buffer[] = []
  // in order, though the reader stands still for a while
  const arrive = (act: () => void, waitMs: number) => {
    kernel.after(waitMs, () => {
      const heldMs = heldUntilMs() - kernel.now
      if (heldMs > 0) arrive(act, heldMs)
      else act()
    })
  }
  const input = new Writable({
    write: (chunk: Buffer, _, done) => {
      if (hushed) return
      // the writer may use its memory again when it is told that this is done
      const sent = Buffer.from(chunk)
      under.push(sent)
      arrive(() => {
        if (!whole) return
        under.shift()
        output.push(sent)
        done()
      }, delayMs)
    },
    final: (done) => {
      arrive(() => whole && output.push(null), delayMs)
      done()
    },
  })
  output.on('error', () => undefined)
  input.on('error', () => undefined)
  const cut = (error?: Error, keep = 0) => {
    if (!whole) return
    whole = false
    const rest = under[0]?.subarray(0, keep)
    if (rest !== undefined && rest.length > 0) output.push(rest)
    if (error === undefined) output.push(null)
    else {
      output.destroy(error)
      input.destroy(error)
    }
  }
  const stall = () => {
    whole = false
  }
  const hush = () => {
    hushed = true
  }
  return { input, output, cut, stall, hush }
}
