/** Ending a job under a fence: the next attempt's number is taken to say that no script runs for it any more. */
import type { Ended } from '../spool/ended-by-us.ts'
import { finishWithout } from '../spool/finish.ts'
import { type Claimed, dropKey, handOver } from './claim.ts'
import { takeAttempt } from './prepare-job.ts'
import type { Runner } from './runner.ts'

export function abort(runner: Runner, claimed: Claimed, attempt: number, ended: Ended): void {
  const state = ended.state === 'cancelled' ? 'cancelled' : 'aborted'
  const fence = takeAttempt(runner, claimed.job, attempt, { fence: state, why: ended.message })
  if (fence === undefined) {
    dropKey(runner, claimed)
    return
  }
  finishWithout(runner.files, runner.spool, claimed.job, fence, { ...ended, state }, runner.uuid())
  handOver(runner, claimed)
}
