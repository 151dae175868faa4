/**
 * A job made ready while the slot it is for still runs another's script: its script is written, and a second launcher of the slot has
 * forked and waits to be told to go. Nothing of it is on record yet: it is a claimed key, as before, and whoever takes its attempt
 * number instead of us ends this without a word. Only a first attempt is made ready so, whose folder is there already.
 */
import { join } from 'node:path'
import type { Launcher } from '../system/process.ts'
import type { RunningJob } from './attend-job.ts'
import type { Choice } from './choose-job.ts'
import { type Claimed, dropKey, stillFits } from './claim.ts'
import { type Place, placeOf } from './places.ts'
import { prepareJob, takeAttempt } from './prepare-job.ts'
import { goOn, identityOf, render } from './run-job.ts'
import type { Runner } from './runner.ts'

export interface ReadyJob {
  readonly claimed: Claimed
  readonly slot: number
  readonly place: Place
  readonly launcher: Launcher
  /** Name of its exit file, which no other start of the job has: the launcher opens it before the attempt is ours. */
  readonly exit: string
}

/** Undefined when the job is none to be made ready: it is carried out in the ordinary way, which meets whatever is wrong with it. */
export async function makeReady(
  runner: Runner,
  claimed: Claimed,
  choice: Choice,
  slot: number,
  slots: number,
): Promise<ReadyJob | undefined> {
  if (choice.do !== 'run' || choice.attempt !== 1 || choice.alone) return undefined
  const { job } = claimed
  const place = placeOf(slot, slots, runner.nodes)
  const exit = `1.${runner.uuid().slice(0, 8)}.rc`
  const { script, start, heavy } = render(runner, job, 1, place, join(runner.spool.control(job.id).attempts, exit))
  // it needs a launcher of its own
  if (heavy !== undefined) return undefined
  await prepareJob(runner, job, 1, script)
  const launcher = await runner.launchers.take(slot, place, undefined)
  launcher.load(start)
  return { claimed, slot, place, launcher, exit }
}

/** It may have been cancelled meanwhile, its launcher have died, or this process have stood still. */
export function isStillReady(runner: Runner, { claimed, launcher }: ReadyJob): boolean {
  const { files, spool, launchers } = runner
  return (
    launchers.isUsable(launcher) && stillFits(runner, claimed.job) && !files.exists(spool.control(claimed.id).cancel)
  )
}

/** Records its start, and starts it. Undefined when somebody else has taken its number. */
export function startReady(runner: Runner, ready: ReadyJob): RunningJob | undefined {
  const { claimed, slot, place, launcher, exit } = ready
  const record = takeAttempt(runner, claimed.job, 1, { ...identityOf(launcher), node: place.node, exit })
  if (record !== undefined) return goOn(runner, claimed, record, launcher, slot, place)
  discard(ready)
  dropKey(runner, claimed)
  return undefined
}

/** Its launcher, which has forked for this job, starts nothing and ends. */
export function discard({ launcher }: ReadyJob): void {
  launcher.end()
}
