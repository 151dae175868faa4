/**
 * Scratch file systems are cleaned by age. Once a day everything still needed gets a fresh time, the marker last: its age says when that
 * was done. What a job works with keeps its times of change, for scripts that go by them; its times of reading are enough for a cleaner.
 * Temporary names of ours that a crash left, a day old and more, are removed on the way.
 */
import { join } from 'node:path'
import { isTemporary } from '../system/files.ts'
import type { Queuer } from './queuer.ts'

const dayMs = 86_400_000
const atOnce = 200

/**
 * Resolves to the number of names touched; 0 when it is not yet time. Gives way to other work as it goes. `nowMs` is the file server's time,
 * by which the cleaner goes: a login node whose clock is days behind would make all look old.
 */
export async function keepFresh(queuer: Queuer, nowMs = queuer.clock.now()): Promise<number> {
  const { files, spool } = queuer
  const marker = files.stat(spool.marker)
  if (marker === undefined || nowMs - marker.mtimeMs < dayMs) return 0
  const now = nowMs / 1000
  let touched = 0
  const removeLeftover = (dir: string, name: string): boolean => {
    if (!isTemporary(name)) return false
    const found = files.stat(join(dir, name))
    if (found !== undefined && nowMs - found.mtimeMs > dayMs) files.removeTree(join(dir, name))
    return true
  }
  for (const name of files.list(spool.root)) removeLeftover(spool.root, name)
  const walk = async (path: string, keepChanged: boolean): Promise<void> => {
    const found = files.stat(path)
    // links are not followed, and what has gone meanwhile is no matter
    if (found === undefined || found.isSymbolicLink()) return
    if (found.isDirectory()) {
      for (const name of files.list(path)) {
        // among a job's own files such a name is the job's
        if (keepChanged || !removeLeftover(path, name)) await walk(join(path, name), keepChanged)
      }
    }
    files.touch(path, now, keepChanged ? found.mtimeMs / 1000 : now)
    touched += 1
    if (touched % atOnce === 0) await new Promise((resolve) => setImmediate(resolve))
  }
  await walk(spool.jobs, true)
  for (const dir of [
    spool.controls,
    spool.queues,
    spool.runnings,
    spool.dones,
    spool.lanes,
    spool.gateways,
    spool.programs,
  ])
    await walk(dir, false)
  files.touch(spool.marker, now, now)
  return touched + 1
}
