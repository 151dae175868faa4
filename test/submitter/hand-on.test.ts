/** Jobs go to their sites while others are still being accepted: each batch only when nothing of it can be lost any more. */
import assert from 'node:assert/strict'
import { readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { accept } from '../../submitter/accept.ts'
import type { JobToSend } from '../../submitter/accept-job.ts'
import { Arrivals } from '../../submitter/arrivals.ts'
import { takeLock } from '../../submitter/lock.ts'
import { findTemplate } from '../../submitter/templates.ts'
import { Turns } from '../../submitter/turns.ts'
import { Files } from '../../system/files.ts'
import { type Os, realOs } from '../../system/os.ts'
import { testGateway } from '../support/gateway.ts'

const here = await testGateway()
after(() => here.end())
const dropbox = join(here.dir, 'dropbox')

/** Names that were renamed into the dropbox since it was synced last. */
function watchedOs(): { os: Os; unsynced: Set<string>; folderSyncs: () => number } {
  const unsynced = new Set<string>()
  const folders = new Set<number>()
  let syncs = 0
  const os: Os = {
    ...realOs,
    openSync: ((...args: Parameters<Os['openSync']>) => {
      const fd = realOs.openSync(...args)
      if (args[0] === dropbox) folders.add(fd)
      else folders.delete(fd)
      return fd
    }) as Os['openSync'],
    fsyncSync: (fd) => {
      realOs.fsyncSync(fd)
      if (!folders.has(fd)) return
      syncs += 1
      unsynced.clear()
    },
    renameSync: (from, to) => {
      realOs.renameSync(from, to)
      if (String(to).startsWith(`${dropbox}/`)) unsynced.add(String(to))
    },
  }
  return { os, unsynced, folderSyncs: () => syncs }
}

test('accept() hands jobs on in batches, each when its folder is synced, and keeps back what is to be cancelled', async () => {
  const { os, unsynced, folderSyncs } = watchedOs()
  const gateway = here.other({ files: new Files(os) })
  for (let n = 0; n < 200; n++) writeFileSync(join(dropbox, `j${n}.job`), 'script: "true"\n...\n')
  writeFileSync(join(dropbox, 'j0.job.cancel'), '')
  const batches: { names: string[]; waiting: number }[] = []
  const lock = await takeLock(gateway, 'accept')
  if ('heldBy' in lock) assert.fail(lock.heldBy)
  const accepted = await accept({
    gateway,
    lock,
    uuid: gateway.uuid(),
    turns: new Turns(gateway),
    failingMs: () => 0,
    findTemplate: (script) => findTemplate(gateway, script),
    folders: new Map(),
    handOn: (jobs) => {
      assert.deepEqual([...unsynced], [], 'nothing is handed on that a crash could take back')
      const waiting = readdirSync(dropbox).filter((name) => name.endsWith('.job')).length
      batches.push({ names: jobs.map(({ hpc }) => hpc.name), waiting })
    },
  })
  await lock.release()
  assert.equal(accepted.accepted, 200)
  const sent = batches.flatMap(({ names }) => names)
  assert.equal(sent.length, 199)
  assert.equal(new Set(sent).size, 199)
  assert.ok(!sent.includes('j0'))
  assert.ok((batches[0]?.waiting ?? 0) > 150, `the first are on their way while ${batches[0]?.waiting} wait`)
  // two for each batch: the new names before what is written in their place
  assert.ok(folderSyncs() <= 16, `${folderSyncs()} syncs of the dropbox for 200 jobs`)
})

test('Arrivals gives each site its own jobs as they come, to its end', async () => {
  const arrivals = new Arrivals()
  const job = (site: string, name: string) =>
    ({ hpc: { name }, plan: { site: { name: site } } }) as unknown as JobToSend
  const got: string[] = []
  const reading = (async () => {
    for await (const batch of arrivals.of('a')) got.push(batch.map(({ hpc }) => hpc.name).join())
  })()
  arrivals.add([job('a', '1'), job('b', '2')])
  await arrivals.begun
  arrivals.add([job('b', '3')])
  await new Promise((resolve) => setImmediate(resolve))
  arrivals.add([job('a', '4'), job('a', '5')])
  arrivals.add([job('a', '6')])
  arrivals.end(undefined)
  await reading
  assert.deepEqual(got, ['1', '4,5', '6'])
  assert.equal(await arrivals.all, undefined)
  const late: string[] = []
  for await (const batch of arrivals.of('b')) late.push(batch.map(({ hpc }) => hpc.name).join())
  assert.deepEqual(late, ['2', '3'])
})
