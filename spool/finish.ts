/** From an attempt's exit to the job's result: the same for the runner that saw it end, its successor, and the queuer. */
import type { Exit } from '../contract/exit-file.ts'
import type { ControlPaths, Spool } from '../contract/spool.ts'
import type { AttemptRecord, JobRecord, ResultRecord } from '../contract/spool-records.ts'
import { isoTime } from '../system/clock.ts'
import type { Files } from '../system/files.ts'
import { type Attempt, readAttempts, settleResult, summarise } from './attempt.ts'
import { type Ended, overtime, readCancel } from './ended-by-us.ts'
import { findOutputs } from './outputs.ts'

/** The streams outlive the machine that wrote them, as the result does that tells of them. Returns their sizes. */
function syncStreams(
  files: Files,
  control: ControlPaths,
  attempt: number,
): { stdoutBytes: number; stderrBytes: number } {
  const [stdoutBytes, stderrBytes] = [control.stdout(attempt), control.stderr(attempt)].map((path) => {
    const bytes = files.stat(path)?.size ?? 0
    if (bytes > 0) files.syncFile(path)
    return bytes
  }) as [number, number]
  files.syncFolder(control.attempts)
  return { stdoutBytes, stderrBytes }
}

function whyEnded(files: Files, control: ControlPaths, job: JobRecord, exit: Exit): Ended | undefined {
  return readCancel(files, control) ?? overtime(job, exit.endUptimeMs - exit.startUptimeMs)
}

/** Writes the result of an attempt whose script has ended. Outputs are looked for only after rc 0: a failed job delivers none. */
export async function finishAttempt(
  files: Files,
  spool: Spool,
  job: JobRecord,
  attempt: AttemptRecord,
  exit: Exit,
  nonce: string,
  endedByUs?: Ended,
  peakMemoryBytes?: number,
  attempts?: readonly Attempt[],
): Promise<ResultRecord> {
  const control = spool.control(job.id)
  // the runner that ended it may have died before it could say so
  const ended = endedByUs ?? (exit.rc < 0 ? whyEnded(files, control, job, exit) : undefined)
  const succeeded = exit.rc === 0 && ended === undefined
  const found = succeeded ? await findOutputs(files, spool.workDir(job.id, attempt.attempt), job.outputs) : undefined
  const streams = syncStreams(files, control, attempt.attempt)
  const message = ended?.message ?? found?.wrong[0]
  const startMs = Date.parse(attempt.startedAt)
  return settleResult(files, control, {
    nonce,
    attempt: attempt.attempt,
    state: ended?.state ?? 'done',
    rc: exit.rc,
    ...(message === undefined ? {} : { message }),
    start: attempt.startedAt,
    end: isoTime(startMs + Math.max(0, exit.endUptimeMs - attempt.uptimeMs)),
    ...(exit.cpuMs === undefined ? {} : { cpuMs: exit.cpuMs }),
    ...(peakMemoryBytes === undefined ? {} : { peakMemoryBytes }),
    runner: attempt.runner,
    node: attempt.node,
    outputs: found?.outputs ?? [],
    missing: found?.missing ?? [],
    ...streams,
    attempts: summarise(attempts ?? readAttempts(files, control, { record: attempt, exit })),
    warnings: found?.warnings ?? [],
  })
}

/** Ends a job that no script ended: the number `attempt` has been taken as a fence, so none can start any more. */
export function finishWithout(
  files: Files,
  spool: Spool,
  job: JobRecord,
  fence: AttemptRecord,
  ended: Ended,
  nonce: string,
): ResultRecord {
  const control = spool.control(job.id)
  const attempts = readAttempts(files, control)
  const last = attempts.filter(({ record }) => record !== undefined && record.fence === undefined).at(-1)
  const streams = last === undefined ? { stdoutBytes: 0, stderrBytes: 0 } : syncStreams(files, control, last.number)
  return settleResult(files, control, {
    nonce,
    attempt: fence.attempt,
    state: ended.state,
    rc: null,
    message: ended.message,
    start: last?.record?.startedAt ?? null,
    end: last?.end?.at ?? null,
    runner: last?.record?.runner ?? '',
    node: last?.record?.node ?? '',
    outputs: [],
    missing: [],
    ...streams,
    attempts: summarise(attempts),
    warnings: [],
  })
}

/** Ends a job whose fence was taken by somebody who died before the result was written. */
export function finishFenced(
  files: Files,
  spool: Spool,
  job: JobRecord,
  fence: AttemptRecord,
  nonce: string,
): ResultRecord {
  const state = fence.fence ?? 'aborted'
  return finishWithout(files, spool, job, fence, { state, message: fence.why ?? `The job was ${state}` }, nonce)
}
