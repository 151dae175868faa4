/** Results of jobs that end here, without a site: refused, expired, cancelled before they were sent. */
import type { HistoryEvent } from '../contract/spool-records.ts'
import { isoTime } from '../system/clock.ts'
import { clearName, jobFile, moveAside } from './dropbox.ts'
import type { Gateway } from './gateway.ts'
import { forgetGiving, giveToOwner, noteGiving } from './give-to-owner.ts'
import { unsentBlock } from './job-block.ts'
import type { Lock } from './lock.ts'
import { type HpcNode, renderSubmitted } from './submitted-file.ts'

/** Nobody but us may write a `.submitted`: otherwise it would not be believed. */
export function submittedMode(hpc: HpcNode): number {
  return (hpc.owner.mode & 0o755) | 0o600
}

/** A rename in the dropbox: only whoever holds the lock, in the folder that was locked, rewrites a `.submitted`. */
export function publishSubmitted(
  gateway: Gateway,
  lock: Lock,
  original: Uint8Array,
  hpc: HpcNode,
  job?: object,
  folder: 'now' | 'later' = 'now',
): void {
  const path = jobFile(gateway, hpc.name).submitted
  lock.check()
  gateway.files.publish(path, renderSubmitted(original, hpc, job), submittedMode(hpc), folder)
}

/** The one rename that delivers; the file is the owner's from then on. */
export function renameToFinished(gateway: Gateway, lock: Lock, hpc: HpcNode): void {
  const { files } = gateway
  const paths = jobFile(gateway, hpc.name)
  lock.check()
  if (files.stat(paths.finished)?.isFile() === false) moveAside(gateway, paths.finished)
  noteGiving(gateway, hpc)
  files.os.renameSync(paths.submitted, paths.finished)
  files.syncFolder(gateway.config.dropbox)
  clearName(gateway, paths.cancel)
  giveToOwner(gateway, hpc)
  forgetGiving(gateway, hpc)
}

export function finishUnsent(
  gateway: Gateway,
  lock: Lock,
  original: Uint8Array,
  hpc: HpcNode,
  state: 'done' | 'aborted' | 'cancelled',
  message: string,
): void {
  const history: HistoryEvent[] = [...hpc.history, { state, at: isoTime(gateway.clock.now()), note: message }]
  publishSubmitted(
    gateway,
    lock,
    original,
    { ...hpc, history: [] },
    unsentBlock(hpc.id, hpc.site, state, message, history),
  )
  renameToFinished(gateway, lock, hpc)
}
