/**
 * Jobs ended here that may have reached their site: the site is told first thing at the next contact. One file for each, because those
 * who accept and those who speak with a site note them under different locks.
 */
import { join } from 'node:path'
import { isJobId } from '../contract/spool.ts'
import { type Gateway, statePaths } from './gateway.ts'

export interface Withdrawal {
  readonly id: string
  readonly key: string
}

function folder(gateway: Gateway, site: string): string {
  return join(statePaths(gateway.config.state).withdraw, site)
}

export function readWithdrawals(gateway: Gateway, site: string): Withdrawal[] {
  const dir = folder(gateway, site)
  return gateway.files
    .list(dir)
    .filter(isJobId)
    .map((id) => gateway.files.readJson<Withdrawal>(join(dir, id)))
    .filter((found) => found !== undefined)
}

export function withdraw(gateway: Gateway, site: string, { id, key }: Withdrawal): void {
  gateway.files.makeFolder(folder(gateway, site))
  gateway.files.publish(join(folder(gateway, site), id), `${JSON.stringify({ id, key })}\n`)
}

export function forgetWithdrawals(gateway: Gateway, site: string, done: ReadonlySet<string>): void {
  for (const id of done) gateway.files.remove(join(folder(gateway, site), id))
}
