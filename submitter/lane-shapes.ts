/** A configured lane as the other side knows it: named by its shape, so that a changed shape is another lane and the old one drains. */
import type { LaneShape } from '../contract/spool-records.ts'
import { sha256 } from '../system/digest.ts'
import type { Lane, Site } from './config.ts'
import { shapeOfLane } from './config-file.ts'
import type { Options } from './gateway.ts'

export function shapeOf(site: Site, lane: Lane, options: Options): LaneShape {
  const core = shapeOfLane(site, lane)
  const email = options.email ?? lane.email
  return {
    lane: `${lane.name}-${sha256(JSON.stringify(core)).slice(0, 8)}`,
    name: lane.name,
    scheduler: site.scheduler.type,
    options: site.scheduler.options,
    ...(lane.queue === undefined ? {} : { queue: lane.queue }),
    ...(lane.gres === undefined ? {} : { gres: lane.gres }),
    ...(lane.memoryBytes === undefined ? {} : { memoryBytes: lane.memoryBytes }),
    ...(lane.cpus === undefined ? {} : { cpus: lane.cpus }),
    ...(lane.nodes === undefined ? {} : { nodes: lane.nodes }),
    ...(email === undefined ? {} : { email }),
    timeMs: lane.timeMs,
    marginMs: lane.marginMs,
    lingerMs: lane.lingerMs,
    slots: lane.slots,
    ...(lane.preflight === undefined ? {} : { preflight: lane.preflight }),
    ...(site.node === undefined ? {} : { node: site.node }),
    maxRunners: site.maxRunners,
    ...(options.debug ? { debug: true } : {}),
  }
}
