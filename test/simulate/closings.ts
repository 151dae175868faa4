/** Promise 7 as it goes on: no runner leaves a job behind that lay in its queue when it said that it was closing, and for which it had time. */

import { idOfKey, keysIn } from '../../contract/spool.ts'
import type { JobRecord } from '../../contract/spool-records.ts'
import { minuteMs } from './plan.ts'
import type { Task } from './task.ts'
import type { World } from './world.ts'

export class Closings {
  readonly #world: World
  /** Keys that waited when a seat's closing was announced, by the seat. */
  readonly #waiting = new Map<string, readonly string[]>()

  constructor(world: World) {
    this.#world = world
  }

  created(task: Task, path: string): void {
    const [, root = '', lane = '', seat = '', what] =
      /^(.*\/workspace)\/lanes\/([^/]+)\/seats\/(\d+\.\d+)\.(closing|released)$/.exec(path) ?? []
    if (what === undefined) return
    const name = `${root}/${lane}/${seat}`
    const queue = `${root}/queue/${lane}`
    const keys = keysIn(this.#world.disk.names(queue))
    if (what === 'closing') {
      this.#waiting.set(name, keys)
      return
    }
    const { disk } = this.#world
    if (disk.text(path.replace(/released$/, 'closing')) === undefined || !this.#hasTime(task)) return
    for (const key of this.#waiting.get(name) ?? []) {
      if (!keys.includes(key)) continue
      const text = disk.text(`${root}/control/${idOfKey(key)}/job.yml`)
      const job = text === undefined ? undefined : (JSON.parse(text) as JobRecord)
      if (job !== undefined && job.timeMs === undefined)
        this.#world.breaks(`a runner left while ${job.name} waited for it in ${queue}`)
    }
  }

  /** Enough for a job of unknown time, and a file system that tells the truth about its folders. */
  #hasTime(task: Task): boolean {
    const { kernel, fullUntilMs, plan, sites } = this.#world
    for (const { cluster, volume } of sites) {
      const own = [...cluster.allocations.values()].find(({ runner }) => runner === task)
      if (own === undefined) continue
      const leftMs = own.startedMs + own.walltimeMs - kernel.now
      return leftMs > (plan.marginMin + 3) * minuteMs && (fullUntilMs.get(volume) ?? 0) < kernel.now
    }
    return false
  }
}
