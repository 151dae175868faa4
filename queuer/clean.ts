/** Dropping what is durable at the gateway: in reverse order of publishing, by rename into the trash, the key last. */
import { basename, join } from 'node:path'
import { describeError } from '../contract/errors.ts'
import { idOfKey } from '../contract/spool.ts'
import { readResult } from '../spool/attempt.ts'
import { highestNumber } from '../system/numbered-file.ts'
import type { Queuer } from './queuer.ts'

function workDirs(queuer: Queuer, id: string): string[] {
  const { files, spool } = queuer
  const control = spool.control(id)
  // told by the result too: a listing of the attempts could be stale. Not every number has a folder: some only ended the job
  const told = readResult(files, control)?.attempts.at(-1)?.attempt ?? 0
  const last = Math.max(1, told, highestNumber(files, control.attempts))
  return Array.from({ length: last }, (_, index) => spool.workDir(id, index + 1))
}

/**
 * Moves a job's folder, or what it has put in its place, into `target`, which is made anew when the sweep of another gateway's pass has just taken it for rubbish.
 */
function moveInto(queuer: Queuer, folder: string, target: string, name: string): void {
  const { files } = queuer
  const found = files.stat(folder)
  if (found === undefined) return
  // a folder that changes its parent must be writable to us
  files.openRights(folder, found)
  for (let tries = 0; tries < 3; tries++) {
    if (files.move(folder, join(target, name)) || !files.exists(folder)) return
    files.makeFolder(target)
  }
  throw new Error(`cannot move ${folder} into ${target}`)
}

/**
 * Moves a finished job out of the way and empties the trash; with `keepMs` it stays under `kept/<day>/<id>` instead, and with a negative
 * one (--nocleanup) where it is, only its key goes.
 */
export function cleanJob(queuer: Queuer, gateway: string, id: string, key: string, keepMs: number): void {
  const { files, spool } = queuer
  if (idOfKey(key) !== id) throw new Error(`clean: ${key} is not the key of ${id}`)
  const doneKey = join(spool.done(gateway), key)
  if (keepMs < 0) {
    files.remove(doneKey)
    return
  }
  const until = new Date(queuer.clock.now() + keepMs).toISOString().slice(0, 10)
  const target = keepMs > 0 ? join(spool.kept, until, id) : join(spool.trash, `${id}.${queuer.uuid().slice(0, 8)}`)
  files.makeFolder(target)
  for (const dir of workDirs(queuer, id)) moveInto(queuer, dir, target, basename(dir))
  moveInto(queuer, spool.control(id).dir, target, 'control')
  files.syncFolder(spool.controls)
  files.remove(doneKey)
  if (keepMs === 0) discard(queuer, target)
}

/** The work folder of a job that is not published: whoever was to publish it died after that step, and nobody will again. */
export function dropUnpublished(queuer: Queuer, id: string): void {
  const { files, spool } = queuer
  const target = join(spool.trash, `${id}.${queuer.uuid().slice(0, 8)}`)
  const dir = spool.workDir(id, 1)
  if (!files.exists(dir)) return
  files.makeFolder(target)
  moveInto(queuer, dir, target, basename(dir))
  discard(queuer, target)
}

/** What lies in the trash is out of everybody's way: that it cannot be removed now is no reason to stop. */
function discard(queuer: Queuer, path: string): void {
  try {
    queuer.files.removeTree(path)
  } catch (error) {
    queuer.log.warn(`cannot remove ${path} yet: ${describeError(error)}`)
  }
}

const abandonedMs = 10 * 24 * 3_600_000

/** What an interrupted clean left in the trash, kept results whose day has passed, and uploads nobody goes on with. */
export function sweep(queuer: Queuer): void {
  const { files, spool } = queuer
  for (const name of files.list(spool.trash)) discard(queuer, join(spool.trash, name))
  const today = new Date(queuer.clock.now()).toISOString().slice(0, 10)
  for (const day of files.list(spool.kept)) {
    if (/^\d{4}-\d{2}-\d{2}$/.test(day) && day < today) discard(queuer, join(spool.kept, day))
  }
  for (const name of files.list(spool.stagings)) {
    const path = join(spool.stagings, name)
    // an upload whose job is published was only not removed
    const published = files.exists(spool.control(name.slice(0, name.indexOf('.'))).record)
    const stats = files.stat(path)
    if (published || (stats !== undefined && queuer.clock.now() - stats.mtimeMs > abandonedMs)) discard(queuer, path)
  }
}
