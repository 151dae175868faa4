/** A cancelled job that ends here, under its site's lock; a site that has not said that it has none of it is told at the next contact. */
import { readDescription } from '../contract/read-description.ts'
import type { CancelRequest } from './accept.ts'
import { finishUnsent } from './finish-unsent.ts'
import type { Gateway } from './gateway.ts'
import { appendEvents } from './journal.ts'
import type { Lock } from './lock.ts'
import { destinationsOf, release } from './reservations.ts'
import { readSubmitted } from './submitted-file.ts'
import { withdraw } from './withdraw.ts'

export function endCancelledHere(
  gateway: Gateway,
  lock: Lock,
  { name, id, site }: CancelRequest,
  how: { readonly message: string; readonly told: boolean },
): void {
  const found = readSubmitted(gateway, name)
  if (found === undefined || found === 'raw' || found.hpc.id !== id || found.job !== undefined) return
  const { hpc, original } = found
  if (!how.told && hpc.key !== undefined) withdraw(gateway, site, { id, key: hpc.key })
  finishUnsent(gateway, lock, original, hpc, 'cancelled', how.message)
  const reading = readDescription(original, `${name}.job`)
  if (reading.ok) release(gateway, id, destinationsOf(reading.description))
  appendEvents(gateway, [{ event: 'cancelled', id, name }])
}
