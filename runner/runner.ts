/** What every part of hpc_runner works with. */
import type { LanePaths, Spool } from '../contract/spool.ts'
import type { LaneShape } from '../contract/spool-records.ts'
import type { Clock } from '../system/clock.ts'
import type { Files } from '../system/files.ts'
import type { Log } from '../system/logger.ts'
import type { Launchers } from './launchers.ts'
import type { Leftovers } from './stop-processes.ts'

export interface Runner {
  readonly files: Files
  readonly clock: Clock
  readonly log: Log
  readonly spool: Spool
  readonly lane: LanePaths
  readonly shape: LaneShape
  /** Runner id: lane, native id, restart count, nonce. */
  readonly id: string
  readonly nonce: string
  readonly launchers: Launchers
  /** What a step on another node runs. */
  readonly stepFile: string
  readonly node: string
  /** The scheduler's names of the nodes that slots are on, the runner's own first. */
  readonly nodes: readonly string[]
  /** The scheduler's id of the allocation. */
  readonly nativeId: string
  readonly bootId: string
  readonly uuid: () => string
  readonly environment: Readonly<Record<string, string | undefined>>
  /** When the allocation ends, on the runner's monotonic clock. */
  readonly endsAtMs: number
  /** What ended jobs may have left behind. */
  readonly leftovers: Leftovers
  /** Set by a signal: the warning before the walltime's end, or the scheduler's TERM. */
  readonly stopping: () => 'warned' | 'terminated' | undefined
}

export function remainingMs(runner: Runner): number {
  return runner.endsAtMs - runner.clock.monotonicMs()
}
