/** After the strike: passes as cron starts them, a minute apart by the gateway's clock, until every job has ended and its traces are gone. */

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Gateway } from '../../submitter/gateway.ts'
import { takeLock } from '../../submitter/lock.ts'
import { defaultOptions, makeGateway, packageDir, readConfig } from '../../submitter/make-gateway.ts'
import { type Programs, readPrograms } from '../../submitter/programs.ts'
import { tick } from '../../submitter/tick.ts'
import { realClock } from '../../system/clock.ts'
import { silentLog } from '../../system/logger.ts'
import type { Job } from '../judge/evidence.ts'
import { judgeWorld } from '../judge/judged-world.ts'
import { Reader } from '../judge/reader.ts'
import { readRuns } from '../judge/run-log.ts'
import { list } from '../support/world.ts'
import type { CrashWorld } from './crash-world.ts'
import { hasBegun, isCancelled, requestCancel, type Story } from './stories.ts'

const apartMs = 70_000
const mostPasses = 8
/** A file of ours that is empty may be in the middle of being written: for ten seconds of the file system's own clock. */
const patientPasses = 4
const writingMs = 11_000
/** A script that nobody has told to end yet keeps its runner. */
const patienceMs = 5_000

const { version } = JSON.parse(readFileSync(join(packageDir, 'package.json'), 'utf8')) as { version: string }
let programs: Programs | undefined

async function gatewayOf(crash: CrashWorld): Promise<Gateway> {
  const { config } = await readConfig(crash.world.configFile)
  const uptime = () => {
    const { bootId, ms } = realClock.uptime()
    return { bootId, ms: ms + crash.aheadMs }
  }
  const gateway = makeGateway(config, defaultOptions, 'warn')
  // the programs that the built submitter has put there
  programs ??= readPrograms(gateway.files, packageDir, version)
  const known = programs
  return { ...gateway, log: silentLog, clock: { ...realClock, uptime }, programs: () => known }
}

/** One pass in this process: the same code, without the time that starting it takes. */
export async function passHere(crash: CrashWorld): Promise<void> {
  await tick(await gatewayOf(crash))
}

/** Locks that stand at the end were those of the dead: the next pass that needs one gets it. What cannot be had stays, for the judge. */
async function takeLocks(crash: CrashWorld): Promise<void> {
  const gateway = await gatewayOf(crash)
  for (const name of list(join(crash.world.dropbox, '.hpc'))) {
    if (!name.endsWith('.lock')) continue
    const lock = await takeLock(gateway, name.slice(0, -'.lock'.length))
    if (!('heldBy' in lock)) await lock.release()
  }
}

/** Watches the jobs' results and destinations from here on. */
export function watchJobs(jobs: readonly Job[]): Reader {
  const reader = new Reader()
  for (const { dropbox, name, ends } of jobs) reader.watch({ dropbox, name, outputs: ends[0]?.outputs ?? {} })
  return reader
}

export interface Recovery {
  readonly passes: number
  /** What the judge says in the end. */
  readonly broken: readonly string[]
}

/** `untold`: the mark of a start whose launcher died before its exit was written. */
export async function recover(
  crash: CrashWorld,
  story: Story,
  jobs: readonly Job[],
  reader: Reader,
  untold: () => string | undefined,
): Promise<Recovery> {
  const { world } = crash
  const finished = () => jobs.every(({ name }) => world.has(`${name}.job.finished`))
  const said = () =>
    judgeWorld(world, jobs, { runs: readRuns(crash.runs, (mark) => mark !== untold()), seen: reader.seen() })
  let passes = 0
  while (passes < mostPasses) {
    passes += 1
    if (passes === patientPasses) await realClock.sleep(writingMs)
    crash.aheadMs += apartMs
    await passHere(crash)
    const asked = !isCancelled(story) || world.has('a.job.cancel') || finished()
    if (!asked) {
      await crash.quiet(hasBegun(crash.runs) ? 0 : patienceMs)
      requestCancel(world)
    } else await crash.quiet(isCancelled(story) ? patienceMs : 60_000)
    if (!finished()) continue
    await takeLocks(crash)
    if (said().length === 0) break
  }
  const quiet = await crash.quiet(patienceMs)
  return { passes, broken: [...said(), ...(quiet ? [] : ['something still runs'])] }
}
