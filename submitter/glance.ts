/**
 * A pass's first look, without a lock: one listing of the dropbox, or, woken, a look at a few names. Most passes of a cron find nothing new:
 * such a one takes no lock and loads nothing that reads descriptions.
 */

import { endsDocument } from '../contract/document-end.ts'
import { isTemporary } from '../system/files.ts'
import type { Accepted } from './accept.ts'
import { jobFile, lookInto, type Names, readRegular, type Wake } from './dropbox.ts'
import { type Gateway, hpcFolder, statePaths } from './gateway.ts'
import { readPending } from './pending.ts'

export interface Glance {
  /**
   * `accept` would find nothing to do: no new file, no request, nothing accepted that is not known to be at its site, nothing to sweep.
   * What comes a moment later is for the next pass, as it would be after a look under the lock.
   */
  readonly idle: boolean
  /** One of the new files is certainly complete, as far as its name and its end tell: reading it is for others. */
  readonly certain: boolean
  /** Something of ours may be at a site, accepted before this pass. */
  readonly inFlight: boolean
}

export function glance(gateway: Gateway, wake?: Wake): Glance {
  const names = lookInto(gateway, wake)
  const idle =
    readPending(gateway)?.length === 0 &&
    names.jobs.length + names.tooLong.length + names.cancel.size === 0 &&
    (wake !== undefined || !leftBehind(gateway, names))
  return {
    idle,
    certain: !idle && isJobCertain(gateway, names),
    inFlight: wake === undefined ? names.submitted.size > 0 : wake.news,
  }
}

/** What a pass that died has left to do. */
function leftBehind({ files, config }: Gateway, { submitted, temporary }: Names): boolean {
  const state = statePaths(config.state)
  if (files.list(state.giving).length > 0) return true
  // right after its last delivery
  if (submitted.size === 0 && files.list(state.reserved).length > 0) return true
  return temporary.length > 0 || files.list(hpcFolder(config.dropbox).dir).some(isTemporary)
}

/** So many new files are looked into. */
const lookedInto = 10

function isJobCertain(gateway: Gateway, { jobs, submitted, finished }: Names): boolean {
  const free = jobs.filter((name) => !submitted.has(name) && !finished.has(name))
  return free.slice(0, lookedInto).some((name) => {
    const read = readRegular(gateway, jobFile(gateway, name).job)
    return read !== undefined && 'bytes' in read && endsDocument(read.bytes)
  })
}

export function nothingAccepted(): Accepted {
  return { doubtful: [], cancels: [], waiting: [], growing: [], more: false, accepted: 0, refused: 0 }
}
