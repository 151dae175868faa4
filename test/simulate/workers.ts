/** Schedules on all cores: workers are given the programs once, and seeds a few at a time. */
import { type ChildProcess, fork } from 'node:child_process'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import type { ProgramTexts } from './programs.ts'

/** What a worker says of one seed. */
export interface Told {
  readonly seed: number
  readonly broken: readonly string[]
  readonly injected: readonly (readonly [string, number])[]
}

export interface Order {
  readonly texts?: ProgramTexts
  readonly faults: boolean
  readonly seeds: readonly number[]
}

export interface Hunt {
  readonly texts: ProgramTexts
  readonly first: number
  readonly count: number
  readonly faults?: boolean
  /** No more seeds are begun after that. */
  readonly endMs?: number
  /** Told of each seed, in no order; false: nothing more is wanted. */
  readonly told: (told: Told) => boolean
}

const seedsAtOnce = 4

/** Runs until all seeds are done, time is up or nothing more is wanted; the seeds before which all have been run. */
export async function runSeeds({ texts, first, count, faults = true, endMs, told }: Hunt): Promise<number> {
  const end = first + count
  let next = first
  let goesOn = true
  const done = new Set<number>()
  const take = () => {
    if (!goesOn || (endMs !== undefined && performance.now() > endMs)) return []
    const seeds = Array.from({ length: Math.min(seedsAtOnce, end - next) }, (_, i) => next + i)
    next += seeds.length
    return seeds
  }
  const work = (child: ChildProcess) =>
    new Promise<void>((resolve, reject) => {
      let left = 0
      const give = (order: Order) => {
        left = order.seeds.length
        if (left > 0) child.send(order)
        else child.kill()
      }
      child.on('message', (message: Told) => {
        done.add(message.seed)
        if (goesOn && !told(message)) goesOn = false
        left -= 1
        if (left === 0) give({ faults, seeds: take() })
        else if (!goesOn) child.kill()
      })
      child.on('exit', (code, signal) => {
        if (signal === 'SIGTERM' || code === 0) resolve()
        else reject(new Error(`a worker ended with ${code ?? signal}`))
      })
      give({ texts, faults, seeds: take() })
    })
  const workers = Math.max(1, Math.min(availableParallelism(), Math.ceil(count / seedsAtOnce)))
  const children = Array.from({ length: workers }, () => fork(join(import.meta.dirname, 'worker.ts')))
  await Promise.all(children.map(work))
  let upTo = first
  while (done.has(upTo)) upTo += 1
  return upTo
}
