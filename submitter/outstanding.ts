/**
 * Whether anything of ours is, or may be, at a site: a gateway with nothing in flight asks nobody, and a pass of it costs one listing. A
 * mark stands from the first word to a site until a pass has ended well with nothing left in flight: a pass that died after its last
 * delivery left something to clean there.
 */
import { join } from 'node:path'
import type { Site } from './config.ts'
import { isSubmitted } from './dropbox.ts'
import { type Gateway, statePaths } from './gateway.ts'
import { readPending } from './pending.ts'
import { readWithdrawals } from './withdraw.ts'

const markEnding = '.asked'

function markPath(gateway: Gateway, site: string): string {
  return join(statePaths(gateway.config.state).sites, `${site}${markEnding}`)
}

function hasInFlight(gateway: Gateway): boolean {
  if ((readPending(gateway) ?? []).length > 0) return true
  return gateway.files.list(gateway.config.dropbox).some(isSubmitted)
}

/** The sites this pass has to ask: all when something is in flight or was accepted just now; else, unless it was woken, those with a mark. */
export function sitesToAsk(gateway: Gateway, inFlight: boolean, woken: boolean): Site[] {
  const all = Object.values(gateway.config.sites)
  if (inFlight || (readPending(gateway) ?? []).length > 0) return all
  if (woken) return []
  return all.filter(
    ({ name }) => gateway.files.exists(markPath(gateway, name)) || readWithdrawals(gateway, name).length > 0,
  )
}

export function markAsked(gateway: Gateway, site: string): void {
  const path = markPath(gateway, site)
  if (gateway.files.exists(path)) return
  gateway.files.makeFolder(statePaths(gateway.config.state).sites)
  gateway.files.publish(path, '')
}

export const removedTrouble = 'it is no longer in the config'

/** Sites that may hold something of ours and have left the config. */
export function removedSites(gateway: Gateway): string[] {
  const { files, config } = gateway
  return files
    .list(statePaths(config.state).sites)
    .filter((name) => name.endsWith(markEnding))
    .map((name) => name.slice(0, -markEnding.length))
    .filter((name) => !Object.hasOwn(config.sites, name))
}

export function forgetAsked(gateway: Gateway, site: string): void {
  gateway.files.remove(markPath(gateway, site))
}

/** After a pass that went through: nothing is left over there when nothing is in flight here. */
export function unmarkAsked(gateway: Gateway, site: string): void {
  if (!hasInFlight(gateway)) forgetAsked(gateway, site)
}
