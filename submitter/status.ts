/** `status`: every job of the dropbox with its state and, where it waits, why; every site with what the last pass saw. */
import { renderDuration } from '../contract/units.ts'
import { listDropbox, listResults, type Names } from './dropbox.ts'
import type { Gateway } from './gateway.ts'
import { removedSites, removedTrouble } from './outstanding.ts'
import { readPending } from './pending.ts'
import { readSiteState } from './site-state.ts'
import { readSubmitted } from './submitted-file.ts'

export interface JobStatus {
  readonly name: string
  readonly state: string
  readonly why?: string
  readonly id?: string
  readonly site?: string
  readonly lane?: string
  readonly since?: string
}

export interface SiteStatus {
  readonly site: string
  readonly healthy: boolean
  readonly trouble?: string
  readonly lastContact?: string
  readonly failingFor?: string
  readonly lanes: readonly {
    readonly name: string
    readonly waiting: number
    readonly running: number
    readonly allocations: readonly string[]
    readonly trouble?: string
  }[]
}

export interface Status {
  readonly jobs: readonly JobStatus[]
  readonly sites: readonly SiteStatus[]
}

/** Whereabouts by id, asked from the sites; without them a published job is called `scheduled`. */
export type Whereabouts = ReadonlyMap<string, string>

export function statusOf(gateway: Gateway, whereabouts: Whereabouts, wanted: readonly string[]): Status {
  const names = listDropbox(gateway)
  const jobs = jobsOf(gateway, names, whereabouts).filter(({ name }) => wanted.length === 0 || wanted.includes(name))
  const sites = [...Object.keys(gateway.config.sites), ...removedSites(gateway)]
  return { jobs, sites: sites.map((site) => siteStatus(gateway, site)) }
}

function jobsOf(gateway: Gateway, names: Names, whereabouts: Whereabouts): JobStatus[] {
  const pending = new Map((readPending(gateway) ?? []).map((job) => [job.name, job]))
  const jobs: JobStatus[] = names.tooLong.map((name) => ({
    name: `${name.slice(0, 60)}…`,
    state: 'refused',
    why: 'its name is longer than 240 bytes: rename the file',
  }))
  for (const name of names.jobs) {
    const why = names.submitted.has(name)
      ? 'a job of this name is under way'
      : names.finished.has(name)
        ? 'the result of an earlier job of this name has not been taken away'
        : 'not read yet'
    jobs.push({ name, state: 'submitted', why })
  }
  for (const name of names.submitted) {
    const found = readSubmitted(gateway, name)
    if (found === undefined || found === 'raw') {
      jobs.push({ name, state: 'submitted', why: 'being accepted' })
      continue
    }
    const { hpc } = found
    const waits = pending.get(name)
    const since = hpc.history.at(-1)?.at
    const state =
      found.job !== undefined
        ? 'finishing'
        : waits !== undefined
          ? waits.why === undefined
            ? 'ready'
            : 'waiting'
          : (whereabouts.get(hpc.id) ?? 'scheduled')
    const trouble = hpc.site === undefined ? undefined : troubleFor(gateway, hpc.site, state, hpc.lane)
    const why = waits?.why ?? trouble
    jobs.push({
      name,
      state,
      id: hpc.id,
      ...(why === undefined ? {} : { why }),
      ...(hpc.site === undefined ? {} : { site: hpc.site }),
      ...(hpc.lane === undefined ? {} : { lane: hpc.lane }),
      ...(since === undefined ? {} : { since }),
    })
  }
  for (const name of listResults(gateway)) {
    const found = readSubmitted(gateway, name, 'finished')
    if (found === undefined || found === 'raw') continue
    const block = found.job as { state?: string; status?: string; message?: string } | undefined
    jobs.push({
      name,
      state: block?.state ?? 'done',
      id: found.hpc.id,
      ...(found.hpc.site === undefined ? {} : { site: found.hpc.site }),
      why: `${block?.status ?? ''}: ${block?.message ?? ''}`,
    })
  }
  return jobs.sort((a, b) => (a.name < b.name ? -1 : 1))
}

/** Why a job that is with its site, or on its way there, does not get on. */
function troubleFor(gateway: Gateway, site: string, state: string, lane: string | undefined): string | undefined {
  if (!Object.hasOwn(gateway.config.sites, site)) {
    return `its site is no longer in the config: put it back, or the job ends when its expiry has run out`
  }
  const known = readSiteState(gateway, site)
  if (state === 'ready') return known.trouble
  return state === 'scheduled' ? known.lanes?.find((one) => one.lane === lane)?.trouble : undefined
}

function siteStatus(gateway: Gateway, site: string): SiteStatus {
  const state = readSiteState(gateway, site)
  const trouble = Object.hasOwn(gateway.config.sites, site) ? state.trouble : removedTrouble
  return {
    site,
    healthy: state.failures === 0 && trouble === undefined,
    ...(trouble === undefined ? {} : { trouble }),
    ...(state.lastContact === undefined ? {} : { lastContact: state.lastContact }),
    ...(state.failures === 0 ? {} : { failingFor: renderDuration(Math.round(state.failingMs / 1000) * 1000) }),
    lanes: (state.lanes ?? []).map(({ name, waiting, running, allocations, trouble }) => ({
      name,
      waiting,
      running,
      allocations: allocations.map(
        ({ nativeId, state: allocation, reason }) =>
          `${nativeId} ${allocation}${reason === undefined || reason === 'None' ? '' : ` (${reason})`}`,
      ),
      ...(trouble === undefined ? {} : { trouble }),
    })),
  }
}
