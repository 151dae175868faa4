/**
 * `npm run soak -- --jobs 10000`: that many jobs in one drop, each copying one small file, on the local scheduler. Samples the programs'
 * memory and descriptors while they work, looks for what they leave behind, and prints the figures. Ends with 1 when a promise is broken.
 */
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { readSpliced } from '../../contract/result-file.ts'
import { list, World } from '../support/world.ts'

const { values } = parseArgs({ options: { jobs: { type: 'string', default: '10000' } } })
const jobs = Number(values.jobs)
const rssLimitMb = 200
const programs = ['hpc-submitter', 'hpc_queuer', 'hpc_runner'] as const
type Program = (typeof programs)[number]

interface Sample {
  readonly atMs: number
  readonly rssMb: number
  readonly descriptors: number
}

const world = new World()
const samples: Record<Program, Sample[]> = { 'hpc-submitter': [], hpc_queuer: [], hpc_runner: [] }
const began = performance.now()

/** Which of our programs, of this world, a process is. */
function programOf(pid: string): Program | undefined {
  const words = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0')
  if (!words[0]?.endsWith('node') || !words.some((word) => word.includes(world.dir))) return undefined
  return programs.find((name) => words[1]?.includes(name))
}

function sample(): void {
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    try {
      const program = programOf(pid)
      if (program === undefined) continue
      const kb = Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0)
      const descriptors = readdirSync(`/proc/${pid}/fd`).length
      samples[program].push({ atMs: performance.now() - began, rssMb: kb / 1024, descriptors })
    } catch {
      // it ended meanwhile
    }
  }
}

/** Names of ours that no finished job needs. */
function leftovers(): Record<string, number> {
  const dots = (dir: string) => list(dir).filter((name) => name.startsWith('.') && name !== '.hpc').length
  const { workspace } = world
  return {
    'temporary names in the dropbox': dots(world.dropbox),
    'temporary names beside destinations': dots(join(world.dir, 'out')),
    'folders of jobs at the site': world.jobsLeft().length,
    'keys at the site': ['queue', 'running', 'done']
      .flatMap((kind) => list(join(workspace, kind)).map((name) => join(workspace, kind, name)))
      .reduce((sum, dir) => sum + list(dir).length, 0),
    'trash at the site': list(join(workspace, '.trash')).length,
    reservations: list(join(world.dir, 'state', 'reserved')).length,
  }
}

const finished = () => list(world.dropbox).filter((name) => name.endsWith('.job.finished')).length
const most = (of: Sample[], what: 'rssMb' | 'descriptors') => Math.max(0, ...of.map((each) => each[what]))

const broken: string[] = []
const timer = setInterval(sample, 250)
try {
  const input = world.input('in.txt', 'content')
  for (let n = 0; n < jobs; n += 1) world.dropCopy(`job-${n}`, input)
  const droppedMs = performance.now() - began
  let passes = 0
  let lastDone = 0
  while (finished() < jobs) {
    const ran = await world.tick()
    passes += 1
    const done = finished()
    if (ran.code !== 0) broken.push(`pass ${passes} ended with ${ran.code}: ${ran.stderr.trim().split('\n').at(-1)}`)
    console.log(`${((performance.now() - began) / 1000).toFixed(0)} s: pass ${passes}, ${done} of ${jobs} finished`)
    if (done === lastDone) await sleep(1000)
    lastDone = done
    if (passes > 200) break
  }
  await world.drained()
  const idleBegan = performance.now()
  await world.tick()
  const idleMs = performance.now() - idleBegan
  clearInterval(timer)

  let right = 0
  for (let n = 0; n < jobs; n += 1) {
    const path = join(world.dropbox, `job-${n}.job.finished`)
    const { job } = readSpliced(readFileSync(path)) as { job?: { status?: string } }
    if (job?.status === 'ok' && statSync(world.out(`job-${n}`)).size === 'content'.length) right += 1
  }
  const seconds = (performance.now() - began - droppedMs) / 1000
  console.log(`\n${jobs} jobs in one drop: ${right} right results in ${seconds.toFixed(0)} s and ${passes} passes`)
  for (const program of programs) {
    const of = samples[program]
    const quarter = of.slice(0, Math.ceil(of.length / 4))
    const last = of.slice(-Math.ceil(of.length / 4))
    console.log(
      `${program}: at most ${most(of, 'rssMb').toFixed(0)} MB (first quarter ${most(quarter, 'rssMb').toFixed(0)}, last ${most(last, 'rssMb').toFixed(0)}), at most ${most(of, 'descriptors')} descriptors (first quarter ${most(quarter, 'descriptors')}, last ${most(last, 'descriptors')}), ${of.length} samples`,
    )
    if (most(of, 'rssMb') > rssLimitMb) broken.push(`${program} took more than ${rssLimitMb} MB`)
  }
  console.log(`an idle pass beside ${jobs} results: ${idleMs.toFixed(0)} ms`)
  for (const [what, count] of Object.entries(leftovers())) {
    console.log(`${what}: ${count}`)
    if (count > 0) broken.push(`${count} ${what}`)
  }
  if (right < jobs) broken.push(`${jobs - right} jobs have no right result`)
} finally {
  clearInterval(timer)
  await world.end()
}
for (const each of broken) console.log(`BROKEN: ${each}`)
process.exit(broken.length === 0 ? 0 : 1)
