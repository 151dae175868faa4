/** One pass over the dropbox and all sites. A crash between any two lines loses nothing: the next pass reads the files and goes on. */
import type { HpcError } from '../contract/errors.ts'
import { promised } from '../system/promised.ts'
import { remember } from '../system/remember.ts'
import type { Accepted } from './accept.ts'
import { Arrivals } from './arrivals.ts'
import type { Pass, Sessions } from './attend-site.ts'
import { gatewayUuid, type Wake } from './dropbox.ts'
import type { Gateway } from './gateway.ts'
import { glance, nothingAccepted } from './glance.ts'
import { waitForLock, withLock } from './lock.ts'
import { removedSites, sitesToAsk } from './outstanding.ts'
import { confirmPublished } from './pending.ts'
import type { SiteReport } from './site-pass.ts'
import { readSiteState } from './site-state.ts'
import { findTemplate } from './templates.ts'
import { Turns } from './turns.ts'

export interface TickReport {
  readonly accepted: Accepted | undefined
  readonly sites: readonly SiteReport[]
  readonly errors: readonly HpcError[]
  /** Locks other passes hold: `accept`, `site <name>`, each with who. */
  readonly busy: readonly string[]
}

const confirmPatienceMs = 10_000
const headStartMs = 500

/** With `wake` only what woke it is looked at in the dropbox: what no event told of is left to a pass without. */
export async function tick(
  gateway: Gateway,
  sessions: Sessions = () => undefined,
  wake: Wake | undefined = undefined,
): Promise<TickReport> {
  const uuid = gatewayUuid(gateway)
  const busy: string[] = []
  const arrivals = new Arrivals()
  const { idle, certain, inFlight } = glance(gateway, wake)
  // sites are attended from the first accepted job on, and get the others as they are accepted
  const headStart = promised<void>()
  const asked = arrivals.begun.then(() => sitesToAsk(gateway, inFlight, wake !== undefined))
  const attending = attendSites({ gateway, uuid, arrivals, asked, busy, sessions }, certain, headStart.resolve)
  // accepting keeps the thread busy: a connection is dialled first, and has its round trips meanwhile
  if (certain) await gateway.clock.within(headStartMs, headStart.promise)
  const accepted = await acceptAll(gateway, uuid, arrivals, busy, idle, wake).finally(() => attending)
  const removed = await attendRemovedSites(gateway, accepted, busy)
  const passes = await attending
  const sites = passes.flatMap((pass) => (pass.status === 'fulfilled' && pass.value !== undefined ? [pass.value] : []))
  const errors = passes.flatMap((pass) => (pass.status === 'rejected' ? [pass.reason as HpcError] : []))
  // short work: whoever holds the lock now is soon done, and a job that is not confirmed would be asked for once more
  const lock = sites.length === 0 ? undefined : await waitForLock(gateway, 'accept', confirmPatienceMs)
  if (lock !== undefined) {
    try {
      confirmPublished(gateway, sites)
    } finally {
      await lock.release()
    }
  }
  return { accepted, sites, errors: [...removed, ...errors], busy }
}

/** What is to be said of sites that have left the config with jobs of ours. */
async function attendRemovedSites(
  gateway: Gateway,
  accepted: Accepted | undefined,
  busy: string[],
): Promise<HpcError[]> {
  const removed = removedSites(gateway)
  if (removed.length === 0) return []
  const { attendRemoved } = await import('./removed-sites.ts')
  const errors: HpcError[] = []
  for (const site of removed) {
    const cancels = accepted?.cancels.filter((request) => request.site === site) ?? []
    const error = await attendRemoved(gateway, site, cancels, busy)
    if (error !== undefined) errors.push(error)
  }
  return errors
}

/** What reads descriptions and renders templates is loaded when there is something to read: most passes of a cron find nothing. */
async function acceptAll(
  gateway: Gateway,
  uuid: string,
  arrivals: Arrivals,
  busy: string[],
  idle: boolean,
  wake: Wake | undefined,
): Promise<Accepted | undefined> {
  let accepted: Accepted | undefined
  try {
    accepted = idle ? nothingAccepted() : await acceptUnderLock(gateway, uuid, arrivals, busy, wake)
    return accepted
  } finally {
    arrivals.end(accepted)
  }
}

async function acceptUnderLock(
  gateway: Gateway,
  uuid: string,
  arrivals: Arrivals,
  busy: string[],
  wake: Wake | undefined,
) {
  const { accept } = await import('./accept.ts')
  return withLock(gateway, 'accept', busy, (lock) =>
    accept({
      gateway,
      lock,
      uuid,
      wake,
      turns: new Turns(gateway),
      failingMs: remember((site: string) => readSiteState(gateway, site).failingMs),
      findTemplate: remember((script: string) => findTemplate(gateway, script)),
      folders: new Map(),
      handOn: (jobs) => arrivals.add(jobs),
    }),
  )
}

/** `begun` is called when all that is to be done for them at first is done, and they are only waited for. */
async function attendSites(
  pass: Pass,
  certain: boolean,
  begun: () => void,
): Promise<PromiseSettledResult<SiteReport | undefined>[]> {
  const { gateway, asked } = pass
  // a site whose turn fails before it is known whether it is asked does not await it
  asked.catch(() => undefined)
  // when a job is certain to come, connecting need not wait for it
  const sites = certain ? Object.values(gateway.config.sites) : await asked
  if (sites.length === 0) return []
  const { attendSite } = await import('./attend-site.ts')
  const each = sites.map((site) => {
    const own = promised<void>()
    const attended = attendSite(pass, site, own.resolve)
    const over = () => own.resolve()
    attended.then(over, over)
    return { attended, begun: own.promise }
  })
  void Promise.all(each.map((one) => one.begun)).then(() => begun())
  return Promise.allSettled(each.map(({ attended }) => attended))
}
