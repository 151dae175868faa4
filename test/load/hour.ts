/**
 * An hour's worth of work in some minutes: `watch` keeps one connection to a real sshd, a runner lingers, and sixty times a few jobs are
 * dropped, some of them failing, refused or cancelled. What the programs hold after the last drop is compared with what they held after the first.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { readdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { End, Job } from '../judge/evidence.ts'
import { judgeWorld } from '../judge/judged-world.ts'
import { Reader } from '../judge/reader.ts'
import { countsItself, readRuns } from '../judge/run-log.ts'
import { sshConfig } from '../support/ssh-site.ts'
import { startSshd } from '../support/sshd.ts'
import { cli, list, until, World } from '../support/world.ts'
import { most, programs, rssLimitMb, Sampler } from './sampler.ts'

export interface Hour {
  readonly drops: number
  readonly jobsPerDrop: number
  readonly secondsPerDrop: number
}

/** How much more may be held at the end: garbage that was not collected yet, no leak of a kilobyte a job. */
const slackMb = 25
const slackDescriptors = 4

interface Level {
  readonly rssMb: number
  readonly descriptors: number
}

export async function hour({ drops, jobsPerDrop, secondsPerDrop }: Hour): Promise<readonly string[]> {
  const sshd = await startSshd()
  const world = new World(
    `settle: 300ms\n${sshConfig(sshd, { name: 'here', more: `    node: ${process.execPath}\n    lanes: {default: {linger: 1h, slots: 2}}\n` })}`,
  )
  const log = join(world.dir, 'runs')
  world.template(
    'work',
    `#!/bin/sh\n${countsItself('<<token>>', log)}\ncp input/<<from>> output/<<to>>\necho <<token>>\nexit <<rc>>\n`,
  )
  const input = world.input('in.txt', 'content')
  const sampler = new Sampler(world.dir)
  const reader = new Reader(100)
  const jobs: Job[] = []
  const broken: string[] = []
  let watch: ChildProcess | undefined
  const settled = (name: string) => world.has(`${name}.job.finished`)
  const levels = (fromMs: number): Record<string, Level> =>
    Object.fromEntries(
      programs.map((program) => {
        const of = sampler.of(program, fromMs)
        return [program, { rssMb: most(of, 'rssMb'), descriptors: most(of, 'descriptors') }]
      }),
    )
  const temporaries = () =>
    [world.dropbox, join(world.dir, 'out'), join(world.dir, 'state'), world.workspace].flatMap((dir) =>
      readdirSync(dir).filter((name) => name.startsWith('.') && !['.hpc', '.trash', '.hpc-workspace'].includes(name)),
    ).length

  /** One minute's arrivals: most go well, one fails, now and then one is refused or cancelled. */
  function dropSome(round: number): string[] {
    return Array.from({ length: jobsPerDrop }, (_, n) => {
      const name = `job-${round}-${n}`
      const rc = n === 1 ? 3 : 0
      const to = world.out(name)
      const refused = n === 2 && round % 5 === 0
      const cancelled = n === 3 && round % 5 === 0
      world.drop(
        name,
        `script: ${refused ? 'nope' : 'work'}\nargs: {token: ${name}, rc: ${rc}}\ninput_map: {from: ${input}}\noutput_map: {to: ${to}}\n`,
      )
      if (cancelled) writeFileSync(join(world.dropbox, `${name}.job.cancel`), '')
      const good: End = { status: 'ok', state: 'done', rc: 0, stdout: `${name}\n`, outputs: { [to]: 'content' } }
      const bad: End = { status: 'error', state: 'done', rc: 3, stdout: `${name}\n`, outputs: { [to]: null } }
      const none = (state: 'aborted' | 'cancelled'): End => ({
        status: 'error',
        state,
        rc: null,
        outputs: { [to]: null },
      })
      const killed: End = { ...none('cancelled'), rc: -15 }
      const ends = refused ? [none('aborted')] : cancelled ? [good, none('cancelled'), killed] : [rc === 0 ? good : bad]
      jobs.push({
        dropbox: world.dropbox,
        name,
        args: { token: name },
        ends,
        ...((refused || cancelled) && { mayNotRun: true }),
      })
      if (rc === 0 && !refused && !cancelled)
        reader.watch({ dropbox: world.dropbox, name, outputs: { [to]: 'content' } })
      return name
    })
  }

  try {
    watch = spawn(process.execPath, [cli, 'watch', '--config', world.configFile], {
      cwd: world.dir,
      stdio: ['ignore', 'ignore', 'inherit'],
    })
    let first: { levels: Record<string, Level>; channels: number; temporaries: number } | undefined
    let fromMs = 0
    // a heap grows until it is worth collecting: a third of the drops is its warming up, what the others add is a leak
    const warm = Math.max(2, Math.floor(drops / 3))
    for (let round = 0; round < drops; round += 1) {
      fromMs = sampler.nowMs
      const names = dropSome(round)
      await until(`the results of drop ${round}`, () => names.every(settled), 120_000)
      await sleep(Math.max(0, secondsPerDrop * 1000 - (sampler.nowMs - fromMs)))
      if ((round + 1) % warm === 0) console.log(`after ${round + 1} drops: ${JSON.stringify(levels(fromMs))}`)
      if (round + 1 === warm)
        first = { levels: levels(fromMs), channels: sshd.sessions().length, temporaries: temporaries() }
    }
    if (first === undefined) throw new Error('at least three drops are needed')
    const last = { levels: levels(fromMs), channels: sshd.sessions().length, temporaries: temporaries() }
    console.log(`\n${jobs.length} jobs in ${drops} drops and ${(sampler.nowMs / 1000).toFixed(0)} s`)
    for (const program of programs) {
      const [a, b] = [first.levels[program] as Level, last.levels[program] as Level]
      console.log(
        `${program}: ${a.rssMb.toFixed(0)} MB and ${a.descriptors} descriptors after ${warm} drops, ${b.rssMb.toFixed(0)} MB and ${b.descriptors} after the last; at most ${most(sampler.of(program), 'rssMb').toFixed(0)} MB`,
      )
      if (b.rssMb > a.rssMb + slackMb) broken.push(`${program} grew by ${(b.rssMb - a.rssMb).toFixed(0)} MB`)
      if (b.descriptors > a.descriptors + slackDescriptors)
        broken.push(`${program} holds ${b.descriptors - a.descriptors} descriptors more`)
      if (most(sampler.of(program), 'rssMb') > rssLimitMb) broken.push(`${program} took more than ${rssLimitMb} MB`)
    }
    for (const what of ['channels', 'temporaries'] as const) {
      console.log(`${what}: ${first[what]} after ${warm} drops, ${last[what]} after the last`)
      if (last[what] > first[what]) broken.push(`${last[what] - first[what]} ${what} more than in the beginning`)
    }
    await until('cancelled jobs to be cleaned', () => world.jobsLeft().length === 0, 60_000)
    watch.kill('SIGTERM')
    await new Promise((resolve) => watch?.once('exit', resolve))
    watch = undefined
    broken.push(...judgeWorld(world, jobs, { runs: readRuns(log), seen: reader.end() }))
    const runners = list(join(world.workspace, 'lanes')).flatMap((lane) =>
      list(join(world.workspace, 'lanes', lane, 'runners')).filter((name) => !name.endsWith('.end')),
    )
    console.log(`runners that were started: ${runners.length}`)
  } finally {
    reader.end()
    sampler.end()
    watch?.kill('SIGKILL')
    for (const pid of world.runners()) process.kill(pid, 'SIGKILL')
    await world.end()
    await sshd.stop()
    rmSync(sshd.folder, { recursive: true, force: true })
  }
  return broken
}
