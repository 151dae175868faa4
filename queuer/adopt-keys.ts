/**
 * Keys of a lane that can start no runner, moved to the lane that took its place: a lane is its name and its shape, so when the operator
 * mends a queue name or a time, what waits in the old shape would wait there for ever.
 */
import { join } from 'node:path'
import { idOfKey, keysIn } from '../contract/spool.ts'
import type { JobRecord, LaneHealth, LaneShape } from '../contract/spool-records.ts'
import type { Allocation } from '../scheduler/scheduler.ts'
import type { Pass, Queuer } from './queuer.ts'

/** True when nothing will come of the lane as it is: the last start failed, or all that is asked for can never start. */
export function isHopeless(allocations: readonly Allocation[], health: LaneHealth | undefined): boolean {
  if (allocations.length > 0) return allocations.every(({ stuck }) => stuck === true)
  return (health?.failedStarts ?? 0) > 0
}

/** The lane of this pass with the same name, when the pass does not name this one. */
export function successorOf(pass: Pass, shape: LaneShape): LaneShape | undefined {
  if (pass.lanes.some(({ lane }) => lane === shape.lane)) return undefined
  return pass.lanes.find(({ name }) => name === shape.name)
}

/** Moves the keys of this gateway's own jobs: only its own config tells that the lane has changed for them. */
export function adoptKeys(queuer: Queuer, pass: Pass, from: LaneShape, to: LaneShape): number {
  const { files, spool } = queuer
  let moved = 0
  for (const key of keysIn(files.list(spool.queue(from.lane)))) {
    const id = idOfKey(key)
    const job = id === undefined ? undefined : files.readJson<JobRecord>(spool.control(id).record)
    if (job === undefined || job.gateway !== pass.gateway) continue
    if (job.timeMs !== undefined && job.timeMs > to.timeMs) continue
    if (files.move(join(spool.queue(from.lane), key), join(spool.queue(to.lane), key))) moved += 1
  }
  if (moved > 0) queuer.log.info(`${moved} jobs of lane ${from.lane} go on in lane ${to.lane}`)
  return moved
}
