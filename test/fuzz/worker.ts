/** The thread that fuzzes: what it is at stands in shared memory, so that whoever watches it knows the input that it never came back from. */
import { parentPort, workerData } from 'node:worker_threads'
import { type Announce, hunt, type Limits } from './hunt.ts'
import type { Target } from './target.ts'

export interface Order {
  readonly names: readonly string[]
  readonly limits: Limits
  readonly shared: SharedArrayBuffer
  /** The module with the targets. */
  readonly module: string
}

const { names, limits, shared, module } = workerData as Order
const counters = new Int32Array(shared, 0, 2)
const room = new Uint8Array(shared, 8)
const announce: Announce = (input) => {
  const part = input.subarray(0, room.length)
  room.set(part)
  Atomics.store(counters, 1, part.length)
  Atomics.add(counters, 0, 1)
}
const { targets } = (await import(module)) as { targets: readonly Target[] }
for (const name of names) {
  const target = targets.find((one) => one.name === name)
  if (target === undefined) throw new Error(`there is no target ${name}`)
  parentPort?.postMessage(await hunt(target, limits, announce))
}
