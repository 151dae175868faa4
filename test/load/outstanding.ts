/**
 * Many jobs wait at a site whose runner is busy with one. What passes cost then, beside the same passes with a hundred waiting; what a pass
 * costs that sends or brings home few of the many; and the memory of each program. Broken when memory passes its limit or a pass grows out
 * of proportion to what changed.
 */
import { execFileSync } from 'node:child_process'
import { openSync, readdirSync, renameSync, writeFileSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { list, until, World } from '../support/world.ts'
import { most, programs, rssLimitMb, Sampler, tellProgram } from './sampler.ts'

const few = 100

export async function outstanding(jobs: number, perDrop: number): Promise<readonly string[]> {
  const world = new World(`dropbox: ./dropbox
templates: ./templates
state: ./state
settle: 300ms
owners: {limits: {jobs: ${jobs * 2}}}
sites:
  here:
    transport: {type: local}
    scheduler: {type: local}
    hpc_env: {workspace: "{dir}/workspace"}
    limits: {jobs: ${jobs * 2}}
`)
  // the first job ends when a line comes through here
  execFileSync('mkfifo', [join(world.dir, 'gate')])
  world.template('hold', `#!/bin/sh\nread -r line <${join(world.dir, 'gate')}\n`)
  const sampler = new Sampler(world.dir, 100)
  const broken: string[] = []
  let dropped = 0

  function drop(count: number): void {
    for (let n = 0; n < count; n += 1) {
      const name = `job-${dropped++}`
      const temporary = join(world.dropbox, `.${name}.tmp`)
      writeFileSync(temporary, 'script: true\n...\n')
      renameSync(temporary, join(world.dropbox, `${name}.job`))
    }
  }

  interface Pass {
    readonly ms: number
    readonly rssMb: number
  }

  async function pass(what: string): Promise<Pass> {
    const from = sampler.nowMs
    const ran = await world.tick()
    const ms = sampler.nowMs - from
    if (ran.code !== 0) broken.push(`${what}: the pass ended with ${ran.code}: ${ran.stderr.trim().split('\n').at(-1)}`)
    const rssMb = most(sampler.of('hpc-submitter', from), 'rssMb')
    console.log(
      `${what}: ${ms.toFixed(0)} ms; hpc-submitter ${rssMb.toFixed(0)} MB, hpc_queuer ${most(sampler.of('hpc_queuer', from), 'rssMb').toFixed(0)} MB`,
    )
    return { ms, rssMb }
  }

  /** The passes that are compared, with so many outstanding. */
  async function compare(count: number): Promise<Record<'idle' | 'one' | 'few', Pass>> {
    const idle = await pass(`${count} outstanding, nothing new`)
    drop(1)
    const one = await pass(`${count} outstanding, 1 new`)
    drop(few)
    return { idle, one, few: await pass(`${count} outstanding, ${few} new`) }
  }

  const finished = () => list(world.dropbox).filter((name) => name.endsWith('.job.finished')).length
  const results = () =>
    list(join(world.workspace, 'done')).reduce((sum, dir) => sum + list(join(world.workspace, 'done', dir)).length, 0)

  const runningJobs = () =>
    list(join(world.workspace, 'running')).reduce(
      (sum, dir) => sum + list(join(world.workspace, 'running', dir)).length,
      0,
    )

  try {
    world.drop('first', 'script: hold\n')
    await pass('the job that holds the runner')
    await until('it to run', () => world.runners().length > 0 && runningJobs() === 1, 60_000)
    drop(few)
    await pass(`first pass, ${few} new`)
    const small = await compare(few)
    while (dropped < jobs) {
      drop(Math.min(perDrop, jobs - dropped))
      const { ms } = await pass(`${dropped} dropped so far`)
      console.log(`  ${(ms / perDrop).toFixed(2)} ms a job`)
    }
    const large = await compare(jobs)
    for (const kind of ['idle', 'one', 'few'] as const) {
      const ratio = large[kind].ms / small[kind].ms
      console.log(`${kind}: ${ratio.toFixed(2)} times that with ${few} outstanding`)
      if (ratio > jobs / few / 10)
        broken.push(`a pass (${kind}) grows with what is outstanding: ${ratio.toFixed(1)} times`)
    }
    // a thousand results among all that wait
    const runnerFrom = sampler.nowMs
    writeSync(openSync(join(world.dir, 'gate'), 'r+'), 'go\n')
    await until('a thousand results', () => results() >= 1000, 600_000)
    const drainMs = sampler.nowMs - runnerFrom
    for (const pid of world.runners()) process.kill(pid, 'SIGSTOP')
    const ready = results()
    console.log(
      `the runner: ${ready} results in ${drainMs.toFixed(0)} ms, at most ${most(sampler.of('hpc_runner', runnerFrom), 'rssMb').toFixed(0)} MB`,
    )
    const home = await pass(`${jobs} outstanding, ${ready} to bring home`)
    console.log(`  ${(home.ms / ready).toFixed(2)} ms a result; ${finished()} are home`)
    if (finished() < ready) broken.push(`${ready - finished()} results were not brought home by one pass`)

    for (const program of programs) {
      const { rssMb } = tellProgram(sampler, program)
      if (rssMb > rssLimitMb) broken.push(`${program} took ${rssMb.toFixed(0)} MB, more than ${rssLimitMb}`)
    }
    const left = readdirSync(world.dropbox).filter((name) => name.startsWith('.') && name !== '.hpc').length
    if (left > 0) broken.push(`${left} temporary names in the dropbox`)
  } finally {
    sampler.end()
    for (const pid of world.runners()) process.kill(pid, 'SIGKILL')
    await world.end()
  }
  return broken
}
