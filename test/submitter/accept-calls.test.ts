import assert from 'node:assert/strict'
import { chownSync, mkdirSync, readdirSync, rmSync, utimesSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { type Accepted, accept } from '../../submitter/accept.ts'
import type { Gateway } from '../../submitter/gateway.ts'
import { takeLock } from '../../submitter/lock.ts'
import { readPending, writePending } from '../../submitter/pending.ts'
import { findTemplate } from '../../submitter/templates.ts'
import { Turns } from '../../submitter/turns.ts'
import { Files } from '../../system/files.ts'
import { remember } from '../../system/remember.ts'
import { countingOs, perJob } from '../support/counting-os.ts'
import { testGateway } from '../support/gateway.ts'

const here = await testGateway()
after(() => here.end())

/** A pass's accepting, alone. */
async function acceptIn(gateway: Gateway, handOn: () => void = () => undefined): Promise<Accepted> {
  const lock = await takeLock(gateway, 'accept')
  if ('heldBy' in lock) assert.fail(lock.heldBy)
  try {
    return await accept({
      gateway,
      lock,
      uuid: gateway.uuid(),
      turns: new Turns(gateway),
      failingMs: () => 0,
      findTemplate: remember((script: string) => findTemplate(gateway, script)),
      folders: new Map(),
      handOn,
    })
  } finally {
    await lock.release()
  }
}

test('accept() costs a job two renames of its description, one fsync, and few looks at what many jobs share', async (t) => {
  const jobs = 200
  const dropbox = join(here.dir, 'dropbox')
  for (const folder of ['in', 'out']) mkdirSync(join(here.dir, folder))
  for (let n = 0; n < jobs; n++) {
    writeFileSync(join(here.dir, 'in', `i${n}`), `${n}`)
    const maps = `input_map: {in: ${here.dir}/in/i${n}}\noutput_map: {out: ${here.dir}/out/o${n}}\n`
    writeFileSync(join(dropbox, `j${n}.job`), `script: "true"\n${maps}...\n`)
  }
  const { os, calls } = countingOs()
  const gateway = here.other({ files: new Files(os) })
  const { accepted } = await acceptIn(gateway)
  assert.equal(accepted, jobs)
  assert.equal(readdirSync(join(here.dir, 'state', 'reserved')).length, jobs)
  const each = perJob(calls, jobs)
  t.diagnostic(JSON.stringify(each))
  // the lock is looked at right before each rename, and what is read is read until its end is seen
  const most = {
    renameSync: 2.1,
    fsyncSync: 1.2,
    mkdirSync: 0.1,
    openSync: 7.2,
    readSync: 8.1,
    lstatSync: 7.1,
    accessSync: 0.1,
  }
  for (const [name, count] of Object.entries(most))
    assert.ok((each[name] ?? 0) <= count, `${name}: ${each[name]} a job`)
})

for (const when of ['while it waits for a file to stand still', 'after it has accepted']) {
  test(`accept() leaves the list of what is to be sent as it is when another pass takes its lock ${when}`, async () => {
    const slow = await testGateway()
    after(() => slow.end())
    const dropbox = join(slow.dir, 'dropbox')
    writeFileSync(join(dropbox, 'whole.job'), 'script: "true"\n...\n')
    writeFileSync(join(dropbox, 'growing.job'), 'script: "true"\n')
    const others = [{ id: 'its', name: 'its' }]
    const takeOver = () => {
      rmSync(join(dropbox, '.hpc', 'accept.lock'), { recursive: true })
      writePending(slow.gateway, others)
    }
    const early = when.startsWith('while')
    const sleep = async () => {
      if (early) takeOver()
    }
    const gateway = slow.other({ clock: { ...slow.gateway.clock, sleep } })
    await assert.rejects(acceptIn(gateway, early ? undefined : takeOver), /lock "accept" was lost/)
    assert.deepEqual(readPending(gateway), others)
  })
}

test('accept() takes the oldest 2,000 new jobs, and reads none of the others', async () => {
  const busy = await testGateway()
  after(() => busy.end())
  const dropbox = join(busy.dir, 'dropbox')
  const drop = (name: string, ageS: number) => {
    writeFileSync(join(dropbox, `${name}.job`), 'script: "true"\n...\n')
    utimesSync(join(dropbox, `${name}.job`), 1_700_000_000 - ageS, 1_700_000_000 - ageS)
  }
  for (let n = 0; n < 5; n++) drop(`a-young-${n}`, 0)
  for (let n = 0; n < 2_000; n++) drop(`j${n}`, 60)
  const { os, calls } = countingOs()
  const gateway = busy.other({ files: new Files(os) })
  const { accepted, waiting } = await acceptIn(gateway)
  assert.equal(accepted, 2_000)
  assert.deepEqual(
    waiting.sort((a, b) => (a.name < b.name ? -1 : 1)),
    Array.from({ length: 5 }, (_, n) => ({
      name: `a-young-${n}`,
      why: 'a pass takes 2000 jobs; the next one goes on',
    })),
  )
  assert.ok((calls.readSync ?? 0) < 2_000 * 8.1)
})

const skip = process.getuid?.() === 0 ? false : 'only root makes files of others'

test('accept() takes of each owner in turn: one with more files than a pass takes keeps nobody waiting', {
  skip,
}, async () => {
  const busy = await testGateway()
  after(() => busy.end())
  const dropbox = join(busy.dir, 'dropbox')
  const drop = (name: string, uid: number, ageS: number) => {
    const path = join(dropbox, `${name}.job`)
    writeFileSync(path, 'script: "true"\n...\n')
    utimesSync(path, 1_700_000_000 - ageS, 1_700_000_000 - ageS)
    chownSync(path, uid, uid)
  }
  for (let n = 0; n < 2_005; n++) drop(`j${n}`, 1234, 60)
  for (let n = 0; n < 5; n++) drop(`young-${n}`, 1235, 0)
  const { accepted, refused, waiting, more } = await acceptIn(busy.gateway)
  assert.deepEqual([accepted + refused, more], [2_000, true])
  assert.equal(waiting.length, 10)
  assert.deepEqual(
    waiting.filter(({ name }) => name.startsWith('young')),
    [],
  )
})
