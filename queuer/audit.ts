/**
 * The audit: what no listing shows. A job asked for is looked up in its control folder, and its key, which is only a hint, is put back
 * where that says: with a result, among the done ones; with no attempt alive, in its lane's queue.
 */
import { join } from 'node:path'
import type { Whereabouts } from '../contract/protocol.ts'
import { laneOfRunner } from '../contract/spool.ts'
import type { JobRecord } from '../contract/spool-records.ts'
import { type Attempt, orphanedExit, readAttempts, readResult } from '../spool/attempt.ts'
import { hasEnded } from '../spool/end-file.ts'
import { readCancel } from '../spool/ended-by-us.ts'
import { finishAttempt, finishFenced } from '../spool/finish.ts'
import type { Queuer } from './queuer.ts'

export interface Located {
  readonly where: Whereabouts
  readonly attempt: number
}

/** Which keys runners hold, listed once for many questions. */
export function heldKeys(queuer: Queuer): ReadonlySet<string> {
  const { files, spool } = queuer
  return new Set(files.list(spool.runnings).flatMap((runner) => files.list(spool.running(runner))))
}

/** The runner that holds a key now, if any does. */
function isHeld(queuer: Queuer, key: string): boolean {
  const { files, spool } = queuer
  return files.list(spool.runnings).some((runner) => files.exists(join(spool.running(runner), key)))
}

/** Whether a runner that is not known to have ended works on it, or has written no exit yet. */
function isAlive(queuer: Queuer, last: Attempt | undefined): boolean {
  if (last?.record === undefined || last.end !== undefined || last.exit !== undefined) return false
  if (last.record.fence !== undefined) return false
  return !hasEnded(queuer.files, queuer.spool.lane(laneOfRunner(last.record.runner)), last.record.runner)
}

/** Puts a job with a result among the done ones, and takes its key from whoever died with it; safe to repeat. */
export function putDone(queuer: Queuer, job: JobRecord): void {
  const { files, spool } = queuer
  files.makeFolder(spool.done(job.gateway))
  files.createExclusive(join(spool.done(job.gateway), job.key), '')
  files.remove(join(spool.queue(job.lane), job.key))
  // a runner that lives, and is about to hand it over, finds that done
  for (const runner of files.list(spool.runnings)) files.remove(join(spool.running(runner), job.key))
}

export async function locate(queuer: Queuer, id: string, held?: ReadonlySet<string>): Promise<Located> {
  const { files, spool } = queuer
  const control = spool.control(id)
  const job = files.readJson<JobRecord>(control.record)
  if (job === undefined) return { where: 'absent', attempt: 0 }
  const attempts = readAttempts(files, control)
  const last = attempts.at(-1)
  const attempt = last?.number ?? 0
  if (readResult(files, control) !== undefined) {
    if (files.exists(join(spool.done(job.gateway), job.key))) return { where: 'done', attempt }
    putDone(queuer, job)
    return { where: 'repaired', attempt }
  }
  const queueKey = join(spool.queue(job.lane), job.key)
  // its own lane first; it may have gone on in the lane that took that one's place
  const lanes = [job.lane, ...files.list(spool.queues)]
  if (lanes.some((lane) => files.exists(join(spool.queue(lane), job.key)))) return { where: 'waiting', attempt }
  if (held?.has(job.key) === true || isHeld(queuer, job.key)) return { where: 'running', attempt }
  if (isAlive(queuer, last)) return { where: 'running', attempt }
  // the key may have moved between the looks above: it is looked for once more before anything is made again
  if (isHeld(queuer, job.key) || readResult(files, control) !== undefined) return { where: 'running', attempt }
  if (last?.record !== undefined) {
    const exit = orphanedExit(last, job, readCancel(files, control) !== undefined)
    if (exit !== undefined) await finishAttempt(files, spool, job, last.record, exit, queuer.uuid())
    else if (last.record.fence !== undefined) finishFenced(files, spool, job, last.record, queuer.uuid())
  }
  if (readResult(files, control) !== undefined) putDone(queuer, job)
  else {
    files.makeFolder(spool.queue(job.lane))
    files.createExclusive(queueKey, '')
  }
  return { where: 'repaired', attempt }
}
