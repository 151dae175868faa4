/** The first word of a pass to a site: who asks, for which lanes, and which workspace it knows. */
import { protocolVersion, type Request } from '../contract/protocol.ts'
import type { Site } from './config.ts'
import type { Gateway } from './gateway.ts'
import { shapeOf } from './lane-shapes.ts'

export function helloOf(
  gateway: Gateway,
  site: Site,
  uuid: string,
  workspace: string | null,
  peek = false,
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
    lanes: Object.values(site.lanes).map((lane) => shapeOf(site, lane, gateway.options)),
    allocationLimit: site.limits.allocations ?? null,
    storeBytes: site.storeBytes,
  }
}
