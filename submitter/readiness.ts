/**
 * Whether a `.job` file is complete: a pure choice. At once when it ends YAML's document (`...`); else when it stood still between two
 * looks of ours and ends in a newline; without a final newline after ten quiet seconds.
 */
import { endsDocument, endsInNewline } from '../contract/document-end.ts'
import type { ObserverTime } from '../contract/spool-records.ts'

export interface Look {
  readonly size: number
  readonly mtimeMs: number
  readonly inode: number
  /** Since when our looks found it so, on the gateway's forward-only clock. */
  readonly since: ObserverTime
}

export type Readiness = 'ready' | 'look-again' | 'growing'

const quietMs = 10_000

export function sameLook(a: Look, b: Look): boolean {
  return a.size === b.size && a.mtimeMs === b.mtimeMs && a.inode === b.inode
}

/** The look to remember: as it was, when nothing changed since, else from now on. */
export function nextLook(before: Look | undefined, now: Look): Look {
  return before !== undefined && sameLook(before, now) && before.since.bootId === now.since.bootId ? before : now
}

export function decideReadiness(bytes: Uint8Array, look: Look, now: ObserverTime, settleMs: number): Readiness {
  if (endsDocument(bytes)) return 'ready'
  const quiet = now.ms - look.since.ms
  if (endsInNewline(bytes)) return quiet >= settleMs ? 'ready' : 'look-again'
  return quiet >= quietMs ? 'ready' : quiet === 0 ? 'look-again' : 'growing'
}
