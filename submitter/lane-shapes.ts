/** A configured lane as the other side knows it: named by its shape, so that a changed shape is another lane and the old one drains. */
import type { LaneShape } from '../contract/spool-records.ts'
import { sha256 } from '../system/digest.ts'
import type { JobToSend } from './accept-job.ts'
import type { Lane, Site } from './config.ts'
import { shapeOfLane } from './config-file.ts'
import type { Gateway, Options } from './gateway.ts'

interface Known {
  readonly site: Site
  readonly options: Options
  readonly shape: LaneShape
}

/** The config never changes under way, and most jobs go to the same few lanes of it. */
const known = new WeakMap<Lane, Known>()

export function shapeOf(site: Site, lane: Lane, options: Options): LaneShape {
  const before = known.get(lane)
  if (before !== undefined && before.site === site && before.options === options) return before.shape
  const shape = makeShape(site, lane, options)
  known.set(lane, { site, options, shape })
  return shape
}

function makeShape(site: Site, lane: Lane, options: Options): LaneShape {
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

/** Lanes that jobs bring because they were made for them; each is told to the site once a pass, before the first of its jobs. */
export class MadeLanes {
  readonly #gateway: Gateway
  readonly #site: Site
  readonly #told: Set<string>

  constructor(gateway: Gateway, site: Site) {
    this.#gateway = gateway
    this.#site = site
    this.#told = new Set(Object.values(site.lanes).map((lane) => shapeOf(site, lane, gateway.options).lane))
  }

  newOf(jobs: readonly JobToSend[]): LaneShape[] {
    const shapes: LaneShape[] = []
    for (const { plan } of jobs) {
      if (this.#told.has(plan.laneId)) continue
      this.#told.add(plan.laneId)
      shapes.push(shapeOf(this.#site, plan.lane, this.#gateway.options))
    }
    return shapes
  }
}
