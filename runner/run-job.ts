/** One attempt of one job: number taken, folder ready, script rendered, wrapper spawned, exit awaited, result written. */
import { join } from 'node:path'
import { describeError } from '../contract/errors.ts'
import { type Exit, parseExitFile, wrapperText } from '../contract/exit-file.ts'
import { jobMark, markName } from '../contract/job-mark.ts'
import { renderJob } from '../contract/render-job.ts'
import type { AttemptRecord, EndCause, JobRecord } from '../contract/spool-records.ts'
import { renderDuration } from '../contract/units.ts'
import { endAttempt, isLatestAttempt, openAttempt } from '../spool/attempt.ts'
import { type Ended, finishAttempt, finishWithout } from '../spool/finish.ts'
import { isoTime } from '../system/clock.ts'
import { digestOf } from '../system/digest.ts'
import { COPY_CLONE, errno, O_NOFOLLOW, O_RDONLY } from '../system/os.ts'
import { processesMarked, startDetached } from '../system/process.ts'
import { type Claimed, dropKey, handOver, returnToQueue } from './claim.ts'
import { fittingEnvironment, gpusOfSlot, siteEnvironment, visibleGpus } from './job-environment.ts'
import type { Runner } from './runner.ts'
import { stopProcesses, wrapperName } from './stop-processes.ts'

const graceMs = 10_000
/** After the scheduler's TERM there are seconds: KillWait is 30 by default and less at some sites. */
const hurriedGraceMs = 3_000
const watchMs = 500
const settleMs = 250

/** Takes the attempt's number; undefined when somebody else has. */
export function takeAttempt(
  runner: Runner,
  job: JobRecord,
  attempt: number,
  fence?: AttemptRecord['fence'],
): AttemptRecord | undefined {
  const { clock } = runner
  const record: AttemptRecord = {
    nonce: runner.uuid(),
    attempt,
    runner: runner.id,
    node: runner.node,
    bootId: runner.bootId,
    startedAt: isoTime(clock.now()),
    uptimeMs: clock.uptime().ms,
    ...(fence === undefined ? {} : { fence }),
  }
  return openAttempt(runner.files, runner.spool.control(job.id), record) ? record : undefined
}

/** A later attempt gets a folder of its own: fresh copies of the inputs, verified, and an empty `output/`. Throws when an input was changed. */
async function prepareFolder(runner: Runner, job: JobRecord, attempt: number): Promise<string> {
  const { files, spool } = runner
  const dir = spool.workDir(job.id, attempt)
  if (attempt === 1) return dir
  files.removeTree(dir)
  files.makeFolder(join(dir, 'input'))
  files.makeFolder(join(dir, 'output'))
  const outputs = new Set(['input', 'output', ...Object.values(job.outputs).map(({ name }) => name)])
  for (const { path, sha256 } of Object.values(job.inputs)) {
    const copy = join(dir, 'input', path)
    files.os.copyFileSync(join(spool.workDir(job.id, 1), 'input', path), copy, COPY_CLONE)
    const fd = files.os.openSync(copy, O_RDONLY | O_NOFOLLOW)
    try {
      if ((await digestOf(files.os, fd)).sha256 !== sha256)
        throw new Error(`its input "${path}" was changed by an earlier attempt`)
    } finally {
      files.os.closeSync(fd)
    }
    if (!outputs.has(path)) files.os.symlinkSync(join('input', path), join(dir, path))
  }
  return dir
}

/** Ends a job under a fence: no script runs for it any more. */
export function abort(runner: Runner, claimed: Claimed, attempt: number, ended: Ended): void {
  const state = ended.state === 'cancelled' ? 'cancelled' : 'aborted'
  const fence = takeAttempt(runner, claimed.job, attempt, state)
  if (fence === undefined) {
    dropKey(runner, claimed)
    return
  }
  finishWithout(runner.files, runner.spool, claimed.job, fence, ended, runner.uuid())
  handOver(runner, claimed)
}

export interface RunningJob {
  readonly claimed: Claimed
  readonly attempt: AttemptRecord
  readonly ended: Promise<void>
  /** Ends the script; it goes back to the queue. */
  interrupt(cause: EndCause): void
  /** Ends the script and records nothing: another runner has our seat. */
  abandon(): void
}

/** Starts a job in a slot. Undefined when it came to its end, or to somebody else, without being started. */
export async function startJob(
  runner: Runner,
  claimed: Claimed,
  attempt: number,
  slot: number,
  slots: number,
): Promise<RunningJob | undefined> {
  const { files, spool, shape } = runner
  const { job } = claimed
  const control = spool.control(job.id)
  const record = takeAttempt(runner, job, attempt)
  if (record === undefined) {
    dropKey(runner, claimed)
    return undefined
  }
  let environment: Record<string, string>
  let workDir: string
  try {
    workDir = await prepareFolder(runner, job, attempt)
    const rendered = renderJob(job, shape.name, workDir)
    files.createExclusive(control.script(attempt), rendered.script, 0o700)
    environment = fittingEnvironment(rendered.environment)
  } catch (error) {
    const ended: Ended = { state: 'aborted', message: `The script could not be prepared: ${describeError(error)}` }
    if (errno(error) !== undefined && errno(error) !== 'EEXIST') throw error
    finishWithout(files, spool, job, record, ended, runner.uuid())
    handOver(runner, claimed)
    return undefined
  }
  const gpus = gpusOfSlot(visibleGpus(runner.environment), slots, slot)
  const wrapperEnded = startDetached(
    [
      '/bin/sh',
      '-c',
      wrapperText,
      wrapperName,
      control.script(attempt),
      workDir,
      control.stdout(attempt),
      control.stderr(attempt),
      control.exit(attempt),
    ],
    {
      ...siteEnvironment(runner.environment),
      ...(slots > 1 && gpus.length > 0 ? { CUDA_VISIBLE_DEVICES: gpus.join(',') } : {}),
      ...environment,
      [markName]: jobMark(job.id, attempt),
    },
  )
  return attend(runner, claimed, record, wrapperEnded)
}

/** Goes on with a script that outlived its runner on this machine: its end is awaited and counts. */
export function adoptJob(runner: Runner, claimed: Claimed, record: AttemptRecord): RunningJob {
  const mark = jobMark(claimed.id, record.attempt)
  const gone = async () => {
    while (processesMarked(markName, mark).length > 0) await runner.clock.sleep(watchMs)
  }
  return attend(runner, claimed, record, gone())
}

function attend(runner: Runner, claimed: Claimed, record: AttemptRecord, wrapperEnded: Promise<void>): RunningJob {
  const { files, spool, clock } = runner
  const { job } = claimed
  const control = spool.control(job.id)
  const mark = jobMark(job.id, record.attempt)
  let over = false
  let interruptedBy: EndCause | undefined
  let abandoned = false
  let endedByUs: Ended | undefined
  const stop = (grace: number) => void stopProcesses(clock, mark, grace)

  const watch = async () => {
    const startedMs = clock.monotonicMs()
    while (!over) {
      await clock.within(watchMs, wrapperEnded)
      if (over || endedByUs !== undefined) return
      const cancel = files.readJson<{ cause: 'cancelled' | 'aborted'; why: string }>(control.cancel)
      if (cancel !== undefined) endedByUs = { state: cancel.cause, message: cancel.why }
      else if (job.timeMs !== undefined && clock.monotonicMs() - startedMs > job.timeMs) {
        endedByUs = {
          state: 'done',
          message: `The script ran longer than its time of ${renderDuration(job.timeMs)} and was ended`,
        }
      }
      if (endedByUs !== undefined) stop(graceMs)
    }
  }
  const finish = async () => {
    await wrapperEnded
    over = true
    if (abandoned) return
    const exit = parseExitFile(files.readText(control.exit(record.attempt)))
    // the scheduler's TERM may reach the script a moment before it reaches us
    if (exit === undefined || exit.rc < 0 || exit.rc > 128) await clock.sleep(settleMs)
    if (interruptedBy === undefined && runner.stopping() === 'terminated' && endedByUs === undefined && killed(exit)) {
      interruptedBy = 'interrupted'
      recordEnd(runner, control, record, interruptedBy)
    }
    if (abandoned) return
    if (interruptedBy !== undefined) {
      await stopProcesses(clock, mark, hurriedGraceMs)
      return returnToQueue(runner, claimed)
    }
    if (!isLatestAttempt(files, control, record.attempt)) return dropKey(runner, claimed)
    if (exit === undefined) {
      await stopProcesses(clock, mark, graceMs)
      if (endedByUs !== undefined) return abort(runner, claimed, record.attempt + 1, endedByUs)
      recordEnd(runner, control, record, 'died-alone')
      return returnToQueue(runner, claimed)
    }
    void stopProcesses(clock, mark, graceMs)
    await finishAttempt(files, spool, job, record, exit, runner.uuid(), endedByUs)
    handOver(runner, claimed)
  }
  void watch()
  return {
    claimed,
    attempt: record,
    ended: finish(),
    interrupt: (cause) => {
      if (over || interruptedBy !== undefined) return
      interruptedBy = cause
      recordEnd(runner, control, record, cause)
      stop(hurriedGraceMs)
    },
    abandon: () => {
      abandoned = true
      stop(hurriedGraceMs)
    },
  }
}

function killed(exit: Exit | undefined): boolean {
  return exit === undefined || exit.rc === -15 || exit.rc === -9 || exit.rc === 143 || exit.rc === 137
}

function recordEnd(
  runner: Runner,
  control: ReturnType<Runner['spool']['control']>,
  record: AttemptRecord,
  cause: EndCause,
): void {
  endAttempt(runner.files, control, record.attempt, { cause, at: isoTime(runner.clock.now()), by: runner.id })
}
