/** `.submitted`: the tool's bytes with our `hpc:` node. It is believed only when it is ours: owner, one link, its own name inside. */

import { readSpliced, spliceBlocks } from '../contract/result-file.ts'
import { isJobId } from '../contract/spool.ts'
import type { HistoryEvent } from '../contract/spool-records.ts'
import { jobFile, readRegular } from './dropbox.ts'
import type { Gateway } from './gateway.ts'

const submittedLimitBytes = 96 * 1024 * 1024

/** The `hpc:` node. Keys are the file's own names: tools and people read them. */
export interface HpcNode {
  readonly id: string
  readonly name: string
  readonly gateway: string
  readonly owner: { readonly uid: number; readonly gid: number; readonly mode: number }
  readonly site?: string
  readonly lane?: string
  readonly key?: string
  readonly workspace?: string
  readonly finished_file?: string
  readonly input_map?: Readonly<Record<string, string>>
  readonly output_map?: Readonly<Record<string, string>>
  /** What the site's failing time stood at when the job was accepted: expiry counts from there. */
  readonly expiry_base_ms?: number
  /** Set with the `job:` block, right before the first output is renamed: from then on delivery only goes forward. */
  readonly delivery_began?: string
  readonly history: readonly HistoryEvent[]
}

export interface Submitted {
  readonly hpc: HpcNode
  readonly original: Uint8Array
  readonly job: unknown
}

export function renderSubmitted(original: Uint8Array, hpc: HpcNode, job?: object): Uint8Array {
  if (job === undefined) return spliceBlocks(original, { hpc })
  // the history goes on in the job: block
  const { history: _, ...rest } = hpc
  return spliceBlocks(original, { hpc: rest, job })
}

/**
 * Reads a `.submitted` or `.finished` of ours. `raw`: it is there and not ours (a crash right after the rename, or somebody else wrote
 * it), and is then treated as a `.job` of its owner.
 */
export function readSubmitted(
  gateway: Gateway,
  name: string,
  which: 'submitted' | 'finished' = 'submitted',
): Submitted | 'raw' | undefined {
  const path = jobFile(gateway, name)[which]
  const read = readRegular(gateway, path, submittedLimitBytes)
  if (read === undefined) return undefined
  if ('fault' in read) return 'raw'
  const { stats, bytes } = read
  const spliced = readSpliced(bytes)
  const hpc = spliced.hpc as Partial<HpcNode> | null | undefined
  if (hpc === null || typeof hpc !== 'object' || !isJobId(hpc.id) || hpc.name !== name || hpc.owner === undefined)
    return 'raw'
  // given to its owner by a gateway that may; else it must be ours, and nobody else's to write
  const owner = gateway.uid === 0 ? [0, hpc.owner.uid] : [gateway.uid]
  if (
    !owner.includes(stats.uid) ||
    (which === 'submitted' && (stats.uid !== gateway.uid || (stats.mode & 0o022) !== 0))
  )
    return 'raw'
  return { hpc: { history: [], ...hpc } as HpcNode, original: spliced.original ?? new Uint8Array(0), job: spliced.job }
}
