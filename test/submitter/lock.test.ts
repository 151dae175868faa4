import assert from 'node:assert/strict'
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { acceptRaw, type Desk } from '../../submitter/accept-job.ts'
import { publishSubmitted } from '../../submitter/finish-unsent.ts'
import { type Lock, takeLock, waitForLock } from '../../submitter/lock.ts'
import { testGateway } from '../support/gateway.ts'

const here = await testGateway()
after(() => here.end())
const { gateway } = here
const folder = join(here.dir, 'dropbox', '.hpc')

async function taken(by = gateway, name = 'x'): Promise<Lock> {
  const lock = await takeLock(by, name)
  if ('heldBy' in lock) assert.fail(`held by ${lock.heldBy}`)
  return lock
}

const held = async (by = gateway, name = 'x') => {
  const lock = await takeLock(by, name)
  return 'heldBy' in lock ? lock.heldBy : assert.fail('it was free')
}

test('takeLock() says who has it, and gives it after its release', async () => {
  const lock = await taken()
  assert.match(await held(), new RegExp(`^pid ${process.pid} on `))
  lock.check()
  await lock.release()
  assert.equal(existsSync(join(folder, 'x.lock')), false)
  await (await taken()).release()
})

test('takeLock() makes nothing where the folder with the marker is gone', async () => {
  const lock = await taken()
  renameSync(folder, `${folder}.away`)
  try {
    await assert.rejects(taken(), /the folder ".*\.hpc" is gone/)
    assert.equal(existsSync(folder), false)
  } finally {
    renameSync(`${folder}.away`, folder)
  }
  await lock.release()
})

test('publishSubmitted() writes nothing without its lock', async () => {
  const old = await taken()
  await old.release()
  const owner = { uid: 0, gid: 0, mode: 0o600 }
  const hpc = { id: 'a', name: 'a', gateway: 'g', owner, history: [] }
  assert.throws(() => publishSubmitted(gateway, old, Buffer.from('script: a\n'), hpc), /lock "x" was lost/)
  assert.deepEqual(readdirSync(join(here.dir, 'dropbox')), ['.hpc'])
})

test('acceptRaw() puts no changed job back that another pass has accepted meanwhile', async () => {
  const old = await taken()
  await old.release()
  const path = join(here.dir, 'dropbox', 'x.job.submitted')
  writeFileSync(path, 'script: a\n...\n')
  const look = { inode: 1, size: 1, mtimeMs: 1, since: gateway.clock.uptime() }
  const desk = { gateway, lock: old } as Desk
  assert.throws(() => acceptRaw(desk, 'x', 'id', look), /lock "x" was lost/)
  assert.equal(readFileSync(path, 'utf8'), 'script: a\n...\n')
  rmSync(path)
})

test('takeLock() takes over at once from a process of this host that has ended, and that one knows', async () => {
  const dead = here.other({ self: { ...gateway.self, pid: 1, startTicks: '0' } })
  const old = await taken(dead, 'dead')
  const lock = await taken(gateway, 'dead')
  lock.check()
  assert.throws(() => old.check(), /lock "dead" was lost/)
  await old.release()
  lock.check()
  await lock.release()
})

test('takeLock() takes over from another host only after 60 s without a sign of life, by our own clock', async () => {
  const far = here.other({ host: 'far', self: { pid: 1, startTicks: '0', bootId: 'another-boot' } })
  const old = await taken(far, 'far')
  const path = join(folder, 'far.lock')
  assert.equal(await held(gateway, 'far'), 'pid 1 on far')
  here.pass(59_000)
  assert.equal(await held(gateway, 'far'), 'pid 1 on far')
  // it lives: its clock may be wrong by years, only that the time changed counts
  utimesSync(path, 5, 5)
  here.pass(30_000)
  assert.equal(await held(gateway, 'far'), 'pid 1 on far')
  here.pass(61_000)
  const lock = await taken(gateway, 'far')
  assert.throws(() => old.check(), /was lost/)
  await lock.release()
})

test('takeLock() does not look for the process of another container, which shares our boot and not our processes', async () => {
  const container = here.other({ host: 'container-a', self: { ...gateway.self, pid: 1, startTicks: '0' } })
  const lock = await taken(container, 'shared')
  assert.equal(await held(gateway, 'shared'), 'pid 1 on container-a')
  lock.check()
  await lock.release()
})

test('takeLock() takes over at once from this very machine before its restart', async () => {
  const before = here.other({ self: { ...gateway.self, bootId: 'before-the-restart' } })
  await taken(before, 'boot')
  await (await taken(gateway, 'boot')).release()
})

test('takeLock() of many at once gives it to one, also when all find a dead holder', async () => {
  const dead = here.other({ self: { ...gateway.self, pid: 1, startTicks: '0' } })
  for (let round = 0; round < 5; round += 1) {
    await taken(dead, `many${round}`)
    const all = await Promise.all(Array.from({ length: 20 }, () => takeLock(gateway, `many${round}`)))
    const winners = all.filter((lock): lock is Lock => !('heldBy' in lock))
    assert.equal(winners.length, 1)
    winners[0]?.check()
    await winners[0]?.release()
  }
})

test('takeLock() comes late with an old look and moves nobody’s lock: each dead holder is buried once', async () => {
  const dead = here.other({ self: { ...gateway.self, pid: 1, startTicks: '0' } })
  await taken(dead, 'late')
  const { nonce } = JSON.parse(readFileSync(join(folder, 'late.lock', 'holder.json'), 'utf8')) as { nonce: string }
  const lock = await taken(gateway, 'late')
  assert.ok(readdirSync(folder).includes(`late.lock.dead.${nonce}`))
  lock.check()
  await lock.release()
})

test('takeLock() takes a lock folder that was left empty', async () => {
  mkdirSync(join(folder, 'empty.lock'))
  await (await taken(gateway, 'empty')).release()
})

test('waitForLock() waits for short work, and gives up after its patience', async () => {
  const clock = { ...gateway.clock, sleep: async (ms: number) => here.pass(ms) }
  const patient = here.other({ clock })
  const lock = await taken(gateway, 'wait')
  assert.equal(await waitForLock(patient, 'wait', 1_000), undefined)
  await lock.release()
  await (await waitForLock(patient, 'wait', 1_000))?.release()
  assert.equal(existsSync(join(folder, 'wait.lock')), false)
})

test('P-GW-05: Lock.check() notices that its folder was replaced, and stops the pass before its next rename', async () => {
  const lock = await taken(gateway, 'gone')
  writeFileSync(join(folder, 'gone.lock', 'holder.json'), '{"nonce":"someone"}')
  assert.throws(() => lock.check(), /another process has it/)
})
