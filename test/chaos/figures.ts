/** What a chaos run has to tell beside its verdict, read from the results and the site's own books. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Lab } from '../cluster/lab.ts'
import type { Run } from '../judge/evidence.ts'
import { readRuns } from '../judge/run-log.ts'
import { list } from '../support/world.ts'
import type { Faults } from './faults.ts'
import type { GatewayLoop } from './gateway-loop.ts'
import type { ScriptLog } from './jobs.ts'
import type { Plan } from './plan.ts'
import { endedOtherwise } from './verdict.ts'

export interface Figures {
  readonly seed: number
  readonly maxRunners: number
  readonly jobs: number
  readonly results: number
  readonly faults: Readonly<Record<string, number>>
  /** Faults that found nothing to strike. */
  readonly missed: number
  /** Starts of scripts, and how many of them ended of themselves. */
  readonly starts: number
  readonly ends: number
  /** Attempts by what the results say of their end. */
  readonly attempts: Readonly<Record<string, number>>
  /** Scripts that came to their end a moment before something took the ground from under them, and were run again. */
  readonly endsNotTold: number
  readonly allocations: number
  readonly programStarts: number
  readonly passes: number
  readonly stormSeconds: number
  readonly seconds: number
}

type History = readonly { readonly note?: string }[]

function historyOf(lab: Lab, name: string): History {
  return lab.has(`${name}.job.finished`) ? (lab.finished(name).job?.history ?? []) : []
}

/** The starts of all scripts, with the lane of each; an end that its result calls an interruption was not told. */
export function runsOf(scripts: ScriptLog, plan: Plan, labs: readonly Lab[]): readonly Run[] {
  const planned = new Map(plan.jobs.map((job) => [job.name, job]))
  return readRuns(scripts.runs).map((run) => {
    const job = planned.get(run.job)
    if (job === undefined) return run
    const untold = endedOtherwise(historyOf(labs[job.gateway] as Lab, job.name))
    return { ...run, lane: job.lane, told: run.told && !untold.has(Number(run.mark.split('.').at(-1))) }
  })
}

function highest(dir: string): number {
  return Math.max(0, ...list(dir).map((name) => Number.parseInt(name, 10) || 0))
}

export function figuresOf(of: {
  plan: Plan
  faults: Faults
  runs: readonly Run[]
  labs: readonly Lab[]
  loops: readonly GatewayLoop[]
  stormMs: number
  tookMs: number
}): Figures {
  const { plan, faults, runs, labs, loops } = of
  const workspace = (labs[0] as Lab).workspace
  const below = (folder: string, more: string) =>
    list(join(workspace, folder)).reduce((sum, name) => sum + highest(join(workspace, folder, name, more)), 0)
  const attempts: Record<string, number> = {}
  let results = 0
  for (const { name, gateway } of plan.jobs) {
    const history = historyOf(labs[gateway] as Lab, name)
    if (history.length > 0) results += 1
    for (const { note } of history) {
      const cause = /^attempt \d+ on \S+ in \S+: (.*)$/.exec(note ?? '')?.[1]
      if (cause !== undefined) attempts[cause] = (attempts[cause] ?? 0) + 1
    }
  }
  return {
    seed: plan.seed,
    maxRunners: plan.maxRunners,
    jobs: plan.jobs.length,
    results,
    faults: Object.fromEntries([...faults.struck].sort()),
    missed: faults.missed,
    starts: runs.length,
    ends: runs.filter(({ endMs }) => endMs !== undefined).length,
    attempts,
    endsNotTold: runs.filter(({ endMs, told }) => endMs !== undefined && !told).length,
    allocations: below('lanes', 'intents'),
    programStarts: loops.reduce((sum, { starts }) => sum + starts, 0),
    passes: below('gateways', 'passes'),
    stormSeconds: Math.round(of.stormMs / 1000),
    seconds: Math.round(of.tookMs / 1000),
  }
}

/** Lines that scripts wrote when they met themselves. */
export function clashes(scripts: ScriptLog): readonly string[] {
  return readFileSync(scripts.together, 'utf8')
    .split('\n')
    .filter(Boolean)
    .map((line) => `two starts side by side: ${line}`)
}
