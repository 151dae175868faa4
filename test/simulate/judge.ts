/** Whether the promises of the design were kept in a world whose story has ended: what its files and its books say, and nothing else. */
import { load } from 'js-yaml'
import type { Run } from './cluster.ts'
import { type Job, type World, workspace } from './world.ts'

/** What the judge looks at. */
export type Case = Pick<World, 'jobs' | 'disk' | 'hosts' | 'breaks' | 'cluster'>

export function judge(world: Case): void {
  for (const job of world.jobs) {
    judgeResult(world, job)
    judgeRuns(
      world,
      job,
      world.cluster.runs.filter(({ token }) => token === job.name),
    )
  }
  judgeLeavings(world)
}

interface Finished {
  readonly script?: string
  readonly args?: { readonly token?: string }
  readonly job?: {
    readonly state?: string
    readonly status?: string
    readonly message?: string
    readonly rc?: number
    readonly stdout?: string
  }
}

/** Exactly one result, and the right one. */
function judgeResult(world: Case, job: Job): void {
  const { disk } = world
  const complain = (text: string) => world.breaks(`${job.name} ${text}`)
  const dropbox = `/${job.gateway}/dropbox`
  const text = disk.text(`${dropbox}/${job.name}.job.finished`)
  if (text === undefined) {
    complain('has no result')
    return
  }
  if (job.finished !== 1) complain(`was finished ${job.finished} times`)
  const found = load(text) as Finished
  if (found.args?.token !== job.name) complain('has a result that is not its own')
  const block = found.job
  // a job may be given up for its deaths, and for nothing else
  if (block?.state === 'aborted' && deaths(world, job) >= 3) return
  const right =
    job.rc === 0
      ? block?.status === 'ok' && block.message === 'processed OK' && block.rc === 0
      : block?.status === 'error' && block.rc === job.rc
  if (!right) complain(`with rc ${job.rc} ended as ${JSON.stringify(block)}`)
  else if (block?.stdout !== `${job.name} out\n`) complain(`has the stdout ${JSON.stringify(block?.stdout)}`)
  const output = disk.text(job.output)
  if (output !== (job.rc === 0 ? job.content : undefined)) complain(`has the output ${JSON.stringify(output)}`)
}

function deaths(world: Case, job: Job): number {
  return world.cluster.runs.filter(({ token, told }) => token === job.name && !told).length
}

/** No start beside or after one that told its exit. */
function judgeRuns(world: Case, job: Job, runs: readonly Run[]): void {
  if (runs.length === 0 && job.finished > 0) world.breaks(`${job.name} has a result and was never run`)
  for (const [i, run] of runs.entries()) {
    const next = runs[i + 1]
    if (next === undefined) continue
    if (run.endMs === undefined || run.endMs > next.startMs)
      world.breaks(`${job.name} was started again (${next.mark}) while ${run.mark} ran`)
    else if (run.told) world.breaks(`${job.name} was started again (${next.mark}) after ${run.mark} had told its exit`)
  }
}

/** Names that a death leaves between two calls, empty, where they harm nobody. */
const temporary = /^\.[0-9a-f]{12}\.\d+$/

/** Nothing left at the site or beside a destination; locks free. */
function judgeLeavings(world: Case): void {
  const { disk, hosts, jobs } = world
  const breaks = (text: string) => world.breaks(text)
  for (const folder of ['jobs', 'control', 'staging', '.trash']) {
    const left = disk.names(`${workspace}/${folder}`)
    if (left.length > 0) breaks(`left at the site in ${folder}: ${left.join(' ')}`)
  }
  for (const folder of ['queue', 'running', 'done']) {
    for (const dir of disk.names(`${workspace}/${folder}`)) {
      const left = disk.names(`${workspace}/${folder}/${dir}`).filter((name) => !temporary.test(name))
      if (left.length > 0) breaks(`left at the site in ${folder}/${dir}: ${left.join(' ')}`)
    }
  }
  for (const { dir } of hosts) {
    const mine = jobs.filter(({ gateway }) => `/${gateway}` === dir)
    const expected = new Set(mine.filter(({ rc }) => rc === 0).map(({ name }) => `${name}.out`))
    const beside = disk.names(`${dir}/out`).filter((name) => !expected.has(name))
    if (beside.length > 0) breaks(`left beside the destinations of ${dir}: ${beside.join(' ')}`)
    const names = new Set(['.hpc', ...mine.map(({ name }) => `${name}.job.finished`)])
    const left = disk.names(`${dir}/dropbox`).filter((name) => !names.has(name))
    if (left.length > 0) breaks(`left in the dropbox of ${dir}: ${left.join(' ')}`)
    const locks = disk.names(`${dir}/dropbox/.hpc`).filter((name) => name.endsWith('.lock'))
    if (locks.length > 0) breaks(`locked for ever in ${dir}: ${locks.join(' ')}`)
  }
}
