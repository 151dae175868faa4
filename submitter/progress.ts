/** How far a long transfer is: a bar on a terminal, one line per step in a log. */
import { printable } from '../contract/errors.ts'
import { renderBytes } from '../contract/units.ts'
import type { Progress } from './gateway.ts'

const barWidth = 24
const everyMs = 100

/** A function to call with every step; draws on `stream` when it is a terminal, else tells begin and end through `log`. */
export function progressTeller(
  stream: { readonly isTTY?: boolean; write(text: string): unknown },
  log: (line: string) => void,
  now: () => number,
): (progress: Progress) => void {
  let current = ''
  let drawnMs = Number.NEGATIVE_INFINITY
  return ({ what, done, total }) => {
    const ended = done >= total
    if (stream.isTTY !== true) {
      if (what !== current) log(`${what}: ${renderBytes(total)} to send`)
      current = what
      if (ended) log(`${what}: sent`)
      return
    }
    if (!ended && what === current && now() - drawnMs < everyMs) return
    current = what
    drawnMs = now()
    const part = total === 0 ? 1 : Math.min(1, done / total)
    const bar = '#'.repeat(Math.round(part * barWidth)).padEnd(barWidth, '.')
    stream.write(
      `\r${printable(what).slice(0, 40)} [${bar}] ${Math.floor(part * 100)} % of ${renderBytes(total)}${ended ? '\n' : ''}`,
    )
  }
}
