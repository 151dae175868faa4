/** Expiry: jobs of a site that has been failing longer than they may wait end here; the site is told if it ever answers again. */
import { readDescription } from '../contract/read-description.ts'
import { renderDuration } from '../contract/units.ts'
import { finishUnsent } from './finish-unsent.ts'
import type { Gateway } from './gateway.ts'
import { appendEvents } from './journal.ts'
import type { Lock } from './lock.ts'
import { allSubmitted } from './pending.ts'
import { destinationsOf, release } from './reservations.ts'
import { readSubmitted } from './submitted-file.ts'
import { withdraw } from './withdraw.ts'

/** Whether a job has used up its expiry, by the failing time of its site: a pure choice. */
export function hasExpired(failingMs: number, baseMs: number | undefined, expiryMs: number): boolean {
  return failingMs - (baseMs ?? 0) > expiryMs
}

/** Ends what has expired; how many it ended, and how many are left in flight. */
export function expireJobs(
  gateway: Gateway,
  lock: Lock,
  site: string,
  failingMs: number,
  trouble: string,
): { ended: number; left: number } {
  let left = 0
  let ended = 0
  for (const name of allSubmitted(gateway)) {
    const found = readSubmitted(gateway, name)
    if (found === undefined || found === 'raw' || found.hpc.site !== site || found.job !== undefined) continue
    const { hpc, original } = found
    const reading = readDescription(original, `${name}.job`)
    const expiryMs = (reading.ok ? reading.description.expiryMs : undefined) ?? gateway.config.expiryMs
    if (!hasExpired(failingMs, hpc.expiry_base_ms, expiryMs)) {
      left += 1
      continue
    }
    const message = `The site "${site}" did not answer until the job's expiry of ${renderDuration(expiryMs)} ran out (${trouble}); drop it again when it does`
    if (hpc.key !== undefined) withdraw(gateway, site, { id: hpc.id, key: hpc.key })
    finishUnsent(gateway, lock, original, hpc, 'aborted', message)
    if (reading.ok) release(gateway, hpc.id, destinationsOf(reading.description))
    appendEvents(gateway, [{ event: 'aborted', id: hpc.id, name, note: message }])
    ended += 1
  }
  return { ended, left }
}
