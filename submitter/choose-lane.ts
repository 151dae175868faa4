/** Which site and lane a job goes to: a pure choice over the config. A job that fits nowhere is told what came nearest. */
import { quoted } from '../contract/errors.ts'
import type { JobDescription } from '../contract/job-description.ts'
import { didYouMean } from '../contract/suggest.ts'
import { renderBytes, renderDuration } from '../contract/units.ts'
import type { Config, Lane, Site } from './config.ts'

export type LaneChoice =
  | { readonly site: Site; readonly lane: Lane }
  | { readonly refused: { readonly key: string; readonly message: string } }

/** `gpu:v100:2`, `gpu:2`, `gpu`, `gpu:2(S:0,1)` → how many. */
export function gpusOf(gres: string | undefined): number {
  let count = 0
  for (const part of (gres ?? '').replace(/\([^)]*\)/g, '').split(',')) {
    const [name, ...rest] = part.trim().split(':')
    if (name !== 'gpu') continue
    const last = Number(rest.at(-1))
    count += Number.isInteger(last) && rest.length > 0 ? last : 1
  }
  return count
}

/** Why a job does not fit a lane; undefined when it does. */
export function misfit(job: JobDescription, lane: Lane, timeMs: number | undefined): string | undefined {
  const { cpus, memoryBytes, gpus, nodes } = job.resources
  const most = lane.timeMs - lane.marginMs
  if (timeMs !== undefined && timeMs > most) {
    return `time ${renderDuration(timeMs)} is more than the ${renderDuration(most)} it offers (time ${renderDuration(lane.timeMs)} less margin ${renderDuration(lane.marginMs)})`
  }
  if (cpus !== undefined && lane.cpus !== undefined && cpus > lane.cpus)
    return `cpus ${cpus} is more than its ${lane.cpus}`
  if (memoryBytes !== undefined && lane.memoryBytes !== undefined && memoryBytes > lane.memoryBytes) {
    return `memory ${renderBytes(memoryBytes)} is more than its ${renderBytes(lane.memoryBytes)}`
  }
  if (gpus !== undefined && lane.gres !== undefined && gpus > gpusOf(lane.gres))
    return `gpus ${gpus} is more than its ${gpusOf(lane.gres)}`
  if (gpus !== undefined && gpus > 0 && lane.gres === undefined && lane.queue !== undefined)
    return `gpus ${gpus} is more than its 0`
  if (nodes !== undefined && nodes > (lane.nodes ?? 1)) return `nodes ${nodes} is more than its ${lane.nodes ?? 1}`
  return undefined
}

function refuse(key: string, message: string): LaneChoice {
  return { refused: { key, message } }
}

/** The sites a job may go to, in the order of the config, or why none. */
function sitesFor(job: JobDescription, config: Config): readonly Site[] | LaneChoice {
  const names = Object.keys(config.sites)
  const all = Object.values(config.sites)
  const named = (key: string, name: string) => {
    const site = all.find((one) => one.name === name)
    return site === undefined
      ? refuse(key, `${quoted(name)} is no site of the config${didYouMean(name, names)}; there are ${names.join(', ')}`)
      : [site]
  }
  if (job.site !== undefined) return named('site', job.site)
  if (job.target !== undefined) {
    const wishes = Object.keys(config.execTarget)
    const real = Object.hasOwn(config.execTarget, job.target) ? config.execTarget[job.target] : undefined
    if (real !== undefined) return named('target', real)
    if (!names.includes(job.target)) {
      return refuse(
        'target',
        `${quoted(job.target)} is not set${didYouMean(job.target, [...wishes, ...names])}; set exec_target in the config`,
      )
    }
    return named('target', job.target)
  }
  return all
}

const hourMs = 3_600_000

/** With `lanes: {auto: true}`: the site's first lane, made as large as the job needs; whole hours, so that few shapes come of it. */
function autoLane(job: JobDescription, base: Lane | undefined, timeMs: number | undefined): Lane | undefined {
  if (base === undefined) return undefined
  const { cpus, memoryBytes, gpus = 0, nodes } = job.resources
  const largest = (a: number | undefined, b: number | undefined) => (a === undefined ? b : Math.max(a, b ?? 0))
  const more = {
    cpus: largest(cpus, base.cpus),
    memoryBytes: largest(memoryBytes, base.memoryBytes),
    nodes: largest(nodes, base.nodes),
    gres: gpus > gpusOf(base.gres) ? withGpus(base.gres, gpus) : base.gres,
  }
  const given = Object.fromEntries(Object.entries(more).filter(([, value]) => value !== undefined))
  const needsMs = (timeMs ?? 0) + base.marginMs
  const lane = { ...base, ...given, name: 'auto', timeMs: Math.max(base.timeMs, Math.ceil(needsMs / hourMs) * hourMs) }
  return misfit(job, lane, timeMs) === undefined ? lane : undefined
}

/** `gpu:v100:1` with two → `gpu:v100:2`. */
function withGpus(gres: string | undefined, gpus: number): string {
  const kind = /(?:^|,)gpu:([A-Za-z][^:,]*)/.exec(gres ?? '')?.[1]
  return kind === undefined ? `gpu:${gpus}` : `gpu:${kind}:${gpus}`
}

export function chooseLane(job: JobDescription, config: Config, timeMs: number | undefined): LaneChoice {
  for (const key of ['requirements', 'rank'] as const) {
    if (job[key] !== undefined)
      return refuse(key, `cannot be honoured: this version has no matchmaking; name a site with "site:"`)
  }
  if (job.after.length > 0) return refuse('after', 'cannot be honoured: this version has no dependencies between jobs')
  const sites = sitesFor(job, config)
  if ('refused' in sites || 'site' in sites) return sites
  let nearest: string | undefined
  for (const site of sites) {
    const lanes = Object.values(site.lanes)
    const queue =
      job.size === undefined
        ? undefined
        : Object.hasOwn(site.scheduler.queues, job.size)
          ? site.scheduler.queues[job.size]
          : null
    if (queue === null) {
      nearest ??= `site ${site.name} has no queue for size ${quoted(job.size ?? '')}${didYouMean(job.size ?? '', Object.keys(site.scheduler.queues))}`
      continue
    }
    for (const lane of lanes) {
      if (queue !== undefined && lane.queue !== queue) continue
      const why = misfit(job, lane, timeMs)
      if (why === undefined) return { site, lane }
      nearest ??= `lane ${site.name}/${lane.name}: ${why}`
    }
    const base = lanes.find((lane) => queue === undefined || lane.queue === queue)
    const made = site.autoLanes ? autoLane(job, base, timeMs) : undefined
    if (made !== undefined) return { site, lane: made }
    nearest ??=
      queue === undefined ? `site ${site.name} has no lane` : `site ${site.name} has no lane in queue ${queue}`
  }
  return refuse('resources', `fit no lane; the nearest is ${nearest ?? 'none, as no site is set'}`)
}
