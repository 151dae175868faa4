/**
 * Sites that hold jobs of ours and have left the config. Nobody can be asked there, so their jobs wait visibly, and end when their expiry
 * has run out or their owners cancel them, as those of a site that fails; a site that comes back goes on, and is told of what ended.
 */
import { HpcError } from '../contract/errors.ts'
import type { CancelRequest } from './accept.ts'
import { endCancelledHere } from './end-cancelled.ts'
import { expireJobs } from './expire.ts'
import type { Gateway } from './gateway.ts'
import { withLock } from './lock.ts'
import { forgetAsked, removedTrouble } from './outstanding.ts'
import { allSubmitted, readPending } from './pending.ts'
import { afterFailure, readSiteState, writeSiteState } from './site-state.ts'
import { readSubmitted, type Submitted } from './submitted-file.ts'

/** Jobs that are with such a site; those that never got there are planned anew for another. */
function jobsAt(gateway: Gateway, site: string): Submitted[] {
  const pending = new Set((readPending(gateway) ?? []).map(({ name }) => name))
  return allSubmitted(gateway)
    .filter((name) => !pending.has(name))
    .map((name) => readSubmitted(gateway, name))
    .filter((found) => found !== undefined && found !== 'raw')
    .filter(({ hpc }) => hpc.site === site)
}

/** One look at a site that has left the config; what is to be said of it, or nothing when nothing of ours is there any more. */
export async function attendRemoved(
  gateway: Gateway,
  site: string,
  cancels: readonly CancelRequest[],
  busy: string[],
): Promise<HpcError | undefined> {
  return withLock(gateway, `site ${site}`, busy, async (lock) => {
    const message = `The job was cancelled; its site "${site}" is to be told`
    for (const request of cancels) endCancelledHere(gateway, lock, request, { message, told: false })
    if (jobsAt(gateway, site).length === 0) {
      forgetAsked(gateway, site)
      return undefined
    }
    const after = afterFailure(readSiteState(gateway, site), removedTrouble, gateway.clock.uptime())
    // one failure, however often we looked: when it comes back it is asked at once
    writeSiteState(gateway, site, { ...after, failures: 1 })
    expireJobs(gateway, lock, site, { ...after, failures: 1 }, removedTrouble)
    const left = jobsAt(gateway, site).length
    if (left === 0) return undefined
    return new HpcError(
      'site',
      `Cannot go on with ${left === 1 ? 'the job' : `the ${left} jobs`} at site "${site}": ${removedTrouble}`,
      { hint: 'put it back, or they end when their expiry has run out', concerns: { site } },
    )
  })
}
