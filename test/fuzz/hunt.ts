/** One target's run: inputs are made, tried and, where they reach new code, kept to make more of. */

import { shapeOf } from '../hostile/tried.ts'
import { cpuMs } from '../support/cpu-time.ts'
import { Coverage, type Reached } from './coverage.ts'
import { found } from './found.ts'
import { Mutator } from './mutate.ts'
import type { Target } from './target.ts'

export interface Failure {
  readonly what: string
  readonly input: Uint8Array
}

export interface Report {
  readonly name: string
  readonly tried: number
  readonly kept: number
  readonly reached: Reached
  /** Distinct sentences of refusal, values taken out. */
  readonly refusals: number
  readonly slowestMs: number
  readonly failures: readonly Failure[]
}

export interface Limits {
  readonly seed: number
  readonly inputs: number
  readonly seconds: number
  /** Without it every input is made of the first ones: for comparing. */
  readonly guided: boolean
  /** So many different ones are enough. */
  readonly failures?: number
}

/** Any input is done with in so much time of the processor; far more than any takes. */
export const slowMs = 2_000
const enoughFailures = 5
/** Coverage is asked once for so many inputs; only when there is something new, for each of them. */
const batch = 8

/** Called before each input, so that one which never ends or takes all memory is known. */
export type Announce = (input: Uint8Array) => void

export async function hunt(target: Target, limits: Limits, announce: Announce = () => undefined): Promise<Report> {
  const coverage = new Coverage(target.code)
  const corpus: Buffer[] = [...target.seeds, ...(found[target.name] ?? [])].map((seed) =>
    Buffer.from(seed as Uint8Array),
  )
  const first = [...corpus]
  const mutator = new Mutator(limits.seed, target.words)
  const refusals = new Set<string>()
  const failures = new Map<string, Failure>()
  let tried = 0
  let slowestMs = 0

  const attempt = async (input: Buffer): Promise<string | undefined> => {
    announce(input)
    const began = cpuMs()
    try {
      const refusal = await target.run(input)
      if (refusal !== '') refusals.add(shapeOf(refusal))
    } catch (error) {
      return describe(error)
    } finally {
      slowestMs = Math.max(slowestMs, cpuMs() - began)
    }
    const tookMs = cpuMs() - began
    return tookMs > slowMs ? `took more than ${slowMs} ms` : undefined
  }
  const tryOne = async (input: Buffer): Promise<void> => {
    tried += 1
    let what = await attempt(input)
    // a machine that was busy elsewhere is no finding
    if (what?.startsWith('took ') === true) what = await attempt(input)
    if (what === undefined || failures.has(shapeOf(what))) return
    failures.set(shapeOf(what), { what, input: await smaller(input, what, attempt) })
  }

  coverage.note()
  for (const seed of first) await tryOne(seed)
  coverage.note()
  const end = performance.now() + limits.seconds * 1000
  while (tried < limits.inputs && performance.now() < end && failures.size < (limits.failures ?? enoughFailures)) {
    const made = Array.from({ length: Math.min(batch, limits.inputs - tried) }, () =>
      mutator.next(limits.guided ? corpus : first),
    )
    for (const input of made) await tryOne(input)
    if (!limits.guided) coverage.note()
    else if (coverage.hasNewBlocks()) {
      // which of them it was
      for (const input of made) {
        await attempt(input)
        if (coverage.note()) corpus.push(input)
      }
    }
  }
  const { reached } = coverage
  await target.end?.()
  return {
    name: target.name,
    tried,
    kept: corpus.length,
    reached,
    refusals: refusals.size,
    slowestMs: Math.round(slowestMs),
    failures: [...failures.values()],
  }
}

function describe(error: unknown): string {
  if (!(error instanceof Error)) return `threw ${String(error)}`
  const [where = ''] = /\n\s+at .*/.exec(error.stack ?? '') ?? []
  return `${error.name}: ${error.message.slice(0, 500)}${where.trimEnd()}`
}

/** The same failure with as little as possible: pieces are left out while it stays. */
async function smaller(
  input: Buffer,
  what: string,
  attempt: (input: Buffer) => Promise<string | undefined>,
): Promise<Buffer> {
  if (what.startsWith('took ')) return input
  let best = input
  let left = 400
  for (let size = Math.ceil(best.length / 2); size >= 1 && left > 0; size = Math.floor(size / 2)) {
    for (let at = 0; at < best.length && left > 0; left--) {
      const without = Buffer.concat([best.subarray(0, at), best.subarray(at + size)])
      const again = await attempt(without)
      if (again !== undefined && shapeOf(again) === shapeOf(what)) best = without
      else at += size
    }
  }
  return best
}
