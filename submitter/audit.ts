/**
 * The audit: jobs in flight of which no listing has told for long are asked for by id. Only a workspace that has its marker and twice,
 * ten minutes apart, knows nothing of a job makes it `lost`.
 */
import { join } from 'node:path'
import { readDescription } from '../contract/read-description.ts'
import type { ObserverTime } from '../contract/spool-records.ts'
import type { Site } from './config.ts'
import { finishUnsent } from './finish-unsent.ts'
import { type Gateway, statePaths } from './gateway.ts'
import { appendEvents } from './journal.ts'
import type { Lock } from './lock.ts'
import { allSubmitted, readPending } from './pending.ts'
import { destinationsOf, release } from './reservations.ts'
import type { SiteReport } from './site-pass.ts'
import type { SiteState } from './site-state.ts'
import { readSubmitted } from './submitted-file.ts'

const everyMs = 900_000
const apartMs = 600_000

export interface Audit {
  /** Ids of the site's jobs in flight, to be asked for. */
  readonly ids: readonly string[]
  /** `.submitted` files that are not ours: to be treated as `.job` files of their owners. */
  readonly strays: readonly string[]
  /** Whether with these all have been asked for; else the rest is for later passes, or it is not yet time. */
  readonly whole: boolean
  /** The name after which the next pass goes on. */
  readonly next?: string
}

/** So many are read and asked for in a pass: a hundred thousand would hold it up for half a minute. */
const sliceOf = 5_000

/** What is to be asked for now: everything when it is time, a slice a pass, and always what the site has denied once. */
export function planAudit(gateway: Gateway, site: Site, state: SiteState, now: ObserverTime, most = sliceOf): Audit {
  const suspects = Object.keys(readSuspects(gateway, site.name))
  const due =
    state.lastAudit === undefined || state.lastAudit.bootId !== now.bootId || now.ms - state.lastAudit.ms >= everyMs
  if (!due) return { ids: suspects, strays: [], whole: false }
  const pending = new Set((readPending(gateway) ?? []).map(({ name }) => name))
  const from = state.auditedTo ?? ''
  const names = allSubmitted(gateway).filter((name) => name > from)
  const slice = names.sort().slice(0, most)
  const ids = new Set(suspects)
  const strays: string[] = []
  for (const name of slice) {
    if (pending.has(name)) continue
    const found = readSubmitted(gateway, name)
    if (found === 'raw') strays.push(name)
    else if (found?.hpc.site === site.name) ids.add(found.hpc.id)
  }
  const next = slice.length < names.length ? slice.at(-1) : undefined
  return { ids: [...ids], strays, whole: next === undefined, ...(next === undefined ? {} : { next }) }
}

interface Suspect {
  readonly since: ObserverTime
}

function suspectsPath(gateway: Gateway, site: string): string {
  return join(statePaths(gateway.config.state).sites, `${site}.suspects.json`)
}

function readSuspects(gateway: Gateway, site: string): Record<string, Suspect> {
  return gateway.files.readJson<Record<string, Suspect>>(suspectsPath(gateway, site)) ?? {}
}

/** Ends jobs their site has denied twice; a first denial is remembered. */
export function giveUpLost(gateway: Gateway, lock: Lock, report: Pick<SiteReport, 'site' | 'absent'>): void {
  const before = readSuspects(gateway, report.site)
  if (report.absent.length === 0 && Object.keys(before).length === 0) return
  const now = gateway.clock.uptime()
  const after: Record<string, Suspect> = {}
  const lost = new Set<string>()
  for (const id of report.absent) {
    const first = before[id]
    if (first === undefined || first.since.bootId !== now.bootId) after[id] = { since: now }
    else if (now.ms - first.since.ms < apartMs) after[id] = first
    else lost.add(id)
  }
  if (lost.size > 0) {
    for (const name of allSubmitted(gateway)) {
      const found = readSubmitted(gateway, name)
      if (found === undefined || found === 'raw' || !lost.has(found.hpc.id)) continue
      const message = `The site "${report.site}" has lost this job: its workspace is there and knows nothing of it (scratch cleaned?); drop it again`
      finishUnsent(gateway, lock, found.original, found.hpc, 'aborted', message)
      const reading = readDescription(found.original, `${name}.job`)
      if (reading.ok) release(gateway, found.hpc.id, destinationsOf(reading.description))
      appendEvents(gateway, [{ event: 'aborted', id: found.hpc.id, name, note: message }])
    }
  }
  gateway.files.replace(suspectsPath(gateway, report.site), `${JSON.stringify(after)}\n`)
}
