/** Most passes of a cron find nothing new. Such a one takes no lock and loads nothing that reads descriptions: it only looks. */

import { isTemporary } from '../system/files.ts'
import type { Accepted } from './accept.ts'
import { type Gateway, hpcFolder, statePaths } from './gateway.ts'
import { readPending } from './pending.ts'

/**
 * True when `accept` would find nothing to do: no new file, no request, nothing accepted that is not known to be at its site, nothing to
 * sweep. What comes a moment later is for the next pass, as it would be after a look under the lock.
 */
export function nothingToAccept(gateway: Gateway): boolean {
  const { files, config } = gateway
  if (readPending(gateway)?.length !== 0) return false
  if (files.list(statePaths(config.state).giving).length > 0) return false
  const isWork = (name: string) => name.endsWith('.job') || name.endsWith('.job.cancel') || isTemporary(name)
  return !files.list(config.dropbox).some(isWork) && !files.list(hpcFolder(config.dropbox).dir).some(isTemporary)
}

export function nothingAccepted(): Accepted {
  return { doubtful: [], cancels: [], waiting: [], accepted: 0, refused: 0 }
}
