/** Parsers with faults put in on purpose: what a fuzz run must be able to find. */
import type { Target } from './target.ts'

const code = (url: string) => url.includes('/test/fuzz/planted.ts')

/** Five letters in their order, each behind a branch of its own: chance alone needs all five at once. */
function behindBranches(bytes: Buffer): string {
  const text = bytes.toString('latin1')
  if (text[0] === 'f') {
    if (text[1] === 'a') {
      if (text[2] === 'u') {
        if (text[3] === 'l') {
          if (text[4] === 't') throw new Error('found the fault')
        }
      }
    }
  }
  return ''
}

const target = (name: string, run: Target['run']): Target => ({ name, seeds: ['0'], words: [...'faulty'], run, code })

export const targets: readonly Target[] = [
  target('hidden', behindBranches),
  target('endless', (bytes) => {
    for (let n = 0; bytes.length > 12; n++) if (n < 0) return 'never'
    return ''
  }),
  target('greedy', (bytes) => {
    const kept: number[][] = []
    while (bytes.length > 12) kept.push(Array.from({ length: 10_000 }, () => kept.length + 0.5))
    return ''
  }),
]
