/** Most passes of a cron find nothing new. Such a one takes no lock and loads nothing that reads descriptions: it only looks. */

import { endsDocument } from '../contract/document-end.ts'
import { isTemporary } from '../system/files.ts'
import type { Accepted } from './accept.ts'
import { isSubmitted, jobFile, namesFor, readRegular, type Wake } from './dropbox.ts'
import { type Gateway, hpcFolder, statePaths } from './gateway.ts'
import { readPending } from './pending.ts'

/**
 * True when `accept` would find nothing to do: no new file, no request, nothing accepted that is not known to be at its site, nothing to
 * sweep. What comes a moment later is for the next pass, as it would be after a look under the lock.
 */
export function nothingToAccept(gateway: Gateway, wake?: Wake): boolean {
  const { files, config } = gateway
  if (readPending(gateway)?.length !== 0) return false
  if (wake !== undefined) {
    const { jobs, cancel } = namesFor(gateway, wake)
    return jobs.length + cancel.size === 0
  }
  if (files.list(statePaths(config.state).giving).length > 0) return false
  const names = files.list(config.dropbox)
  // left by a pass that died right after its last delivery
  if (!names.some(isSubmitted) && files.list(statePaths(config.state).reserved).length > 0) return false
  const isWork = (name: string) => name.endsWith('.job') || name.endsWith('.job.cancel') || isTemporary(name)
  return !names.some(isWork) && !files.list(hpcFolder(config.dropbox).dir).some(isTemporary)
}

/** So many new files are looked into. */
const lookedInto = 10

/** Whether one of the new files is certainly complete, as far as its name and its end tell: reading it is for others. */
export function isJobCertain(gateway: Gateway, wake?: Wake): boolean {
  const { jobs, submitted, finished } = namesFor(gateway, wake)
  const free = jobs.filter((name) => !submitted.has(name) && !finished.has(name))
  return free.slice(0, lookedInto).some((name) => {
    const read = readRegular(gateway, jobFile(gateway, name).job)
    return read !== undefined && 'bytes' in read && endsDocument(read.bytes)
  })
}

export function nothingAccepted(): Accepted {
  return { doubtful: [], cancels: [], waiting: [], accepted: 0, refused: 0 }
}
