/** Uploads that stop half-way: gone on with, begun anew, or taken back; and files that change while they are sent. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { closeSync, mkdirSync, openSync, readFileSync, statSync, utimesSync, writeFileSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { cli, list, until, World } from '../support/world.ts'

const world = new World()
after(() => world.end())
world.template('sum', '#!/bin/sh\nsha256sum <input/<<from>>\n')

const megabytes = 150
const staging = join(world.workspace, 'staging')

/** A file whose every megabyte is another one. */
function big(name: string): { path: string; sum: string } {
  const path = world.input(name, '')
  const hash = createHash('sha256')
  const fd = openSync(path, 'w')
  for (let at = 0; at < megabytes; at += 1) {
    const block = Buffer.alloc(1024 * 1024, `${name} ${at} `)
    hash.update(block)
    writeSync(fd, block)
  }
  closeSync(fd)
  return { path, sum: hash.digest('hex') }
}

const staged = () =>
  list(staging).flatMap((job) =>
    list(join(staging, job, 'job', 'input')).map((name) => statSync(join(staging, job, 'job', 'input', name))),
  )

/** A pass that is killed when some of its upload has arrived; gives the inode of what is there. */
async function killedHalfWay(): Promise<number> {
  const pass = spawn(process.execPath, [cli, 'tick', '--config', world.configFile], { stdio: 'ignore' })
  const gone = new Promise((resolve) => pass.once('exit', resolve))
  await until('some of the upload', () => staged().some(({ size }) => size > 4 * 1024 * 1024))
  pass.kill('SIGKILL')
  await gone
  // the other side works off what is in its pipe, and stops
  let before = -1
  await until('the other side to stop', async () => {
    const size = staged()[0]?.size ?? 0
    const still = size === before
    before = size
    await new Promise((resolve) => setTimeout(resolve, 150))
    return still
  })
  assert.ok(before > 0 && before < megabytes * 1024 * 1024, `${before} bytes arrived: not half-way`)
  return staged()[0]?.ino ?? 0
}

test('HB-10 HB-24: an upload that was cut off is gone on with; nothing runs before it is whole and verified', async () => {
  const { path, sum } = big('resumed')
  world.drop('resumed', `script: sum\ninput_map: {from: ${path}}\n`)
  await killedHalfWay()
  assert.deepEqual(list(join(world.workspace, 'jobs')), [])
  // what has arrived is marked by a time that only a new file would not have
  const [job = ''] = list(staging)
  const file = join(staging, job, 'job', 'input', 'resumed')
  const birth = statSync(file).birthtimeMs
  let resumedBirth: number | undefined
  const done = world.tick()
  await until('it to be published', () => {
    try {
      resumedBirth = statSync(join(world.workspace, 'jobs', job.split('.')[0] ?? '', 'input', 'resumed')).birthtimeMs
    } catch {
      return false
    }
    return true
  })
  assert.equal((await done).code, 0)
  assert.equal(resumedBirth, birth, 'the same file, written on')
  await world.drained()
  assert.equal((await world.tick()).code, 0)
  assert.equal(world.finished('resumed').job.stdout, `${sum}  -\n`)
  assert.deepEqual(world.jobsLeft(), [])
})

test('HB-10: an input that changed since the upload was cut off is sent anew, and nothing of the old one stays', async () => {
  const { path } = big('changed')
  world.drop('changed', `script: sum\ninput_map: {from: ${path}}\n`)
  await killedHalfWay()
  const bytes = readFileSync(path)
  bytes.write('changed', 100)
  writeFileSync(path, bytes)
  assert.equal((await world.go()).code, 0)
  assert.equal(world.finished('changed').job.stdout, `${createHash('sha256').update(bytes).digest('hex')}  -\n`)
  assert.deepEqual(world.jobsLeft(), [])
})

test('HB-30 P-HB-05: a job cancelled while it was being sent leaves nothing on HPC', async () => {
  const { path } = big('cancelled')
  world.drop('cancelled', `script: sum\ninput_map: {from: ${path}}\n`)
  await killedHalfWay()
  writeFileSync(join(world.dropbox, 'cancelled.job.cancel'), '')
  const ran = await world.tick()
  assert.equal(ran.code, 0, ran.stderr)
  assert.equal(world.finished('cancelled').job.state, 'cancelled')
  assert.deepEqual(world.jobsLeft(), [])
  assert.deepEqual(list(join(world.dir, 'state', 'withdraw', 'here')), [])
})

test('P-HB-10: what dead passes left in the dropbox goes after an hour, folders too; what is young, or another’s, stays', async () => {
  const at = (name: string) => join(world.dropbox, name)
  mkdirSync(at('.0123456789ab.1'))
  writeFileSync(join(at('.0123456789ab.1'), 'uuid'), '')
  for (const name of ['.0123456789ab.2', '.mine.tmp']) writeFileSync(at(name), '')
  for (const name of ['.0123456789ab.1', '.0123456789ab.2', '.mine.tmp']) utimesSync(at(name), 1, 1)
  writeFileSync(at('.0123456789ab.3'), '')
  assert.equal((await world.tick()).code, 0)
  assert.deepEqual(
    list(world.dropbox)
      .filter((name) => name.startsWith('.') && name !== '.hpc')
      .sort(),
    ['.0123456789ab.3', '.mine.tmp'],
  )
})
