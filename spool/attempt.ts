/**
 * Attempts: every start of a script is a numbered file, taken before the script is spawned. Attempt n+1 opens only when attempt n has an
 * end or its runner is proven dead. An attempt with an exit is finished, whoever finds it, and never runs again.
 */
import { join } from 'node:path'
import { type Exit, parseExitFile } from '../contract/exit-file.ts'
import { jobMark, markName } from '../contract/job-mark.ts'
import type { ControlPaths } from '../contract/spool.ts'
import type {
  AttemptEnd,
  AttemptRecord,
  AttemptSummary,
  EndCause,
  JobRecord,
  ResultRecord,
} from '../contract/spool-records.ts'
import type { Files } from '../system/files.ts'
import { claimNumber, numbersIn } from '../system/numbered-file.ts'
import { errno } from '../system/os.ts'
import { isAlive, processesMarked } from '../system/process.ts'
import { readEnd } from './end-file.ts'
import { overtime } from './ended-by-us.ts'

export interface Attempt {
  readonly number: number
  /** Undefined when its taker died before writing it: nothing was started under it. */
  readonly record: AttemptRecord | undefined
  readonly end: AttemptEnd | undefined
  readonly exit: Exit | undefined
}

/** Where the exit of an attempt is written. */
export function exitPath(control: ControlPaths, { attempt, exit }: Pick<AttemptRecord, 'attempt' | 'exit'>): string {
  return exit === undefined ? control.exit(attempt) : join(control.attempts, exit)
}

/** All attempts of a job, the latest last. What is known of one, as its exit is whole, is not read again. */
export function readAttempts(
  files: Files,
  control: ControlPaths,
  known?: { readonly record: AttemptRecord; readonly exit: Exit },
): Attempt[] {
  const of = (number: number) => {
    if (known?.record.attempt === number) return known
    const record = files.readJson<AttemptRecord>(control.attempt(number))
    return { record, exit: parseExitFile(files.readText(exitPath(control, record ?? { attempt: number }))) }
  }
  return numbersIn(files.list(control.attempts)).map((number) => ({
    number,
    ...of(number),
    end: readEnd<AttemptEnd>(files, control.attemptEnd(number), { cause: 'died-alone', at: '', by: '' }),
  }))
}

/**
 * Whether anything of an attempt lives on this machine: its script, or the launcher that has yet to write the exit. A launcher whose
 * runner is gone sees its last script through, and ends.
 */
export function attemptLives(id: string, record: AttemptRecord, bootId: string): boolean {
  return (
    record.bootId === bootId &&
    (launcherLives(record, bootId) || processesMarked(markName, jobMark(id, record.attempt)).length > 0)
  )
}

export function launcherLives({ launcher, bootId }: AttemptRecord, here: string): boolean {
  return launcher !== undefined && isAlive({ ...launcher, bootId }, here)
}

/** Ends that came from outside the script. */
export const interruptions: ReadonlySet<string> = new Set<EndCause>(['interrupted', 'walltime', 'preempted'])

/**
 * The exit that counts: one written by a script that nobody had interrupted. What a script says after our signal, or the scheduler's,
 * reached it tells of the signal, not of its work.
 */
export function countedExit(attempt: Attempt): Exit | undefined {
  return interruptions.has(attempt.end?.cause ?? '') ? undefined : attempt.exit
}

const endingSignals: ReadonlySet<number> = new Set([-15, -9])

/**
 * As `countedExit`, of an attempt whose runner died before it made a result of it: TERM and KILL are how a scheduler ends an allocation, and
 * a runner that stood still could not tell. They count where they were ours: on request, or when the job's time was over.
 */
export function orphanedExit(attempt: Attempt, job: Pick<JobRecord, 'timeMs'>, onRequest = false): Exit | undefined {
  const exit = countedExit(attempt)
  if (exit === undefined || onRequest || !endingSignals.has(exit.rc)) return exit
  return overtime(job, exit.endUptimeMs - exit.startUptimeMs) === undefined ? undefined : exit
}

/**
 * Takes the next number; false when somebody else did. The caller has made sure that the one before has ended. One whose record was
 * empty then may have been in the middle of being written: it is read again under our number, as its taker lists again after writing.
 */
export function openAttempt(files: Files, control: ControlPaths, record: AttemptRecord): boolean {
  const { attempt } = record
  const before = attempt === 1 ? undefined : control.attempt(attempt - 1)
  const wasEmpty = before !== undefined && files.readJson<AttemptRecord>(before) === undefined
  // a name that is lost with the machine's power is that of a script that died with it: the folder is not synced for each start
  if (claimNumber(files, control.attempts, attempt, record, '', 'later') === undefined) return false
  if (before === undefined || !wasEmpty || files.readJson<AttemptRecord>(before) === undefined) return true
  endAttempt(files, control, attempt, { cause: 'never-started', at: record.startedAt, by: record.runner })
  return false
}

export function isLatestAttempt(files: Files, control: ControlPaths, attempt: number): boolean {
  return (numbersIn(files.list(control.attempts)).at(-1) ?? 0) === attempt
}

/** Says why an attempt ended without a result; the first to say so counts. */
export function endAttempt(files: Files, control: ControlPaths, attempt: number, end: AttemptEnd): void {
  const path = control.attemptEnd(attempt)
  const text = `${JSON.stringify(end)}\n`
  // an empty one says nothing: its writer died, or it is ours and the answer was lost
  if (!files.createExclusive(path, text) && files.readText(path) === '') files.publish(path, text)
}

export function readResult(files: Files, control: ControlPaths): ResultRecord | undefined {
  return files.readJson<ResultRecord>(control.resultRecord)
}

/**
 * Makes `result` the job's result if it has none yet: a full folder is renamed into place, which fails where one is. Returns the result
 * that counts, which may be another attempt's.
 */
export function settleResult(files: Files, control: ControlPaths, result: ResultRecord): ResultRecord {
  const folder = `${control.attemptResult(result.attempt)}.${result.nonce}`
  files.makeFolder(folder)
  // the folder is ours alone, and nobody looks into it before it has its name
  files.writeOwn(`${folder}/result.json`, `${JSON.stringify(result)}\n`)
  try {
    files.os.renameSync(folder, control.result)
    files.syncFolder(control.dir)
    // a full folder is never replaced: what is there now is ours
    return result
  } catch (error) {
    const settled = readResult(files, control)
    if (settled === undefined) throw error
    if (settled.nonce !== result.nonce && !['EEXIST', 'ENOTEMPTY', 'ENOENT'].includes(errno(error) ?? '')) throw error
  }
  const settled = readResult(files, control)
  if (settled === undefined) throw new Error(`the result of ${control.dir} vanished while it was written`)
  return settled
}

/** One line an attempt, for the result and for people. */
export function summarise(attempts: readonly Attempt[]): AttemptSummary[] {
  return attempts
    .filter((attempt) => attempt.record !== undefined && attempt.record.fence === undefined)
    .map(({ number, record, end, exit }) => ({
      attempt: number,
      runner: record?.runner ?? '',
      node: record?.node ?? '',
      start: record?.startedAt ?? '',
      ...(end === undefined ? {} : { end: end.at }),
      cause: end?.cause ?? (exit === undefined ? 'running' : 'exited'),
    }))
}
