/** Expiry: jobs of a site that has been failing longer than they may wait end here; the site is told if it ever answers again. */
import { readDescription } from '../contract/read-description.ts'
import { renderDuration } from '../contract/units.ts'
import { finishUnsent } from './finish-unsent.ts'
import type { Gateway } from './gateway.ts'
import { appendEvents } from './journal.ts'
import type { Lock } from './lock.ts'
import { allSubmitted } from './pending.ts'
import { destinationsOf, release } from './reservations.ts'
import { type SiteState, writeSiteState } from './site-state.ts'
import { readSubmitted } from './submitted-file.ts'
import { withdraw } from './withdraw.ts'

/** Whether a job has used up its expiry, by the failing time of its site: a pure choice. */
export function hasExpired(failingMs: number, baseMs: number | undefined, expiryMs: number): boolean {
  return failingMs - (baseMs ?? 0) > expiryMs
}

/** So many are read in a pass: a hundred thousand would hold it up for half a minute. */
const sliceOf = 5_000

export interface Expired {
  readonly ended: number
  /** Of this site's jobs that were looked at, those in flight. */
  readonly left: number
  /** Whether this pass looked at all. */
  readonly whole: boolean
}

/** Ends what has expired, a slice of all jobs a pass. */
export function expireJobs(
  gateway: Gateway,
  lock: Lock,
  site: string,
  state: SiteState,
  trouble: string,
  most = sliceOf,
): Expired {
  let left = 0
  let ended = 0
  const { failingMs, expiredTo: from = '', ...rest } = state
  const names = allSubmitted(gateway).filter((name) => name > from)
  const slice = names.sort().slice(0, most)
  for (const name of slice) {
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
  const next = slice.length < names.length ? slice.at(-1) : undefined
  // the next failed pass goes on after it
  if (next !== state.expiredTo)
    writeSiteState(gateway, site, { ...rest, failingMs, ...(next === undefined ? {} : { expiredTo: next }) })
  return { ended, left, whole: from === '' && next === undefined }
}
