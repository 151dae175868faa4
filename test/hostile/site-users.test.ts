/** Another user of the cluster: what he finds in our workspace, what he puts where it will be, and what he can do above it. Needs root. */
import assert from 'node:assert/strict'
import { execFileSync, spawnSync } from 'node:child_process'
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { list, until, World } from '../support/world.ts'

const account = 12360
const stranger = 12361
const options = { skip: process.getuid?.() === 0 ? false : 'only root can act as other users' }

const as = (uid: number, ...words: string[]) =>
  spawnSync('setpriv', [`--reuid=${uid}`, `--regid=${uid}`, '--clear-groups', '--', ...words], { encoding: 'utf8' })

describe('another user of the site', options, () => {
  const world = new World()
  const { workspace } = world
  let id = ''

  before(async () => {
    world.template(
      'hold',
      `#!/bin/sh\necho secret; cp input/<<from>> output/<<to>>; : >${world.dir}/out/up; while [ ! -e ${world.dir}/out/go ]; do sleep 0.1; done\n`,
    )
    const input = world.input('in', 'secret')
    world.drop(
      'a',
      `script: hold\nargs: {pin: secret}\ninput_map: {from: ${input}}\noutput_map: {to: ${world.out('o')}}\n`,
    )
    world.belongTo(account)
    // he can get to it, and that is all
    const ran = await world.tick()
    assert.equal(ran.code, 0, ran.stderr)
    await until('the script to run', () => existsSync(world.out('up')))
    id = list(join(workspace, 'control'))[0] ?? assert.fail()
  })
  after(() => world.end())

  /** Everything there is, by path. */
  const all = () => execFileSync('find', [workspace], { encoding: 'utf8' }).trim().split('\n')

  test('section 12: he reads, lists and changes nothing: not the record, inputs, script, streams, keys, seats or heartbeats', () => {
    const paths = all()
    for (const part of [
      'job.yml',
      'job.sh',
      'attempts/1',
      'attempts/1.stdout',
      '/input/in',
      '/seats/',
      '/heartbeats/',
      '/running/',
    ])
      assert.ok(
        paths.some((path) => path.includes(part)),
        `${part} is there`,
      )
    const before = paths.map((path) => `${path} ${statSync(path).mode}`).join('\n')
    const tries = paths.map(
      (path) => `cat "${path}"; ls "${path}"; echo x >>"${path}"; rm -rf "${path}"; mv "${path}" /tmp`,
    )
    const tried = as(stranger, 'sh', '-c', tries.join('; '))
    assert.doesNotMatch(tried.stdout, /secret/)
    assert.equal(tried.stdout, '')
    assert.equal(
      all()
        .map((path) => `${path} ${statSync(path).mode}`)
        .join('\n'),
      before,
    )
  })

  test('section 12: he plants no key, seat, result, request or program', () => {
    const lane = list(join(workspace, 'lanes'))[0] ?? ''
    for (const path of [
      `queue/${lane}/999-000000000001-x`,
      `done/${list(join(workspace, 'done'))[0]}/999-000000000001-${id}`,
      `lanes/${lane}/seats/0.99`,
      `lanes/${lane}/intents/99`,
      `control/${id}/cancel`,
      `control/${id}/result/result.json`,
      `jobs/${id}/output/o`,
      `programs/node/bin/node`,
    ]) {
      const tried = as(stranger, 'sh', '-c', `mkdir -p "$(dirname "$1")" && echo x >"$1"`, 'sh', join(workspace, path))
      assert.notEqual(tried.status, 0, path)
    }
  })

  test('section 12: a workspace that was opened is closed by the next pass, and what is in it was not open meanwhile', async () => {
    chmodSync(workspace, 0o777)
    const inside = as(stranger, 'sh', '-c', `cat "${workspace}"/*/*/* "${workspace}"/*/*; ls "${workspace}/control"`)
    assert.equal(inside.stdout, '', 'every folder of ours stands for itself')
    // while it is open he can put something beside our folders, and that is never looked at
    assert.equal(as(stranger, 'mkdir', join(workspace, 'theirs')).status, 0)
    assert.equal((await world.tick()).code, 0)
    assert.equal(statSync(workspace).mode & 0o777, 0o700)
    assert.notEqual(as(stranger, 'ls', workspace).status, 0)
  })

  test('section 12: nothing we trust lies where a container may write', () => {
    // all that a template binds is jobs/<id>
    assert.deepEqual(readdirSync(join(workspace, 'jobs', id)).sort(), ['in', 'input', 'output'])
    assert.deepEqual(list(join(workspace, 'control', id)).includes('job.sh'), true)
  })

  test('the job is done all the same', async () => {
    writeFileSync(world.out('go'), '')
    await world.drained()
    assert.equal((await world.tick()).code, 0)
    assert.equal(world.finished('a').job.status, 'ok')
    assert.equal(readFileSync(world.out('o'), 'utf8'), 'secret')
  })
})

describe('another user above the workspace', options, () => {
  const world = new World()
  const scratch = join(world.dir, 'scratch')
  const canary = join(world.dir, 'out', 'canary')
  after(() => world.end())

  before(() => {
    mkdirSync(scratch)
    const config = readFileSync(world.configFile, 'utf8').replaceAll(`${world.dir}/workspace`, join(scratch, 'w'))
    writeFileSync(world.configFile, config)
    world.belongTo(account)
    // as scratch file systems are: everybody makes folders there
    chownSync(scratch, 0, 0)
    chmodSync(scratch, 0o1777)
    chmodSync(join(world.dir, 'out'), 0o777)
  })

  test('section 12: a folder he made there first, programs of his own in it, is refused, and nothing of it is run', async () => {
    // he knows the name that the programs will have
    const probe = new World()
    await probe.tick()
    probe.drop('x', 'script: true\n')
    await probe.go()
    const folder = list(join(probe.workspace, 'programs')).find((name) => name !== 'node') ?? assert.fail()
    await probe.end()
    const programs = join(scratch, 'w', 'programs', folder)
    mkdirSync(programs, { recursive: true })
    for (const name of ['hpc_queuer', 'hpc_runner'])
      writeFileSync(join(programs, name), `require('fs').writeFileSync(${JSON.stringify(canary)}, '')`)
    writeFileSync(join(scratch, 'w', '.hpc-workspace'), '{"uuid":"00000000-0000-4000-8000-000000000000","format":1}')
    execFileSync('chown', ['-R', `${stranger}:${stranger}`, join(scratch, 'w')])
    execFileSync('chmod', ['-R', 'a+rwX', join(scratch, 'w')])
    world.drop('a', 'script: true\n')
    chownSync(join(world.dropbox, 'a.job'), account, account)
    const ran = await world.tick()
    assert.equal(ran.code, 77, ran.stderr)
    assert.match(
      ran.stderr,
      /scratch\/w belongs to somebody else than \S+; set hpc_env\.workspace to a folder of that account/,
    )
    assert.equal(existsSync(canary), false)

    // the outer folder is ours, what is in it is not
    chownSync(join(scratch, 'w'), account, account)
    const second = await world.tick()
    assert.equal(second.code, 77)
    assert.match(second.stderr, /w\/programs belongs to somebody else/)
    assert.equal(existsSync(canary), false)
    rmSync(join(scratch, 'w'), { recursive: true })
  })

  test('section 12: a link he put there is refused, wherever it leads', async () => {
    const precious = join(world.dir, 'precious')
    mkdirSync(precious, { mode: 0o755 })
    chownSync(precious, account, account)
    symlinkSync(precious, join(scratch, 'w'))
    execFileSync('chown', ['-h', `${stranger}:${stranger}`, join(scratch, 'w')])
    const ran = await world.tick()
    assert.notEqual(ran.code, 0)
    assert.deepEqual(
      list(precious).filter((name) => name !== 'programs'),
      [],
    )
    assert.equal(statSync(precious).mode & 0o777, 0o755)
    rmSync(join(scratch, 'w'))
  })

  test('section 12: rights that a folder above gives to all that is made in it (a default ACL) do not reach the workspace', async (t) => {
    const made = spawnSync('python3', ['-c', giveDefaultAcl, scratch, String(stranger)], { encoding: 'utf8' })
    if (made.status !== 0) return t.skip(`no ACLs here: ${made.stderr.trim().split('\n').at(-1)}`)
    const control = join(scratch, 'control')
    mkdirSync(control, { mode: 0o770 })
    assert.equal(as(stranger, 'touch', join(control, 'x')).status, 0, 'the ACL does what it says')
    rmSync(control, { recursive: true })
    assert.equal((await world.tick()).code, 0)
    await until('the result', async () => {
      await world.tick('--nocleanup')
      return world.has('a.job.finished')
    })
    const found = as(stranger, 'find', join(scratch, 'w'), '-type', 'f')
    assert.equal(found.stdout, '')
    assert.notEqual(as(stranger, 'touch', join(scratch, 'w', 'x')).status, 0)
  })

  test('section 12: check tells of a folder above in which others could change the workspace for another', async () => {
    const check = async () => (await world.cli(['check', '--config', world.configFile])).stdout
    assert.doesNotMatch(await check(), /others may write \S*scratch/)
    chmodSync(scratch, 0o777)
    assert.match(await check(), /others may write \S*scratch, above it: they could put another folder in its place/)
    // what he can do then costs jobs, and gives him nothing: the folder he puts there is not ours
    const moved = join(scratch, 'moved')
    assert.equal(as(stranger, 'mv', join(scratch, 'w'), moved).status, 0)
    assert.equal(as(stranger, 'mkdir', '-m', '777', join(scratch, 'w')).status, 0)
    world.drop('b', 'script: true\n')
    chownSync(join(world.dropbox, 'b.job'), account, account)
    const ran = await world.tick()
    assert.equal(ran.code, 77, ran.stderr)
    rmSync(join(scratch, 'w'), { recursive: true })
    renameSync(moved, join(scratch, 'w'))
  })

  test('section 12: check tells of a dropbox in which others can remove what is ours', async () => {
    chmodSync(world.dropbox, 0o777)
    const { stdout } = await world.cli(['check', '--config', world.configFile])
    assert.match(stdout, /its group or others may write: members can remove each other's files/)
    chmodSync(world.dropbox, 0o755)
  })
})

/** Everybody's rights on what is made in a folder, as `setfacl -d -m u:UID:rwx` gives them; written by hand, as the tool may be missing. */
const giveDefaultAcl = `import os, struct, sys
entries = [(1, 7, -1), (2, 7, int(sys.argv[2])), (4, 5, -1), (16, 7, -1), (32, 5, -1)]
text = struct.pack('<I', 2) + b''.join(struct.pack('<HHi', *entry) for entry in entries)
os.setxattr(sys.argv[1], 'system.posix_acl_default', text)
`
