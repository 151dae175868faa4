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
  /** Whether these are all; else only those that were denied before. */
  readonly whole: boolean
}

/** What is to be asked for now: everything when it is time, else what the site has denied once. */
export function planAudit(gateway: Gateway, site: Site, state: SiteState, now: ObserverTime): Audit {
  const suspects = Object.keys(readSuspects(gateway, site.name))
  const due =
    state.lastAudit === undefined || state.lastAudit.bootId !== now.bootId || now.ms - state.lastAudit.ms >= everyMs
  if (!due) return { ids: suspects, strays: [], whole: false }
  const pending = new Set((readPending(gateway) ?? []).map(({ name }) => name))
  const ids: string[] = []
  const strays: string[] = []
  for (const name of allSubmitted(gateway)) {
    if (pending.has(name)) continue
    const found = readSubmitted(gateway, name)
    if (found === 'raw') strays.push(name)
    else if (found?.hpc.site === site.name) ids.push(found.hpc.id)
  }
  return { ids, strays, whole: true }
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
