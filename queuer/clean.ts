/** Dropping what is durable at the gateway: in reverse order of publishing, by rename into the trash, the key last. */
import { join } from 'node:path'
import { idOfKey } from '../contract/spool.ts'
import type { Queuer } from './queuer.ts'

function workDirs(queuer: Queuer, id: string): string[] {
  const { files, spool } = queuer
  const dirs = [spool.workDir(id, 1)]
  for (let attempt = 2; files.exists(spool.workDir(id, attempt)); attempt++) dirs.push(spool.workDir(id, attempt))
  return dirs
}

/**
 * Moves a finished job out of the way and empties the trash; with `keepMs` it stays under `kept/<day>/<id>` instead, and with a negative
 * one (--nocleanup) where it is, only its key goes.
 */
export function cleanJob(queuer: Queuer, gateway: string, id: string, key: string, keepMs: number): void {
  const { files, spool } = queuer
  if (idOfKey(key) !== id) throw new Error(`clean: ${key} is not the key of ${id}`)
  if (keepMs < 0) {
    files.remove(join(spool.done(gateway), key))
    return
  }
  const until = new Date(queuer.clock.now() + keepMs).toISOString().slice(0, 10)
  const target = keepMs > 0 ? join(spool.kept, until, id) : join(spool.trash, `${id}.${queuer.uuid().slice(0, 8)}`)
  files.makeFolder(target)
  for (const dir of workDirs(queuer, id)) {
    if (files.exists(dir)) files.os.renameSync(dir, join(target, dir.slice(dir.lastIndexOf('/') + 1)))
  }
  const control = spool.control(id).dir
  if (files.exists(control)) files.os.renameSync(control, join(target, 'control'))
  files.syncFolder(spool.controls)
  files.remove(join(spool.done(gateway), key))
  if (keepMs === 0) files.removeTree(target)
}

/** What an interrupted clean left in the trash, and kept results whose day has passed. */
export function sweep(queuer: Queuer): void {
  const { files, spool } = queuer
  for (const name of files.list(spool.trash)) files.removeTree(join(spool.trash, name))
  const today = new Date(queuer.clock.now()).toISOString().slice(0, 10)
  for (const day of files.list(spool.kept)) {
    if (/^\d{4}-\d{2}-\d{2}$/.test(day) && day < today) files.removeTree(join(spool.kept, day))
  }
}
