/** Ending a job that is published: its next attempt number is taken as a fence; a script alive elsewhere is asked to stop. */
import { join } from 'node:path'
import type { Answer, Request } from '../contract/protocol.ts'
import { laneOfRunner } from '../contract/spool.ts'
import type { AttemptRecord, JobRecord } from '../contract/spool-records.ts'
import { openAttempt, readAttempts, readResult } from '../spool/attempt.ts'
import { finishWithout } from '../spool/finish.ts'
import { runnerEnd } from '../spool/seat.ts'
import { isoTime } from '../system/clock.ts'
import type { Queuer } from './queuer.ts'

type Cancel = Extract<Request, { type: 'cancel' }>
type How = Extract<Answer, { type: 'cancelling' }>['how']

export function cancelJob(queuer: Queuer, request: Cancel): How {
  const { files, spool } = queuer
  const control = spool.control(request.id)
  const job = files.readJson<JobRecord>(control.record)
  if (job === undefined) return 'absent'
  if (readResult(files, control) !== undefined) return 'finished'
  const last = readAttempts(files, control).at(-1)
  const ended =
    last === undefined ||
    last.end !== undefined ||
    last.record?.fence !== undefined ||
    (last.record !== undefined &&
      runnerEnd(files, spool.lane(laneOfRunner(last.record.runner)), last.record.runner) !== undefined)
  if (!ended || last?.exit !== undefined) {
    files.publish(control.cancel, `${JSON.stringify({ cause: request.cause, why: request.why })}\n`)
    return 'requested'
  }
  const fence: AttemptRecord = {
    nonce: queuer.uuid(),
    attempt: (last?.number ?? 0) + 1,
    runner: '',
    node: queuer.host,
    bootId: queuer.clock.uptime().bootId,
    startedAt: isoTime(queuer.clock.now()),
    uptimeMs: queuer.clock.uptime().ms,
    fence: request.cause,
  }
  if (!openAttempt(files, control, fence)) {
    files.publish(control.cancel, `${JSON.stringify({ cause: request.cause, why: request.why })}\n`)
    return 'requested'
  }
  finishWithout(files, spool, job, fence, { state: request.cause, message: request.why }, queuer.uuid())
  files.makeFolder(spool.done(job.gateway))
  files.createExclusive(join(spool.done(job.gateway), job.key), '')
  files.remove(join(spool.queue(job.lane), job.key))
  return 'ended'
}
