/**
 * Which of the product's code has run: V8 itself counts how often each block ran, as for `NODE_V8_COVERAGE`, and can be asked after every
 * input. A block that ran for the first time, or ten times as often as ever before, is what makes an input worth keeping.
 */
import { type Profiler, Session } from 'node:inspector'
import { fileURLToPath } from 'node:url'

const folders = ['contract', 'scheduler', 'system', 'spool', 'submitter', 'queuer', 'runner']
const root = fileURLToPath(new URL('../..', import.meta.url))
const isProduct = (url: string) => folders.some((folder) => url.startsWith(`file://${root}${folder}/`))

/** 1, 2, 3, 4 to 7, 8 to 15, … as the fuzzers of C programs do. */
const bucketOf = (count: number) => (count < 4 ? count : 2 + Math.floor(Math.log2(count)))

/**
 * One session for the thread's whole life, begun before the product is loaded: what was compiled without it is only counted as a whole.
 * The inspector of the own thread answers before `post` returns.
 */
const session = new Session()
session.connect()
session.post('Profiler.enable')
session.post('Profiler.startPreciseCoverage', { callCount: true, detailed: true })

/** What has run since the last call. */
function ran(): readonly Profiler.ScriptCoverage[] {
  let scripts: readonly Profiler.ScriptCoverage[] = []
  session.post('Profiler.takePreciseCoverage', (error, answer) => {
    if (error !== null) throw error
    scripts = answer.result
  })
  return scripts
}

interface Span {
  readonly startOffset: number
  readonly endOffset: number
}

export interface Range extends Span {
  readonly count: number
}

/** V8 leaves a block out that ran as often as what is around it: its count is that of the smallest range it lies in. */
export function countOf(block: Span, ranges: readonly Range[]): number {
  let smallest: Range | undefined
  for (const range of ranges) {
    if (range.startOffset > block.startOffset || range.endOffset < block.endOffset) continue
    // of two that are equal the later is the inner one
    if (smallest === undefined || range.endOffset - range.startOffset <= smallest.endOffset - smallest.startOffset)
      smallest = range
  }
  return smallest?.count ?? 0
}

export interface Reached {
  readonly functions: number
  /** Blocks that ran; a function is one, and so is each branch in it that ran more or less often than what is around it. */
  readonly blocks: number
  readonly files: number
}

export class Coverage {
  readonly #wanted: (url: string) => boolean
  readonly #functions = new Set<string>()
  /** Blocks that V8 ever told of, by function: also those that did not run then. */
  readonly #known = new Map<string, Map<string, Span>>()
  readonly #blocks = new Set<string>()
  readonly #seen = new Set<string>()
  readonly #files = new Set<string>()

  constructor(wanted: (url: string) => boolean = isProduct) {
    this.#wanted = wanted
  }

  /** True when a block has run since the last call that never ran before. Of several inputs together nothing more can be said. */
  hasNewBlocks(): boolean {
    for (const { block } of this.#blocksRun()) if (!this.#blocks.has(block)) return true
    return false
  }

  /** Notes what has run since the last call; true when some of it is new, in a block or in how often it ran. */
  note(): boolean {
    let isNew = false
    for (const { url, block, whole, count } of this.#blocksRun()) {
      this.#files.add(url)
      this.#functions.add(whole)
      this.#blocks.add(block)
      const often = `${block}:${bucketOf(count)}`
      if (this.#seen.has(often)) continue
      this.#seen.add(often)
      isNew = true
    }
    return isNew
  }

  get reached(): Reached {
    return { functions: this.#functions.size, blocks: this.#blocks.size, files: this.#files.size }
  }

  /** Every known block of every function that ran, with how often it did. */
  *#blocksRun(): Generator<{ url: string; whole: string; block: string; count: number }> {
    for (const { url, functions } of ran()) {
      if (!this.#wanted(url)) continue
      for (const { ranges } of functions) {
        const [first] = ranges
        if (first === undefined || first.count === 0) continue
        const whole = `${url}:${first.startOffset}-${first.endOffset}`
        const known = this.#known.get(whole) ?? new Map<string, Span>()
        this.#known.set(whole, known)
        for (const { startOffset, endOffset } of ranges)
          known.set(`${whole}:${startOffset}-${endOffset}`, { startOffset, endOffset })
        for (const [block, span] of known) {
          const count = countOf(span, ranges)
          if (count > 0) yield { url, whole, block, count }
        }
      }
    }
  }
}
