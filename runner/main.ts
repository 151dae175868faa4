/** hpc_runner: drains one lane inside an allocation. The only file here that reads argv and the environment. */
import { randomUUID } from 'node:crypto'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { setFlagsFromString } from 'node:v8'
import { describeError } from '../contract/errors.ts'
import { launcherFile, launcherText } from '../contract/launcher.ts'
import { makeRunnerId, spoolAt } from '../contract/spool.ts'
import type { LaneShape, RunnerEnd, RunnerRecord } from '../contract/spool-records.ts'
import { stepFile, stepText } from '../contract/step-script.ts'
import { isoTime, realClock } from '../system/clock.ts'
import { sha256 } from '../system/digest.ts'
import { Files } from '../system/files.ts'
import { lineLog } from '../system/logger.ts'
import { realOs } from '../system/os.ts'
import { identifyProcess } from '../system/process.ts'
import { drain } from './drain.ts'
import { Heartbeat } from './heartbeat.ts'
import { visibleGpus } from './job-environment.ts'
import { Launchers } from './launchers.ts'
import { findNodes } from './places.ts'
import { tryPreflight } from './preflight.ts'
import type { Runner } from './runner.ts'
import { Slots } from './slots.ts'
import { Leftovers } from './stop-processes.ts'

const usage = `hpc_runner: runs the jobs of one lane inside an allocation, started by hpc_queuer's batch script.
usage: hpc_runner --workspace FOLDER --lane LANE --nonce NONCE [--native-id ID] [--restart N] [--debug] [IDENTITY]`

const leftoverGraceMs = 3_000

function option(name: string): string | undefined {
  const at = process.argv.indexOf(`--${name}`)
  return at < 0 ? undefined : process.argv[at + 1]
}

/** The walltime counts from the allocation's start, which Slurm tells; else what passed before us is in the margin. */
function endsAtMs(shape: LaneShape, nowMs: number, wallMs: number): number {
  const toldSeconds = Number(process.env.SLURM_JOB_END_TIME)
  const told = toldSeconds > 0 ? toldSeconds * 1000 - wallMs : Number.POSITIVE_INFINITY
  return nowMs + Math.min(shape.timeMs, Math.max(0, told))
}

/** Runners of several versions may share the lane: each has the launcher it was built with. */
function ensureScript(files: Files, dir: string, name: string, text: string): string {
  const path = join(dir, `${name}${sha256(text).slice(0, 8)}.sh`)
  if (files.readText(path) !== text) files.publish(path, text)
  return path
}

async function main(): Promise<number> {
  const workspace = option('workspace')
  const laneName = option('lane')
  const nonce = option('nonce')
  if (workspace === undefined || laneName === undefined || nonce === undefined || process.argv.includes('--help')) {
    process.stdout.write(`${usage}\n`)
    return process.argv.includes('--help') ? 0 : 64
  }
  const files = new Files(realOs)
  const spool = spoolAt(workspace)
  const lane = spool.lane(laneName)
  const shape = files.readJson<LaneShape>(lane.shape)
  if (shape === undefined) throw new Error(`there is no lane ${laneName} in ${workspace}`)
  const clock = realClock
  const nativeId = option('native-id') || String(process.pid)
  const id = makeRunnerId(laneName, nativeId, Number(option('restart') ?? 0) || 0, nonce)
  const { bootId, ms: uptimeMs } = clock.uptime()
  let stopping: 'warned' | 'terminated' | undefined
  const log = lineLog(clock, process.argv.includes('--debug') || shape.debug === true ? 'debug' : 'info', (line) =>
    process.stderr.write(line),
  )
  // with one slot the job has the whole allocation, and its script starts here
  const nodes = shape.slots === 1 ? [hostname()] : await findNodes(shape.scheduler, process.env, hostname(), log)
  const runner: Runner = {
    files,
    clock,
    log,
    spool,
    lane,
    shape,
    id,
    nonce,
    launchers: new Launchers(ensureScript(files, lane.dir, launcherFile, launcherText), process.env),
    stepFile: nodes.length === 1 ? '' : ensureScript(files, lane.dir, stepFile, stepText),
    node: hostname(),
    nodes,
    nativeId,
    bootId,
    uuid: randomUUID,
    environment: process.env,
    endsAtMs: endsAtMs(shape, clock.monotonicMs(), clock.now()),
    leftovers: new Leftovers(clock, leftoverGraceMs),
    stopping: () => stopping,
  }
  process.on('SIGUSR2', () => {
    stopping ??= 'warned'
  })
  for (const name of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) {
    process.on(name, () => {
      stopping = 'terminated'
    })
  }
  const record: RunnerRecord = {
    nonce,
    runner: id,
    lane: laneName,
    nativeId,
    node: runner.node,
    bootId,
    pid: process.pid,
    startTicks: identifyProcess(process.pid, bootId)?.startTicks ?? '',
    startedAt: isoTime(clock.now()),
    uptimeMs,
  }
  // the start mark first: keys in the folder of a runner without one would be returned
  files.publish(lane.runner(id), `${JSON.stringify(record)}\n`)
  files.makeFolder(spool.running(id))
  const heartbeat = new Heartbeat(runner)
  const leave = (how: RunnerEnd['how'], detail?: string) => {
    const end: RunnerEnd = {
      how,
      at: isoTime(clock.now()),
      jobs: heartbeat.jobs,
      ...(detail === undefined ? {} : { detail }),
    }
    heartbeat.stop()
    files.createExclusive(`${lane.runner(id)}.end`, `${JSON.stringify(end)}\n`)
    files.removeEmptyFolder(spool.running(id))
    runner.log.info(`runner ${id} leaves: ${how}, ${heartbeat.jobs} jobs${detail === undefined ? '' : `: ${detail}`}`)
  }
  const count = shape.slots === 'auto' ? Math.max(1, visibleGpus(process.env).length) * nodes.length : shape.slots
  const slots = new Slots(runner, heartbeat, count)
  try {
    const failure = shape.preflight === undefined ? undefined : await tryPreflight(runner, shape.preflight, count)
    if (failure !== undefined) {
      leave('preflight', failure)
      return 69
    }
    const how = await drain(runner, slots, heartbeat)
    await runner.leftovers.end()
    leave(how)
    return 0
  } catch (error) {
    // no script outlives a runner that gives up: its jobs are to run again elsewhere
    await slots.interrupt('interrupted')
    await runner.leftovers.end()
    leave('failed', describeError(error))
    throw error
  }
}

// what a runner does for a thousand jobs is little, and V8 would spend a quarter of the runner's CPU to make it faster: only after many more
setFlagsFromString('--interrupt-budget=2000000')
process.umask(0o077)
main().then(
  (code) => process.exit(code),
  (error: unknown) => {
    process.stderr.write(`hpc_runner: ${describeError(error)}\n`)
    process.exit(70)
  },
)
