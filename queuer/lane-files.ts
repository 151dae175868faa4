/** A lane's folders, and what they tell about its runners. */
import { join } from 'node:path'
import { nonceOfRunner } from '../contract/spool.ts'
import type { IntentEnd, IntentRecord, LaneShape, RunnerEnd, RunnerRecord } from '../contract/spool-records.ts'
import { readEnd, runnerEnd } from '../spool/end-file.ts'
import { forgetOldSeats } from '../spool/seat.ts'
import { numbersIn } from '../system/numbered-file.ts'
import { lazy, once } from '../system/remember.ts'
import type { Queuer } from './queuer.ts'

/** Writes the shapes that came with the hello; lanes no config names any more keep the shape they had. */
export function ensureLanes(queuer: Queuer, shapes: readonly LaneShape[]): void {
  const { files, spool } = queuer
  for (const shape of shapes) {
    const lane = spool.lane(shape.lane)
    const text = `${JSON.stringify(shape)}\n`
    // the folders each time: a site's scratch cleaner takes the empty ones
    for (const dir of [lane.seats, lane.intents, lane.heartbeats, lane.runners, lane.logs]) files.makeFolder(dir)
    files.makeFolder(spool.queue(shape.lane))
    if (files.readText(lane.shape) !== text) files.publish(lane.shape, text)
  }
}

export function readShapes(queuer: Queuer): LaneShape[] {
  const { files, spool } = queuer
  return files
    .list(spool.lanes)
    .map((lane) => files.readJson<LaneShape>(spool.lane(lane).shape))
    .filter((shape) => shape !== undefined)
}

export interface Intent {
  readonly number: number
  readonly hasEnded: boolean
  /** Undefined when its writer died before writing it: it never submitted anything. */
  readonly record: IntentRecord | undefined
  readonly end: IntentEnd | undefined
}

/** Of those that have ended mostly nothing but that is asked: what they hold is read when it is. */
export function readIntents(queuer: Queuer, lane: string): Intent[] {
  const { files, spool } = queuer
  const dir = spool.lane(lane).intents
  const names = files.list(dir)
  const present = new Set(names)
  return numbersIn(names).map((number) => {
    const path = join(dir, `${number}.end`)
    const hasEnded = once(() => present.has(`${number}.end`) || files.exists(path))
    return lazy<Intent>({
      number: () => number,
      hasEnded,
      record: () => files.readJson<IntentRecord>(join(dir, `${number}`)),
      // an end whose content was lost: the allocation, if there is one, is in the scheduler's answer
      end: () => (hasEnded() ? readEnd<IntentEnd>(files, path, { outcome: 'submitted', at: '' }) : undefined),
    })
  })
}

export interface KnownRunner {
  readonly runner: string
  readonly nonce: string
  readonly hasEnded: boolean
  readonly record: RunnerRecord | undefined
  readonly end: RunnerEnd | undefined
  /** Heartbeat counter and jobs done, as written in place by the runner. */
  readonly beat: number
  readonly jobs: number
}

/** A heartbeat that its node left half on disk counts as none: something that never compares equal would look like a sign of life. */
function countIn(word: string): number {
  const count = Number(word)
  return Number.isSafeInteger(count) ? count : 0
}

/** Every runner with a start mark in this lane; what each wrote is read when it is asked for. */
export function readRunners(queuer: Queuer, lane: string): KnownRunner[] {
  const { files, spool } = queuer
  const paths = spool.lane(lane)
  const names = files.list(paths.runners)
  const present = new Set(names)
  return names
    .filter((name) => !name.endsWith('.end') && !name.startsWith('.'))
    .map((runner) => {
      const hasEnded = once(() => present.has(`${runner}.end`) || files.exists(`${paths.runner(runner)}.end`))
      const beaten = once(() => (files.readText(paths.heartbeat(runner)) ?? '').trim().split(/\s+/).map(countIn))
      return lazy<KnownRunner>({
        runner: () => runner,
        nonce: () => nonceOfRunner(runner),
        hasEnded,
        record: () => files.readJson<RunnerRecord>(paths.runner(runner)),
        end: () => (hasEnded() ? runnerEnd(files, paths, runner) : undefined),
        beat: () => beaten()[0] ?? 0,
        jobs: () => beaten()[1] ?? 0,
      })
    })
}

/** The last lines a runner's allocation wrote, for the operator. */
export function logTail(queuer: Queuer, lane: string, nonce: string): string {
  const dir = queuer.spool.lane(lane).logs
  for (const stream of ['stderr', 'stdout']) {
    for (const name of queuer.files.list(dir)) {
      if (!name.startsWith(`hpc_runner_${stream}.${nonce}`)) continue
      const text = queuer.files.readText(join(dir, name))?.trim()
      if (text) return text.slice(-400)
    }
  }
  return ''
}

const keepIntents = 20

/** Numbers only ever grow: what lies far behind the highest is history and goes. */
export function forgetOldRunners(queuer: Queuer, lane: string): void {
  const { files, spool } = queuer
  const paths = spool.lane(lane)
  const names = files.list(paths.intents)
  forgetOldSeats(files, paths)
  const old = numbersIn(names).slice(0, -keepIntents)
  if (old.length === 0) return
  const runners = readRunners(queuer, lane)
  for (const number of old) {
    const nonce = files.readJson<IntentRecord>(join(paths.intents, `${number}`))?.nonce
    if (nonce !== undefined) {
      const started = runners.filter((runner) => runner.nonce === nonce)
      if (started.some((runner) => !runner.hasEnded)) continue
      for (const { runner } of started) {
        // the start mark before the end: a runner with neither has ended, one with only a mark has not
        for (const path of [paths.heartbeat(runner), paths.runner(runner), `${paths.runner(runner)}.end`])
          files.remove(path)
      }
      for (const name of files.list(paths.logs)) if (name.includes(nonce)) files.remove(join(paths.logs, name))
    }
    for (const name of names) if (name.startsWith(`${number}.`)) files.remove(join(paths.intents, name))
    files.remove(join(paths.intents, `${number}`))
  }
}
