/** One attempt of one job: number taken, folder ready, script rendered, wrapper spawned. `attend-job.ts` sees it through. */
import { describeError } from '../contract/errors.ts'
import { jobMark, markName } from '../contract/job-mark.ts'
import type { AttemptRecord } from '../contract/spool-records.ts'
import { type Ended, finishWithout } from '../spool/finish.ts'
import { errno } from '../system/os.ts'
import { processesMarked, startDetached } from '../system/process.ts'
import { isMachineTrouble } from '../system/trouble.ts'
import { attend, type RunningJob } from './attend-job.ts'
import { type Claimed, dropKey, handOver, returnToQueue } from './claim.ts'
import { fittingEnvironment, gpusOfSlot, siteEnvironment, visibleGpus } from './job-environment.ts'
import { type Prepared, prepareJob, recordEnd, takeAttempt } from './prepare-job.ts'
import type { Runner } from './runner.ts'

const watchMs = 500

/** Ends a job whose script cannot be started, unless that is the machine's fault: then it goes back, and the runner cannot go on. */
function refuseStart(runner: Runner, claimed: Claimed, record: AttemptRecord, what: string, error: unknown): void {
  if (isMachineTrouble(error)) {
    recordEnd(runner, claimed.id, record.attempt, 'never-started', describeError(error))
    returnToQueue(runner, claimed)
    throw error
  }
  const ended: Ended = { state: 'aborted', message: `The script could not be ${what}: ${describeError(error)}` }
  finishWithout(runner.files, runner.spool, claimed.job, record, ended, runner.uuid())
  handOver(runner, claimed)
}

/** Starts a job in a slot. Undefined when it came to its end, or to somebody else, without being started. */
export async function startJob(
  runner: Runner,
  claimed: Claimed,
  attempt: number,
  slot: number,
  slots: number,
): Promise<RunningJob | undefined> {
  const { job } = claimed
  const record = takeAttempt(runner, job, attempt)
  if (record === undefined) {
    dropKey(runner, claimed)
    return undefined
  }
  let prepared: Prepared
  try {
    prepared = await prepareJob(runner, job, attempt)
  } catch (error) {
    refuseStart(runner, claimed, record, 'prepared', error)
    return undefined
  }
  const wrapper = startWrapper(runner, claimed, attempt, prepared, slot, slots)
  if (wrapper.pid === undefined) {
    const error = await wrapper.ended
    const tooLong = errno(error) === 'E2BIG' ? new Error('its values are too long for an environment') : error
    refuseStart(runner, claimed, record, 'started', tooLong)
    return undefined
  }
  return attend(runner, claimed, record, { ended: wrapper.ended, session: wrapper.pid })
}

function startWrapper(
  runner: Runner,
  claimed: Claimed,
  attempt: number,
  { workDir, environment }: Prepared,
  slot: number,
  slots: number,
) {
  const control = runner.spool.control(claimed.id)
  const gpus = gpusOfSlot(visibleGpus(runner.environment), slots, slot)
  return startDetached(
    [
      '/bin/sh',
      runner.wrapper,
      control.script(attempt),
      workDir,
      control.stdout(attempt),
      control.stderr(attempt),
      control.exit(attempt),
    ],
    {
      ...siteEnvironment(runner.environment),
      ...(slots > 1 && gpus.length > 0 ? { CUDA_VISIBLE_DEVICES: gpus.join(',') } : {}),
      ...fittingEnvironment(environment),
      [markName]: jobMark(claimed.id, attempt),
    },
  )
}

/** Goes on with a script that outlived its runner on this machine: its end is awaited and counts. */
export function adoptJob(runner: Runner, claimed: Claimed, record: AttemptRecord): RunningJob {
  const mark = jobMark(claimed.id, record.attempt)
  const gone = async () => {
    while (processesMarked(markName, mark).length > 0) await runner.clock.sleep(watchMs)
  }
  return attend(runner, claimed, record, { ended: gone(), session: undefined })
}
