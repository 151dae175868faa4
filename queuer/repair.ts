/** Keys of runners that have ended or are proven dead go back to where they belong; that counts as work. */
import { join } from 'node:path'
import { describeError } from '../contract/errors.ts'
import { idOfKey, keysIn, laneOfRunner, parseIdentity } from '../contract/spool.ts'
import type { JobRecord, LaneShape, RunnerEnd } from '../contract/spool-records.ts'
import type { Allocation, Answer, EndedAllocation } from '../scheduler/scheduler.ts'
import { type Attempt, attemptLives, endAttempt, orphanedExit, readAttempts, readResult } from '../spool/attempt.ts'
import { hasEnded, runnerEnd } from '../spool/end-file.ts'
import { readCancel } from '../spool/ended-by-us.ts'
import { finishAttempt } from '../spool/finish.ts'
import { isoTime } from '../system/clock.ts'
import { isAlive } from '../system/process.ts'
import { decideCause, decideEnd, rememberEnd } from './decide-cause.ts'
import { lookAtRunner, type RunnerSight } from './decide-runners.ts'
import { type KnownRunner, readRunners } from './lane-files.ts'
import { observerOf, type Pass, type Queuer } from './queuer.ts'

/** A runner is gone for certain when its machine is this one and its process is not there. */
function provablyGone(queuer: Queuer, runner: KnownRunner, scheduler: string): boolean {
  const here = queuer.clock.uptime().bootId
  const { record } = runner
  if (record === undefined) return false
  // two machines in containers of one host share its boot id, but not their processes
  if (record.bootId === here) return record.node === queuer.host && !isAlive(record, here)
  // without a scheduler the runner's machine is this one: another boot id means it was started anew
  return scheduler === 'local' && record.node === queuer.host
}

function observationsPath(queuer: Queuer, pass: Pass, lane: string): string {
  return join(queuer.spool.lane(lane).dir, `observed.${observerOf(pass)}.json`)
}

/** What other gateways, and hosts that served this one before, remember of a runner: whoever looked while the books still told. */
function sightsOfOthers(queuer: Queuer, pass: Pass, lane: string, runner: string): RunnerSight[] {
  const { files, spool } = queuer
  const { dir } = spool.lane(lane)
  const own = observationsPath(queuer, pass, lane)
  return files
    .list(dir)
    .filter((name) => /^observed\..*\.json$/.test(name) && join(dir, name) !== own)
    .map((name) => files.readJson<Record<string, RunnerSight>>(join(dir, name))?.[runner])
    .filter((sight) => sight !== undefined)
}

/** Writes the end of every runner that has died, and asks the scheduler to cancel one that is mute. Returns ids to cancel. */
export function noteDeadRunners(
  queuer: Queuer,
  pass: Pass,
  lane: string,
  scheduler: string,
  queue: Answer<readonly Allocation[]>,
  ends: readonly EndedAllocation[],
): string[] {
  const { files, spool } = queuer
  const paths = spool.lane(lane)
  const path = observationsPath(queuer, pass, lane)
  const before = files.readJson<Record<string, RunnerSight>>(path) ?? {}
  const after: Record<string, RunnerSight> = {}
  const cancel: string[] = []
  const runners = readRunners(queuer, lane)
  for (const runner of runners) {
    if (runner.hasEnded) continue
    const newer = runners.some(
      ({ nonce, record }) => nonce === runner.nonce && restartOf(record?.runner) > restartOf(runner.runner),
    )
    const isOwn = ({ identity }: { identity: string }) => parseIdentity(identity)?.nonce === runner.nonce
    const own = queue.certain ? queue.value.find(isOwn) : undefined
    const live = queue.certain ? !newer && own !== undefined && own.state !== 'ending' : undefined
    const known = before[runner.runner]
    const look = lookAtRunner(known, runner.beat, live, pass.observer)
    const { verdict } = look
    const ended = rememberEnd(known?.ended, newer || own?.state === 'pending', ends.find(isOwn)?.end)
    const sight = { ...look.sight, ...(ended === undefined ? {} : { ended }) }
    if (verdict === 'dead' || provablyGone(queuer, runner, scheduler)) {
      const allocation = decideEnd([sight, ...sightsOfOthers(queuer, pass, lane, runner.runner)])
      const end: RunnerEnd = {
        how: 'dead',
        at: isoTime(queuer.clock.now()),
        jobs: runner.jobs,
        ...(allocation === undefined ? {} : { allocation }),
      }
      files.createExclusive(`${paths.runner(runner.runner)}.end`, `${JSON.stringify(end)}\n`)
      const why = allocation === undefined ? '' : ` (the scheduler's books say of its allocation: ${allocation})`
      queuer.log.warn(`runner ${runner.runner} is dead${why}; its jobs go back to the queue`)
      continue
    }
    // by the id that the scheduler gives beside our comment
    if (verdict === 'silent' && own !== undefined) cancel.push(own.nativeId)
    after[runner.runner] = sight
  }
  if (JSON.stringify(after) !== JSON.stringify(before)) files.publish(path, `${JSON.stringify(after)}\n`)
  return cancel
}

function restartOf(runner: string | undefined): number {
  return Number(runner?.split('.').at(-2) ?? 0)
}

/** A job in the hands of a runner that has ended. */
function leftJob(queuer: Queuer, id: string) {
  const { files, spool } = queuer
  const control = spool.control(id)
  const job = files.readJson<JobRecord>(control.record)
  if (job === undefined) return undefined
  const attempts = readAttempts(files, control)
  const last = attempts.at(-1)
  const exit = last === undefined ? undefined : orphanedExit(last, job, readCancel(files, control) !== undefined)
  return { job, control, last, exit }
}

type LeftJob = NonNullable<ReturnType<typeof leftJob>>

/** The attempt of this runner that is open: begun, no exit that counts, no end. */
function openAttemptOf({ last, exit }: LeftJob, runner: string): Attempt | undefined {
  return last?.record?.runner === runner && last.end === undefined && exit === undefined ? last : undefined
}

/** Returns the keys of every ended runner; the number of keys that moved. */
export async function returnKeys(queuer: Queuer): Promise<number> {
  const { files, spool, log } = queuer
  let moved = 0
  for (const runner of files.list(spool.runnings)) {
    const lane = spool.lane(laneOfRunner(runner))
    if (!hasEnded(files, lane, runner)) continue
    const end = runnerEnd(files, lane, runner) ?? { how: 'dead', at: isoTime(queuer.clock.now()), jobs: 0 }
    const keys = keysIn(files.list(spool.running(runner)))
    const open = keys.filter((key) => {
      const id = idOfKey(key)
      const left = id === undefined ? undefined : leftJob(queuer, id)
      return left !== undefined && openAttemptOf(left, runner) !== undefined
    })
    for (const key of keys) {
      try {
        if (await returnKey(queuer, runner, key, end, open.length)) moved += 1
      } catch (error) {
        log.warn(`cannot return ${key} of runner ${runner}: ${describeError(error)}`)
      }
    }
    // never with a key in it that a stale listing did not show
    files.removeEmptyFolder(spool.running(runner))
  }
  return moved
}

async function returnKey(
  queuer: Queuer,
  runner: string,
  key: string,
  end: RunnerEnd,
  together: number,
): Promise<boolean> {
  const { files, spool } = queuer
  const id = idOfKey(key)
  if (id === undefined) return false
  // the runner's lane, not the record's: the key may have gone on in the lane that took that one's place
  const lane = laneOfRunner(runner)
  const from = join(spool.running(runner), key)
  const left = leftJob(queuer, id)
  if (left === undefined) {
    files.remove(from)
    return true
  }
  const { job, control, last, exit } = left
  if (readResult(files, control) === undefined && exit !== undefined && last?.record !== undefined) {
    await finishAttempt(files, spool, job, last.record, exit, queuer.uuid())
  }
  if (readResult(files, control) !== undefined) {
    files.makeFolder(spool.done(job.gateway))
    return files.move(from, join(spool.done(job.gateway), key))
  }
  const open = openAttemptOf(left, runner)
  if (open?.record !== undefined) {
    if (attemptLives(id, open.record, queuer.clock.uptime().bootId)) {
      // the script outlived its runner on this very machine: its exit counts. The next runner adopts it, which is sure to be here too
      // only where there is no scheduler; else it is let finish.
      if (files.readJson<LaneShape>(spool.lane(lane).shape)?.scheduler !== 'local') return false
      files.makeFolder(spool.queue(lane))
      return files.move(from, join(spool.queue(lane), key))
    }
    endAttempt(files, control, open.number, { cause: decideCause(end, together), at: end.at, by: runner })
  } else if (last !== undefined && last.record === undefined && last.end === undefined) {
    endAttempt(files, control, last.number, { cause: 'never-started', at: end.at, by: runner })
  }
  files.makeFolder(spool.queue(lane))
  return files.move(from, join(spool.queue(lane), key))
}
