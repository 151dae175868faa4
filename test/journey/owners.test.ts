/** Jobs of other users: what they may make the gateway read and write, and whose the results are. Needs root; says so where it is not. */
import assert from 'node:assert/strict'
import { chmodSync, chownSync, mkdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { list, World } from '../support/world.ts'

const uid = 12346
const options = { skip: process.getuid?.() === 0 ? false : 'only root can drop files of other users' }
const world = new World(`dropbox: ./dropbox
templates: ./templates
state: ./state
settle: 300ms
paths: {inputs: ["{dir}/in"], outputs: ["{dir}/theirs"]}
sites:
  here:
    transport: {type: local}
    scheduler: {type: local}
    hpc_env: {workspace: "{dir}/workspace"}
`)
after(() => world.end())

const theirs = join(world.dir, 'theirs')
const secret = join(world.dir, 'secret')

function dropTheirs(name: string, from: string, to: string): void {
  world.dropCopy(name, from, to)
  chownSync(join(world.dropbox, `${name}.job`), uid, uid)
}

before(async () => {
  if (options.skip !== false) return
  mkdirSync(theirs)
  chownSync(theirs, uid, uid)
  mkdirSync(secret)
  writeFileSync(join(secret, 'x'), 'secret')
  const mine = world.input('mine', 'mine')
  chmodSync(world.input('private', 'private'), 0o600)
  symlinkSync(join(secret, 'x'), join(world.dir, 'in', 'link'))
  symlinkSync(secret, join(theirs, 'out-link'))
  mkdirSync(join(theirs, 'roots'))
  dropTheirs('good', mine, join(theirs, 'good'))
  dropTheirs('outside', join(secret, 'x'), join(theirs, 'a'))
  dropTheirs('linked', join(world.dir, 'in', 'link'), join(theirs, 'b'))
  dropTheirs('private', join(world.dir, 'in', 'private'), join(theirs, 'c'))
  dropTheirs('out', mine, world.out('d'))
  dropTheirs('out-link', mine, join(theirs, 'out-link', 'e'))
  dropTheirs('not-theirs', mine, join(theirs, 'roots', 'f'))
  dropTheirs('fails', mine, join(theirs, 'g'))
  world.dropCopy('ours', join(secret, 'x'), world.out('ours'))
  const ran = await world.go()
  assert.equal(ran.code, 0, ran.stderr)
})

test('HB-05: a job of another user reads and writes what its owner may, where the config allows it', options, () => {
  assert.equal(world.finished('good').job.status, 'ok')
  const delivered = statSync(join(theirs, 'good'))
  assert.deepEqual([delivered.uid, delivered.gid], [uid, uid])
  assert.equal(readFileSync(join(theirs, 'good'), 'utf8'), 'mine')
})

test('HB-30: it is not talked into reading or writing anything else', options, () => {
  for (const [name, says] of [
    ['outside', /paths\.inputs/],
    ['linked', /paths\.inputs/],
    ['private', /may not be read by the owner of the job file/],
    ['out', /paths\.outputs/],
    ['out-link', /paths\.outputs/],
    ['not-theirs', /may not be written by the owner/],
  ] as const) {
    const { job } = world.finished(name)
    assert.equal(job.status, 'error', name)
    assert.match(job.message, says, name)
  }
  assert.deepEqual(list(secret), ['x'])
  assert.deepEqual(list(theirs).sort(), ['g', 'good', 'out-link', 'roots'])
})

test('HB-29: a result is its owner’s, ours is ours', options, () => {
  for (const name of ['good', 'outside', 'private'])
    assert.equal(statSync(join(world.dropbox, `${name}.job.finished`)).uid, uid, name)
  assert.equal(statSync(join(world.dropbox, 'ours.job.finished')).uid, 0)
  assert.equal(readFileSync(world.out('ours'), 'utf8'), 'secret')
})

test(
  'HB-29: a pass that died between its last rename and giving the result away is made good by the next',
  options,
  async () => {
    dropTheirs('kept', join(world.dir, 'in', 'mine'), join(theirs, 'kept'))
    assert.equal((await world.tick()).code, 0)
    await world.drained()
    const path = join(world.dropbox, 'kept.job.finished')
    // what the dead pass would have left: its key at the site, and the result still ours
    const ran = await world.tick('--nocleanup')
    assert.equal(ran.code, 0, ran.stderr)
    chownSync(path, 0, 0)
    const done = join(world.workspace, 'done', readFileSync(join(world.dropbox, '.hpc', 'uuid'), 'utf8').trim())
    const { hpc } = world.finished('kept')
    writeFileSync(join(done, hpc.key), '')
    world.drop('next', 'script: true\n')
    assert.equal((await world.go()).code, 0)
    assert.equal(statSync(path).uid, uid)
    assert.deepEqual(world.jobsLeft(), [])
  },
)

test('HB-05: what was swapped while the job ran is judged again at delivery', options, async () => {
  dropTheirs('swapped', join(world.dir, 'in', 'mine'), join(theirs, 'deep'))
  assert.equal((await world.tick()).code, 0)
  await world.drained()
  const { renameSync } = await import('node:fs')
  renameSync(theirs, `${theirs}.real`)
  symlinkSync(secret, theirs)
  const ran = await world.tick()
  assert.match(ran.stderr, /cannot be delivered yet: .*paths\.outputs/)
  assert.deepEqual(list(secret), ['x'])
})

test('HB-01: a gateway without root’s rights refuses what it cannot read and serves the rest', options, async () => {
  const other = new World()
  try {
    other.belongTo(12345)
    other.drop('hidden', 'script: true\n')
    other.drop('open', 'script: true\n')
    for (const name of ['hidden', 'open']) chownSync(join(other.dropbox, `${name}.job`), uid, uid)
    chmodSync(join(other.dropbox, 'hidden.job'), 0o600)
    const ran = await other.go()
    assert.equal(ran.code, 0, ran.stderr)
    assert.match(other.finished('hidden').job.message, /may not read it; give it read permission/)
    assert.equal(other.finished('open').job.status, 'ok')
    const { uid: owner, mode } = statSync(join(other.dropbox, 'open.job.finished'))
    assert.deepEqual([owner, (mode & 0o444).toString(8)], [12345, '444'])
  } finally {
    await other.end()
  }
})
