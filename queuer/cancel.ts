/** Ending a job that is published: its next attempt number is taken as a fence; a script alive elsewhere is asked to stop. */

import type { Answer, Request } from '../contract/protocol.ts'
import { laneOfRunner } from '../contract/spool.ts'
import type { AttemptRecord, JobRecord } from '../contract/spool-records.ts'
import { type Attempt, attemptLives, openAttempt, readAttempts, readResult } from '../spool/attempt.ts'
import { hasEnded } from '../spool/end-file.ts'
import { finishWithout } from '../spool/finish.ts'
import { isoTime } from '../system/clock.ts'
import { putDone } from './audit.ts'
import { dropUnpublished } from './clean.ts'
import type { Queuer } from './queuer.ts'

type Cancel = Extract<Request, { type: 'cancel' }>
type How = Extract<Answer, { type: 'cancelling' }>['how']

/** Whether nothing runs under this attempt any more, so that the next number may end the job. */
function isOver(queuer: Queuer, id: string, last: Attempt | undefined): boolean {
  if (last === undefined || last.record?.fence !== undefined) return true
  const { record } = last
  // nothing was started under it, and `openAttempt` makes way for one that is being written just now
  if (record === undefined) return true
  const { files, spool, clock } = queuer
  if (last.end === undefined && !hasEnded(files, spool.lane(laneOfRunner(record.runner)), record.runner)) return false
  // a script that outlived its runner on this machine is ended by the runner that adopts it
  return !attemptLives(id, record, clock.uptime().bootId)
}

export function cancelJob(queuer: Queuer, request: Cancel): How {
  const { files, spool } = queuer
  const control = spool.control(request.id)
  const job = files.readJson<JobRecord>(control.record)
  if (job === undefined) {
    dropUnpublished(queuer, request.id)
    return 'absent'
  }
  if (readResult(files, control) !== undefined) return 'finished'
  const last = readAttempts(files, control).at(-1)
  if (!isOver(queuer, request.id, last) || last?.exit !== undefined) {
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
    why: request.why,
  }
  if (!openAttempt(files, control, fence)) {
    files.publish(control.cancel, `${JSON.stringify({ cause: request.cause, why: request.why })}\n`)
    return 'requested'
  }
  finishWithout(files, spool, job, fence, { state: request.cause, message: request.why }, queuer.uuid())
  putDone(queuer, job)
  return 'ended'
}
