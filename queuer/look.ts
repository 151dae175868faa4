/** What a pass is told first: what is done and waits to be collected, and how long the lanes' queues are. */
import { join } from 'node:path'
import type { Answer } from '../contract/protocol.ts'
import { idOfKey, keysIn, turnOfKey } from '../contract/spool.ts'
import type { JobRecord } from '../contract/spool-records.ts'
import type { Pass, Queuer } from './queuer.ts'

/** At most so many finished jobs are told in one look; the rest in the next. */
const doneAtOnce = 2000

export function look(queuer: Queuer, pass: Pass): Omit<Extract<Answer, { type: 'welcome' }>, 'store'> {
  const { files, spool } = queuer
  const keys = keysIn(files.list(spool.done(pass.gateway)))
  const done: { id: string; key: string; name: string }[] = []
  for (const key of keys.slice(0, doneAtOnce)) {
    const id = idOfKey(key)
    if (id === undefined) continue
    const job = files.readJson<JobRecord>(spool.control(id).record)
    if (job !== undefined) done.push({ id, key, name: job.name })
    // cleaning was stopped right before its last step: the key of a job that is gone
    else files.remove(join(spool.done(pass.gateway), key))
  }
  const space = files.space(spool.root)
  return {
    type: 'welcome',
    workspace: pass.workspace,
    generation: pass.generation,
    time: new Date(queuer.clock.now()).toISOString(),
    host: queuer.host,
    node: queuer.node,
    space:
      space === undefined ? null : { bytes: space.bytes, inodes: Number.isFinite(space.inodes) ? space.inodes : null },
    done,
    moreDone: keys.length > doneAtOnce,
    jobs: files.list(spool.controls).length,
    lanes: files.list(spool.lanes).map((lane) => {
      const waiting = keysIn(files.list(spool.queue(lane)))
      return {
        lane,
        waiting: waiting.length,
        firstTurn: turnOfKey(waiting[0] ?? '') || 0,
        lastTurn: turnOfKey(waiting.at(-1) ?? '') || 0,
      }
    }),
  }
}
