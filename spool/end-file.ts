/**
 * An end (of an attempt, a runner, an intent) is one exclusive file, and that it is there is the fact: a crash or a full disk between
 * its creation and its content must not leave something that has ended and yet never ends.
 */
import type { LanePaths } from '../contract/spool.ts'
import type { RunnerEnd } from '../contract/spool-records.ts'
import type { Files } from '../system/files.ts'

/** Undefined while there is none; `unknown` when its content is not whole. */
export function readEnd<T>(files: Files, path: string, unknown: T): T | undefined {
  // mostly there is none, and an error made and caught would cost more than a look
  const text = files.exists(path) ? files.readText(path) : undefined
  if (text === undefined) return undefined
  try {
    return (JSON.parse(text) as T | null) ?? unknown
  } catch {
    return unknown
  }
}

export function runnerEnd(files: Files, lane: LanePaths, runner: string): RunnerEnd | undefined {
  return readEnd<RunnerEnd>(files, `${lane.runner(runner)}.end`, { how: 'dead', at: '', jobs: 0 })
}

/** True when a runner has left or is proven dead, or was so long ago that even its start mark, written first, has been dropped. */
export function hasEnded(files: Files, lane: LanePaths, runner: string): boolean {
  if (runnerEnd(files, lane, runner) !== undefined) return true
  if (files.exists(lane.runner(runner))) return false
  const names = files.listFresh(lane.runners)
  return names.includes(`${runner}.end`) || !names.includes(runner)
}
