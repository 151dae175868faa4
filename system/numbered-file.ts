/**
 * The one primitive that fences everything: numbered files, created exclusively. The highest number counts. A claim holds only after
 * its holder's record was written, synced and read back and no higher number was seen. Superseded means: a higher number exists.
 */
import { join } from 'node:path'
import type { Files } from './files.ts'

export interface Claim {
  readonly number: number
  readonly path: string
}

/** The numbers in a folder of files named `<prefix><number>`, ascending; other names are none of ours. */
export function numbersIn(names: readonly string[], prefix = ''): number[] {
  const numbers: number[] = []
  for (const name of names) {
    const rest = name.startsWith(prefix) ? name.slice(prefix.length) : ''
    if (/^[1-9]\d{0,14}$/.test(rest)) numbers.push(Number(rest))
  }
  return numbers.sort((a, b) => a - b)
}

export function highestNumber(files: Files, dir: string, prefix = ''): number {
  return numbersIn(files.list(dir), prefix).at(-1) ?? 0
}

/** Claims exactly `number` with `holder` (which carries a nonce); undefined when somebody has it or a higher one. */
export function claimNumber(
  files: Files,
  dir: string,
  number: number,
  holder: { readonly nonce: string },
  prefix = '',
  folder: 'now' | 'later' = 'now',
): Claim | undefined {
  const path = join(dir, `${prefix}${number}`)
  if (!files.createExclusive(path, `${JSON.stringify(holder)}\n`, 0o600, folder)) {
    // an exclusive create whose answer was lost is still ours
    if (files.readJson<{ nonce?: string }>(path)?.nonce !== holder.nonce) return undefined
  }
  if (files.readJson<{ nonce?: string }>(path)?.nonce !== holder.nonce) return undefined
  return highestNumber(files, dir, prefix) === number ? { number, path } : undefined
}

/** True while no higher number has superseded the claim. */
export function stillHeld(files: Files, dir: string, number: number, prefix = ''): boolean {
  return highestNumber(files, dir, prefix) === number
}
