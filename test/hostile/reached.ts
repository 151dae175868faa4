/** How much of the product's own code ran in the programs, as V8 tells when they end (`NODE_V8_COVERAGE`), however many they were. */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { countOf, type Range } from '../fuzz/coverage.ts'

interface Script {
  readonly url: string
  readonly functions: readonly { readonly ranges: readonly Range[] }[]
}

export interface ReachedCode {
  readonly functions: number
  readonly knownFunctions: number
  readonly blocks: number
  readonly knownBlocks: number
}

const folders = /^(?:contract|scheduler|system|spool|submitter|queuer|runner)\//

/** In a bundle each module begins with its path in a comment: where those of ours lie. */
function isOurs(source: string): (offset: number) => boolean {
  const marks = [...source.matchAll(/^\/\/ (\S+\.(?:ts|js|mjs|cjs))$/gm)].map((match) => ({
    at: match.index,
    ours: folders.test(match[1] ?? ''),
  }))
  return (offset) => marks.findLast(({ at }) => at <= offset)?.ours === true
}

/** Before the workspace is taken away: the programs of the other side run from there. */
export function reachedIn(dir: string): ReachedCode {
  const functions = new Map<string, boolean>()
  const blocks = new Map<string, boolean>()
  const known = new Map<string, Map<string, Range>>()
  const ofOurs = new Map<string, (offset: number) => boolean>()
  const reports = readdirSync(dir).map(
    (name) => (JSON.parse(readFileSync(join(dir, name), 'utf8')) as { result: readonly Script[] }).result,
  )
  for (const { url, functions: found } of reports.flat()) {
    if (!url.startsWith('file://') || !existsSync(fileURLToPath(url))) continue
    // each program is one bundle, wherever a copy of it lies
    const bundle = basename(url)
    const ours = ofOurs.get(bundle) ?? isOurs(readFileSync(fileURLToPath(url), 'utf8'))
    ofOurs.set(bundle, ours)
    for (const { ranges } of found) {
      const [whole] = ranges
      if (whole === undefined || !ours(whole.startOffset)) continue
      const name = `${bundle}:${whole.startOffset}-${whole.endOffset}`
      functions.set(name, functions.get(name) === true || whole.count > 0)
      const spans = known.get(name) ?? new Map<string, Range>()
      known.set(name, spans)
      for (const range of ranges) spans.set(`${name}:${range.startOffset}-${range.endOffset}`, range)
      for (const [block, span] of spans)
        blocks.set(block, blocks.get(block) === true || (whole.count > 0 && countOf(span, ranges) > 0))
    }
  }
  const ran = (all: ReadonlyMap<string, boolean>) => [...all.values()].filter(Boolean).length
  return {
    functions: ran(functions),
    knownFunctions: functions.size,
    blocks: ran(blocks),
    knownBlocks: blocks.size,
  }
}
