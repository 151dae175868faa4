/**
 * The audit: what no listing shows. A job asked for is looked up in its control folder, and its key, which is only a hint, is put back
 * where that says: with a result, among the done ones; with no attempt alive, in its lane's queue.
 */
import { join } from 'node:path'
import type { Whereabouts } from '../contract/protocol.ts'
import { laneOfRunner } from '../contract/spool.ts'
import type { JobRecord } from '../contract/spool-records.ts'
import { readAttempts, readResult } from '../spool/attempt.ts'
import { runnerEnd } from '../spool/seat.ts'
import type { Queuer } from './queuer.ts'

/** The runner that holds a key, if any does. */
function holderOf(queuer: Queuer, key: string): string | undefined {
  const { files, spool } = queuer
  return files.list(spool.runnings).find((runner) => files.exists(join(spool.running(runner), key)))
}

export function locate(queuer: Queuer, id: string): { where: Whereabouts; attempt: number } {
  const { files, spool } = queuer
  const control = spool.control(id)
  const job = files.readJson<JobRecord>(control.record)
  if (job === undefined) return { where: 'absent', attempt: 0 }
  const attempts = readAttempts(files, control)
  const attempt = attempts.at(-1)?.number ?? 0
  const doneKey = join(spool.done(job.gateway), job.key)
  if (readResult(files, control) !== undefined) {
    if (files.exists(doneKey)) return { where: 'done', attempt }
    files.makeFolder(spool.done(job.gateway))
    files.createExclusive(doneKey, '')
    files.remove(join(spool.queue(job.lane), job.key))
    return { where: 'repaired', attempt }
  }
  const queueKey = join(spool.queue(job.lane), job.key)
  if (files.exists(queueKey)) return { where: 'waiting', attempt }
  if (holderOf(queuer, job.key) !== undefined) return { where: 'running', attempt }
  const last = attempts.at(-1)
  const alive =
    last?.record !== undefined &&
    last.end === undefined &&
    last.exit === undefined &&
    last.record.fence === undefined &&
    runnerEnd(files, spool.lane(laneOfRunner(last.record.runner)), last.record.runner) === undefined
  if (alive) return { where: 'running', attempt }
  // the key may have moved between the looks above: it is looked for once more before it is made again
  if (holderOf(queuer, job.key) !== undefined || readResult(files, control) !== undefined)
    return { where: 'running', attempt }
  files.makeFolder(spool.queue(job.lane))
  files.createExclusive(queueKey, '')
  return { where: 'repaired', attempt }
}
