/** Whether anything of ours is, or may be, at a site: a gateway with nothing in flight asks nobody, and a pass of it costs one listing. */
import { sortNames } from './dropbox.ts'
import type { Gateway } from './gateway.ts'
import { readPending } from './pending.ts'
import { readWithdrawals } from './withdraw.ts'

export function hasOutstanding(gateway: Gateway): boolean {
  const { submitted } = sortNames(gateway.files.list(gateway.config.dropbox))
  if (submitted.size > 0 || (readPending(gateway) ?? []).length > 0) return true
  return Object.keys(gateway.config.sites).some((site) => readWithdrawals(gateway, site).length > 0)
}
