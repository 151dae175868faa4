/** Runs targets in a thread of little memory and watches it: an input that never ends, or takes it all, is a finding as any other. */
import { Worker } from 'node:worker_threads'
import type { Failure, Limits, Report } from './hunt.ts'
import type { Order } from './worker.ts'

const usualMemoryMb = 512
const inputRoom = 1024 * 1024
const lookMs = 500

export interface Watch {
  readonly limits: Limits
  readonly module?: string
  /** So long at one input is for ever. */
  readonly patienceMs?: number
  readonly memoryMb?: number
  readonly onReport?: (report: Report) => void
}

export async function runTargets(names: readonly string[], watch: Watch): Promise<Report[]> {
  const reports: Report[] = []
  let left = [...names]
  while (left.length > 0) {
    const { done, lost } = await oneThread(left, watch)
    for (const report of done) reports.push(report)
    left = left.slice(done.length)
    const [name] = left
    if (lost === undefined || name === undefined) break
    const report = failed(name, lost)
    watch.onReport?.(report)
    reports.push(report)
    left = left.slice(1)
  }
  return reports
}

function failed(name: string, failure: Failure): Report {
  const reached = { functions: 0, blocks: 0, files: 0 }
  return { name, tried: 0, kept: 0, reached, refusals: 0, slowestMs: 0, failures: [failure] }
}

/** Until all are done, or the thread is lost with an input. */
async function oneThread(
  names: readonly string[],
  watch: Watch,
): Promise<{ done: Report[]; lost: Failure | undefined }> {
  const module = watch.module ?? new URL('./targets/all.ts', import.meta.url).href
  const memoryMb = watch.memoryMb ?? usualMemoryMb
  const shared = new SharedArrayBuffer(8 + inputRoom)
  const counters = new Int32Array(shared, 0, 2)
  const order: Order = { names, limits: watch.limits, shared, module }
  // a thread of Node 20 does not inherit what `--import tsx` set up
  const begin = `import('tsx/esm/api').then(({ register }) => { register(); return import(${JSON.stringify(new URL('./worker.ts', import.meta.url).href)}) })`
  const worker = new Worker(begin, {
    eval: true,
    workerData: order,
    resourceLimits: { maxOldGenerationSizeMb: memoryMb },
  })
  const done: Report[] = []
  const input = () => Uint8Array.from(new Uint8Array(shared, 8, Atomics.load(counters, 1)))
  return new Promise((resolve) => {
    let lost: Failure | undefined
    let count = -1
    let sinceMs = performance.now()
    const timer = setInterval(() => {
      const now = Atomics.load(counters, 0)
      if (now !== count) {
        count = now
        sinceMs = performance.now()
      } else if (count > 0 && performance.now() - sinceMs > (watch.patienceMs ?? 60_000)) {
        lose('did not come to an end')
      }
    }, lookMs)
    const lose = (what: string) => {
      lost ??= { what, input: input() }
      void worker.terminate()
    }
    worker.on('message', (report: Report) => {
      done.push(report)
      watch.onReport?.(report)
    })
    worker.on('error', (error: Error & { code?: string }) => {
      lose(
        error.code === 'ERR_WORKER_OUT_OF_MEMORY'
          ? `took more than ${memoryMb} MB`
          : `ended the thread: ${error.message}`,
      )
    })
    worker.on('exit', () => {
      clearInterval(timer)
      resolve({ done, lost })
    })
  })
}
