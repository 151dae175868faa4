/** The first word of a pass to a site: who asks, for which lanes, and which workspace it knows. */
import { protocolVersion, type Request } from '../contract/protocol.ts'
import type { LaneShape } from '../contract/spool-records.ts'
import type { Lane, Site } from './config.ts'
import type { Gateway } from './gateway.ts'
import { shapeOf } from './lane-shapes.ts'

export function helloOf(
  gateway: Gateway,
  site: Site,
  uuid: string,
  workspace: string | null,
  peek = false,
  more: readonly Lane[] = [],
): Extract<Request, { type: 'hello' }> {
  const folder = gateway.files.stat(gateway.config.dropbox)
  return {
    type: 'hello',
    protocol: protocolVersion,
    gateway: uuid,
    pass: gateway.uuid(),
    workspace,
    dropbox: { inode: String(folder?.ino ?? ''), host: gateway.host },
    takeOver: gateway.options.takeOver,
    peek,
    observer: gateway.clock.uptime(),
    lanes: shapesOf(gateway, site, [...Object.values(site.lanes), ...more]),
    allocationLimit: site.limits.allocations ?? null,
  }
}

/** Each shape once: jobs may bring lanes that were made for them. */
function shapesOf(gateway: Gateway, site: Site, lanes: readonly Lane[]): LaneShape[] {
  const shapes = lanes.map((lane) => shapeOf(site, lane, gateway.options))
  return [...new Map(shapes.map((shape) => [shape.lane, shape])).values()]
}
