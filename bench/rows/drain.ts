/** Trivial scripts, one after another: what a runner costs beyond the scripts themselves. */
import { spawnSync } from 'node:child_process'
import { chmodSync, cpSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Bench } from '../bench.ts'
import { alternate, type Contestant, type Row, ratioOfRates, sampleOf } from '../measure.ts'
import { openWire } from '../network.ts'
import { has, type Place, python } from '../place.ts'
import { runRunner, Site } from '../site.ts'

const jobs = 1000

export async function drain({ place, turns }: Bench): Promise<Row[]> {
  const published = await publish(place, jobs)
  const ours = (slots: number): Contestant => {
    const workspace = published.withSlots(slots)
    return async () => {
      const copy = workspace()
      return rate(await runRunner(copy, published.lane))
    }
  }
  const limit = compileLimit(place)
  const two = await alternate(
    {
      ours: ours(2),
      ...(has('parallel') ? { parallel: byParallel(place) } : {}),
      xargs: byXargs(place, 2),
      ...(limit === undefined ? {} : { limit: byLimit(place, limit, 2) }),
    } as Record<string, Contestant>,
    turns,
  )
  const one = await alternate(
    {
      ours: ours(1),
      python: byPython(place),
      ...(limit === undefined ? {} : { limit: byLimit(place, limit, 1) }),
    } as Record<string, Contestant>,
    turns,
  )
  const rows: Row[] = []
  const row = (found: typeof two, work: string, peer: string, peerName: string, goal: number) => {
    const [ourSample, peerSample] = [found.ours, found[peer]]
    if (ourSample === undefined || peerSample === undefined) return
    rows.push({
      work,
      unit: 'jobs/s',
      ours: ourSample,
      peer: peerSample,
      peerName,
      ratio: ratioOfRates(ourSample, peerSample),
      goal,
      ...(found.limit === undefined ? {} : { limit: found.limit, limitName: 'vfork loop in C' }),
    })
  }
  row(two, `drain ${jobs} trivial scripts, 2 slots`, 'parallel', 'parallel -j2 --results --joblog', 2)
  row(two, `drain ${jobs} trivial scripts, 2 slots`, 'xargs', 'xargs -P2 with redirects', 0.8)
  row(one, `drain ${jobs} trivial scripts, 1 slot`, 'python', 'Python subprocess loop', 0.9)
  rows.push(await betweenJobs(place))
  return rows
}

/** From the last words of one script to the first of the next: each says when, at both ends. */
async function betweenJobs(place: Place): Promise<Row> {
  const published = await publish(place, 500, (site) => {
    site.template('clock', '#!/bin/bash\necho $EPOCHREALTIME\necho $EPOCHREALTIME\n')
    for (let i = 0; i < 500; i++) site.drop(`clock-${i}`, 'script: clock\n')
  })
  const workspace = published.withSlots(1)()
  await runRunner(workspace, published.lane)
  const controls = join(workspace, 'control')
  const spans = readdirSync(controls)
    .map((id) =>
      readFileSync(join(controls, id, 'attempts', '1.stdout'), 'utf8')
        .trim()
        .split('\n')
        .map(Number),
    )
    .sort(([a = 0], [b = 0]) => a - b)
  const gaps = spans.slice(1).map(([start = 0], i) => (start - (spans[i]?.[1] ?? 0)) * 1000)
  const ours = sampleOf(gaps)
  const bash = sampleOf([timeOf(() => spawnSync('/bin/bash', ['-c', 'for i in {1..100}; do bash -c :; done'])) / 100])
  return {
    work: 'from the end of one job to the start of the next, 1 slot',
    unit: 'ms',
    ours: { ...ours, low: quantile(gaps, 0.05), high: quantile(gaps, 0.95) },
    peer: bash,
    peerName: 'bash -c : in a loop',
    ratio: 5 / ours.median,
    goal: 1,
    note: 'spread: 5 % to 95 %; ratio: to the goal of 5 ms',
  }
}

function timeOf(act: () => unknown): number {
  const start = performance.now()
  act()
  return performance.now() - start
}

function quantile(values: readonly number[], share: number): number {
  return [...values].sort((a, b) => a - b)[Math.floor(share * (values.length - 1))] ?? Number.NaN
}

const rate = (ms: number) => (jobs * 1000) / ms

/** A workspace full of published jobs, made by a real pass; each turn drains a copy. */
export async function publish(place: Place, count: number, drop = (site: Site) => site.dropTrue(count)) {
  const site = new Site(place, { wire: await openWire(place, 0), held: true, slots: 1 })
  drop(site)
  await site.tick()
  site.endRunners()
  const lane = site.lane()
  return {
    lane,
    withSlots(slots: number) {
      const original = join(place.folder('published'), 'workspace')
      cpSync(site.workspace, original, { recursive: true, verbatimSymlinks: true })
      const shape = join(original, 'lanes', lane, 'shape.json')
      const { preflight: _, ...rest } = JSON.parse(spawnSync('cat', [shape], { encoding: 'utf8' }).stdout) as Record<
        string,
        unknown
      >
      writeFileSync(shape, JSON.stringify({ ...rest, slots }))
      return () => {
        const copy = join(place.folder('drain'), 'workspace')
        spawnSync('cp', ['-a', original, copy])
        return copy
      }
    },
  }
}

/** Folders with a `job.sh` each, as the peers get them. */
function scripts(place: Place): string {
  const dir = place.folder('scripts')
  for (let i = 0; i < jobs; i++) {
    const folder = join(dir, String(i).padStart(4, '0'))
    mkdirSync(folder)
    writeFileSync(join(folder, 'job.sh'), '#!/bin/bash\ntrue\n')
    chmodSync(join(folder, 'job.sh'), 0o750)
  }
  return dir
}

function shell(line: string, ...args: string[]): number {
  const start = performance.now()
  const ran = spawnSync('/bin/sh', ['-c', line, 'sh', ...args], { stdio: ['ignore', 'ignore', 'inherit'] })
  const ms = performance.now() - start
  if (ran.status !== 0) throw new Error(`"${line}" ended with ${ran.status}`)
  return rate(ms)
}

function byParallel(place: Place): Contestant {
  return async () =>
    shell(
      'cd "$1" && ls -d */ | parallel -j2 --results ../log-$$ --joblog ../joblog-$$ "{}job.sh" >/dev/null',
      scripts(place),
    )
}

function byXargs(place: Place, width: number): Contestant {
  return async () =>
    shell(
      `cd "$1" && ls | xargs -P${width} -I{} bash -c 'cd {} && ./job.sh >stdout.txt 2>stderr.txt; echo $? >finished.out'`,
      scripts(place),
    )
}

export function byPython(place: Place): Contestant {
  return async () =>
    shell(`${python} ${join(import.meta.dirname, '..', 'peers', 'subprocess_loop.py')} "$1"`, scripts(place))
}

function compileLimit(place: Place): string | undefined {
  if (!has('gcc')) return undefined
  const program = join(place.dir, 'vfork-loop')
  const ran = spawnSync('gcc', ['-O2', '-o', program, join(import.meta.dirname, '..', 'peers', 'vfork-loop.c')])
  return ran.status === 0 ? program : undefined
}

function byLimit(place: Place, program: string, width: number): Contestant {
  return async () => shell(`cd "$1" && ls | xargs ${program} ${width}`, scripts(place))
}
