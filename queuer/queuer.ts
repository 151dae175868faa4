/** What every part of hpc_queuer works with. Time, processes and files come in from outside. */
import type { Spool } from '../contract/spool.ts'
import type { LaneShape, ObserverTime } from '../contract/spool-records.ts'
import type { Command, Reply } from '../scheduler/scheduler.ts'
import type { Clock } from '../system/clock.ts'
import type { Files } from '../system/files.ts'
import type { Log } from '../system/logger.ts'

export interface Queuer {
  readonly files: Files
  readonly clock: Clock
  readonly log: Log
  readonly spool: Spool
  readonly run: (command: Command, timeoutMs: number) => Promise<Reply>
  readonly uuid: () => string
  readonly host: string
  readonly uid: number
  /** The Node that runs this queuer: the first choice on the worker too, when it is there. */
  readonly node: string
  /** Folder of the bundled programs of this version. */
  readonly programDir: string
}

/** One pass of one gateway, from its hello on. */
export interface Pass {
  readonly gateway: string
  readonly nonce: string
  readonly generation: number
  readonly workspace: string
  readonly observer: ObserverTime
  readonly lanes: readonly LaneShape[]
  readonly allocationLimit: number | null
  /** The most that the store may take up. */
  readonly storeBytes: number
}

/**
 * Who looked, for what is remembered from look to look: a gateway may be served from several hosts in turn, whose clocks have nothing to
 * do with each other, so each boot of each keeps its own.
 */
export function observerOf(pass: Pass): string {
  return `${pass.gateway}.${pass.observer.bootId.slice(0, 8)}`
}
