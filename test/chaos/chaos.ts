/**
 * One chaos run: two gateways and one workspace on the real cluster, jobs that keep coming, faults that keep striking; then everything is put
 * back, the gateways go on until every job has its result, and the judge says whether the promises were kept.
 */
import { closeSync, existsSync, mkdtempSync, openSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { account, cluster, Lab } from '../cluster/lab.ts'
import type { Job, Run } from '../judge/evidence.ts'
import { judge } from '../judge/judge.ts'
import { evidenceOf } from '../judge/judged-world.ts'
import { Reader } from '../judge/reader.ts'
import { run } from '../support/world.ts'
import { Faults } from './faults.ts'
import { clashes, type Figures, figuresOf, runsOf } from './figures.ts'
import { GatewayLoop } from './gateway-loop.ts'
import { giveTemplates, prepareJob, ScriptLog } from './jobs.ts'
import { planChaos, type Scale } from './plan.ts'
import { judgeTurns } from './verdict.ts'

export interface Outcome {
  readonly broken: readonly string[]
  readonly figures: Figures
  readonly log: string
}

/** One of them with so little time that its allocations come to their end by themselves, too. */
const lanes =
  '{queue: general, memory: 256M, time: 1h, slots: 3}, gpu: {queue: dl, gres: "gpu:v100:1", memory: 256M, time: 2m, margin: 5s, slots: 2}'

/** After the last fault: back-off, and allocations that Slurm holds back, take their minutes. */
const patienceMs = 600_000

export async function runChaos(seed: number, scale: Scale, { keep = false } = {}): Promise<Outcome> {
  const plan = planChaos(seed, scale)
  const log = join(mkdtempSync(join(tmpdir(), `hpc-batch-chaos-${seed}-`)), 'log')
  const logFd = openSync(log, 'a')
  const began = performance.now()
  const say = (line: string) => {
    writeSync(logFd, `[${((performance.now() - began) / 1000).toFixed(1).padStart(6)}] ${line}\n`)
  }
  const options = { lane: lanes, site: `max_runners: ${plan.maxRunners}` }
  const first = new Lab(options)
  const labs = [first, new Lab({ ...options, with: first })]
  const scripts = new ScriptLog(first)
  for (const lab of labs) giveTemplates(lab, scripts)
  const reader = new Reader(100)
  const loops = labs.map((lab, at) => new GatewayLoop(lab, at === 0 ? 'tick' : 'watch', logFd))
  const faults = new Faults(first, loops, say)
  const jobs: Job[] = []
  try {
    await Promise.all([
      inTime(plan.jobs, (planned) => {
        const { judged, watched, drop, cancel } = prepareJob(labs[planned.gateway] as Lab, plan, planned)
        reader.watch(watched)
        jobs.push(judged)
        drop()
        if (planned.cancelAfterMs !== undefined)
          setTimeout(() => {
            say(`cancelling ${planned.name}`)
            cancel()
          }, planned.cancelAfterMs)
        say(`dropped ${planned.name}: ${planned.kind} in ${planned.lane} of gateway ${planned.gateway}`)
      }),
      inTime(plan.faults, (fault) => faults.strike(fault)),
    ])
    await faults.over()
    say('the storm is over')
    await cluster('up')
    const stormMs = performance.now() - began
    const missing = await settle(jobs, say)
    for (const loop of loops) await loop.end()
    await first.drained().catch(() => undefined)
    const broken = loops.flatMap(({ strange }) => strange)
    for (const lab of [...labs, ...labs]) {
      const ran = await lab.tick()
      if (ran.code !== 0) broken.push(`a pass in peace ended with ${ran.code}: ${ran.stderr.trim()}`)
    }
    const runs = runsOf(scripts, plan, labs)
    broken.push(
      ...missing,
      ...judgeAll(labs, jobs, reader, runs),
      ...judgeTurns(runs, plan.maxRunners),
      ...clashes(scripts),
    )
    const figures = figuresOf({ plan, faults, runs, labs, loops, stormMs, tookMs: performance.now() - began })
    for (const sentence of broken) say(`BROKEN: ${sentence}`)
    say(JSON.stringify(figures))
    return { broken, figures, log }
  } finally {
    await faults.over()
    for (const loop of loops) await loop.end()
    reader.end()
    closeSync(logFd)
    if (!keep) for (const lab of labs.reverse()) await lab.end()
  }
}

async function inTime<T extends { readonly atMs: number }>(
  planned: readonly T[],
  act: (one: T) => void,
): Promise<void> {
  const began = performance.now()
  for (const one of planned) {
    await sleep(Math.max(0, one.atMs - (performance.now() - began)))
    act(one)
  }
}

/** The gateways go on by themselves; what only the site's people can do for a requeued allocation is done. */
async function settle(jobs: readonly Job[], say: (line: string) => void): Promise<readonly string[]> {
  const end = performance.now() + patienceMs
  // nodes register: only then does the controller hear of a slurmstepd that was killed
  await run(['scontrol', 'reconfigure'])
  const open = () => jobs.filter(({ dropbox, name }) => !existsSync(join(dropbox, `${name}.job.finished`)))
  while (open().length > 0 && performance.now() < end) {
    const held = await run(['timeout', '15', 'squeue', '-h', '-u', account, '-t', 'PD', '-o', '%i %r'])
    for (const line of held.stdout.split('\n')) {
      const [id = '', reason = ''] = line.split(' ')
      if (/BeginTime/.test(reason)) await run(['scontrol', 'update', `jobid=${id}`, 'starttime=now'])
      if (/held|launch/i.test(line)) await run(['scontrol', 'release', id])
      if (/BeginTime|held|launch/i.test(line)) say(`let go: ${line}`)
    }
    await sleep(1000)
  }
  return open().length === 0
    ? []
    : [`${open().length} jobs have no result after ${patienceMs / 60_000} minutes of peace`]
}

function judgeAll(labs: readonly Lab[], jobs: readonly Job[], reader: Reader, runs: readonly Run[]): readonly string[] {
  const gateways = labs.flatMap((lab) => evidenceOf(lab, []).gateways)
  // runners are judged by their turns: the scripts of one that was killed go on without it
  const counted = runs.map(({ runner: _, ...run }) => run)
  return judge(evidenceOf(labs[0] as Lab, jobs, { gateways, runs: counted, seen: reader.end(), maxAttempts: 100 }))
}
