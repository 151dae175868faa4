/** Jobs ended here that may have reached their site: the site is told first thing at the next contact. */
import { join } from 'node:path'
import { type Gateway, statePaths } from './gateway.ts'

export interface Withdrawal {
  readonly id: string
  readonly key: string
}

function path(gateway: Gateway, site: string): string {
  return join(statePaths(gateway.config.state).withdraw, `${site}.json`)
}

export function readWithdrawals(gateway: Gateway, site: string): Withdrawal[] {
  return gateway.files.readJson<Withdrawal[]>(path(gateway, site)) ?? []
}

export function withdraw(gateway: Gateway, site: string, job: Withdrawal): void {
  gateway.files.makeFolder(statePaths(gateway.config.state).withdraw)
  gateway.files.publish(path(gateway, site), `${JSON.stringify([...readWithdrawals(gateway, site), job])}\n`)
}

export function forgetWithdrawals(gateway: Gateway, site: string, done: ReadonlySet<string>): void {
  const left = readWithdrawals(gateway, site).filter(({ id }) => !done.has(id))
  gateway.files.publish(path(gateway, site), `${JSON.stringify(left)}\n`)
}
