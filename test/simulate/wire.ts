/** A channel in memory: what one side writes arrives at the other a moment later, until the wire is cut. */
import { Readable, Writable } from 'node:stream'
import type { Kernel } from './kernel.ts'

export interface Wire {
  readonly input: Writable
  readonly output: Readable
  /** Nothing more arrives; with an error the writer hears of it too. `keep`: so many bytes of what is under way still arrive. */
  cut(error?: Error, keep?: number): void
}

export function wire(kernel: Kernel, delayMs: number): Wire {
  let whole = true
  const output = new Readable({ read: () => undefined })
  const under: Buffer[] = []
  const input = new Writable({
    write: (chunk: Buffer, _, done) => {
      under.push(chunk)
      kernel.after(delayMs, () => {
        if (!whole) return
        under.shift()
        output.push(chunk)
        done()
      })
    },
    final: (done) => {
      kernel.after(delayMs, () => whole && output.push(null))
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
  return { input, output, cut }
}
