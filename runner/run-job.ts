/** One attempt of one job: number taken, folder ready, script rendered, a launcher told to start it. `attend-job.ts` sees it through. */
import { describeError } from '../contract/errors.ts'
import { jobMark, markName } from '../contract/job-mark.ts'
import type { ScriptStart } from '../contract/launcher.ts'
import { renderJob } from '../contract/render-job.ts'
import type { AttemptRecord, JobRecord } from '../contract/spool-records.ts'
import { stepWords } from '../scheduler/slurm-steps.ts'
import { attemptLives } from '../spool/attempt.ts'
import type { Ended } from '../spool/ended-by-us.ts'
import { finishWithout } from '../spool/finish.ts'
import { errno } from '../system/os.ts'
import type { Launcher } from '../system/process.ts'
import { isMachineTrouble, MachineTrouble } from '../system/trouble.ts'
import { attend, type RunningJob } from './attend-job.ts'
import { type Claimed, dropKey, handOver, returnToQueue } from './claim.ts'
import { fittingEnvironment } from './job-environment.ts'
import { startEnvironment } from './launchers.ts'
import { type Place, placeOf } from './places.ts'
import { prepareJob, recordEnd, takeAttempt } from './prepare-job.ts'
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

export interface Rendered {
  readonly script: string
  readonly start: ScriptStart
  /** Values that must be in the launcher's own environment. */
  readonly heavy: Record<string, string> | undefined
}

/** What starts a script on another node: srun, and there what tells of its end. */
function farStart(runner: Runner, { node, slots, slot }: Place, mark: string, told: string, bashEnv = '') {
  if (node === undefined) return {}
  const step = ['/bin/bash', runner.stepFile, told, bashEnv, String(slots), String(slot)]
  return { far: { via: [...stepWords(node, mark, runner.environment), ...step], told } }
}

export function render(
  runner: Runner,
  job: JobRecord,
  attempt: number,
  place: Place,
  exit = runner.spool.control(job.id).exit(attempt),
): Rendered {
  const control = runner.spool.control(job.id)
  const workDir = runner.spool.workDir(job.id, attempt)
  const { script, environment } = renderJob(job, runner.shape.name, workDir)
  const mark = jobMark(job.id, attempt)
  const { light, heavy } = startEnvironment(runner.environment, fittingEnvironment(environment))
  const { BASH_ENV, ...values } = light
  const start: ScriptStart = {
    script: control.script(attempt),
    shell: script.startsWith('#!') ? undefined : '/bin/sh',
    workDir,
    stdout: control.stdout(attempt),
    stderr: control.stderr(attempt),
    exit,
    environment: { ...(place.node === undefined ? light : values), [markName]: mark },
    ...farStart(runner, place, mark, control.told(attempt), BASH_ENV),
  }
  return { script, start, heavy }
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
  const place = placeOf(slot, slots, runner.nodes)
  let rendered: Rendered | undefined
  let launcher: Launcher | undefined
  let failure: { readonly what: string; readonly error: unknown } | undefined
  try {
    rendered = render(runner, job, attempt, place)
  } catch (error) {
    failure = { what: 'prepared', error }
  }
  try {
    if (rendered !== undefined) launcher = await runner.launchers.take(slot, place, rendered.heavy)
  } catch (error) {
    // nothing else of the job has a part in this: an allocation that is being killed takes a new launcher along
    const tooLong = errno(error) === 'E2BIG'
    const why = tooLong ? new Error('its values are too long for an environment') : new MachineTrouble(error)
    failure = { what: 'started', error: why }
  }
  const record = takeAttempt(runner, job, attempt, { ...identityOf(launcher), node: place.node })
  try {
    if (record !== undefined && rendered !== undefined) await prepareJob(runner, job, attempt, rendered.script)
  } catch (error) {
    failure ??= { what: 'prepared', error }
  }
  if (record === undefined || rendered === undefined || launcher === undefined || failure !== undefined) {
    if (launcher !== undefined) runner.launchers.giveBack(slot, launcher)
    if (record === undefined) dropKey(runner, claimed)
    else refuseStart(runner, claimed, record, failure?.what ?? 'started', failure?.error)
    return undefined
  }
  launcher.load(rendered.start)
  return goOn(runner, claimed, record, launcher, slot, place)
}

export function identityOf(launcher: Launcher | undefined): Pick<AttemptRecord, 'launcher'> {
  return launcher === undefined ? {} : { launcher: { pid: launcher.pid, startTicks: launcher.startTicks } }
}

/** Tells the launcher to go, once the attempt is on record. */
export function goOn(
  runner: Runner,
  claimed: Claimed,
  record: AttemptRecord,
  launcher: Launcher,
  slot: number,
  place: Place,
): RunningJob {
  const running = attend(runner, claimed, record, {
    ended: launcher.go(),
    launcher,
    hasServed: runner.launchers.hasServed(launcher),
    isFar: place.node !== undefined,
  })
  void running.vacated.then(() => runner.launchers.giveBack(slot, launcher))
  return running
}

/** Goes on with a script that outlived its runner on this machine: its end is awaited and counts. */
export function adoptJob(runner: Runner, claimed: Claimed, record: AttemptRecord): RunningJob {
  const gone = async () => {
    while (attemptLives(claimed.id, record, runner.bootId)) await runner.clock.sleep(watchMs)
  }
  return attend(runner, claimed, record, { ended: gone(), launcher: undefined, hasServed: false, isFar: false })
}
