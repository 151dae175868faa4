/**
 * A little room kept back for ourselves. Where disk or quota is full, often with results that wait to be fetched, a pass must still be able
 * to begin: it fetches them, and what it cleans makes room again. So a pass that cannot begin lets the ballast go and tries once more.
 */
import { randomBytes } from 'node:crypto'
import { errno } from '../system/os.ts'
import type { Queuer } from './queuer.ts'

const ballastBytes = 256 * 1024
/** Below this the room is for jobs and runners. */
const plentyBytes = 64 * 1024 * 1024

export function isFull(error: unknown): boolean {
  return errno(error) === 'ENOSPC' || errno(error) === 'EDQUOT'
}

/** Keeps the ballast in place where there is room for it; without, nothing is lost but this help. */
export function keepBallast({ files, spool, log }: Queuer): void {
  if (files.exists(spool.ballast)) return
  const space = files.space(spool.root)
  if (space !== undefined && space.bytes < plentyBytes) return
  try {
    // not zeros: a file system that compresses would keep nothing back
    files.replace(spool.ballast, randomBytes(ballastBytes))
  } catch (error) {
    log.debug(`no ballast: ${String(error)}`)
  }
}

/** Does `act`; where the disk is full, once more without the ballast. */
export function withBallast<T>({ files, spool, log }: Queuer, act: () => T): T {
  try {
    return act()
  } catch (error) {
    if (!isFull(error) || !files.exists(spool.ballast)) throw error
    log.warn(`${spool.root} is full: going on with the room kept back for that`)
    files.remove(spool.ballast)
    return act()
  }
}
