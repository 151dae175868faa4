/** A secret of the config appears nowhere else, and nobody else of either machine may look into what is ours. */
import assert from 'node:assert/strict'
import { execFileSync, spawnSync } from 'node:child_process'
import { chmodSync, chownSync, existsSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { makeKey, noSshd, publicKeyOf, type Sshd, startSshd } from '../support/sshd.ts'
import { list, type Ran, World } from '../support/world.ts'

const secret = 'correct-horse-battery-41f7'

describe('a passphrase in the config', { skip: noSshd }, () => {
  let sshd: Sshd
  let world: World
  const ran: Ran[] = []
  const seen = { processes: 0, found: [] as string[] }

  before(async () => {
    sshd = await startSshd()
    const key = makeKey(join(sshd.folder, 'id_secret'), 'ed25519', secret)
    sshd.authorize(publicKeyOf(key))
    world = new World(`dropbox: ./dropbox
templates: ./templates
state: ./state
settle: 300ms
sites:
  here:
    transport: {type: ssh, host: 127.0.0.1, port: ${sshd.port}, user: ${sshd.user}, key_file: ${key}, passphrase: ${secret}, known_hosts: ${sshd.knownHosts()}, ssh_config: false}
    scheduler: {type: local}
    node: ${process.execPath}
    hpc_env: {workspace: "{dir}/workspace"}
`)
    chmodSync(world.configFile, 0o600)
    world.template('environment', '#!/bin/sh\nenv; sleep 1; cat /proc/$PPID/environ; exit 3\n')
    world.drop('a', 'script: environment\n')
    world.drop('bad', 'script: nope\n')
    const timer = setInterval(() => {
      const { stdout } = spawnSync('ps', ['axeww', '-o', 'pid=,args='], { encoding: 'utf8' })
      seen.processes += stdout.split('\n').filter((line) => line.includes(world.dir)).length
      seen.found.push(...stdout.split('\n').filter((line) => line.includes(secret)))
    }, 100)
    ran.push(await world.tick('--debug'))
    await world.drained()
    ran.push(await world.tick('--debug', '--nocleanup'))
    ran.push(await world.cli(['check', '--config', world.configFile]))
    ran.push(await world.cli(['status', '--config', world.configFile, '--json']))
    // a wrong one is not said either
    writeFileSync(world.configFile, readFileSync(world.configFile, 'utf8').replace('passphrase: c', 'passphrase: x'))
    world.drop('b', 'script: true\n')
    ran.push(await world.tick('--debug'))
    clearInterval(timer)
  })
  after(async () => {
    await world?.end()
    await sshd?.stop()
  })

  test('P-GW-10 promise 8: it logs in, and is in no file, message, result or command line', () => {
    assert.equal(world.finished('a').job.message, 'Remote command failed with return code 3', ran[0]?.stderr)
    assert.ok(String(world.finished('a').job.stdout).includes('HPC_BATCH_JOB='))
    const found = spawnSync('grep', ['-rlF', secret.slice(1), world.dir], { encoding: 'utf8' })
      .stdout.trim()
      .split('\n')
    assert.deepEqual(found, [world.configFile], 'only the config has it, which proves that grep would find it')
    for (const { stdout, stderr } of ran) assert.ok(!`${stdout}${stderr}`.includes(secret.slice(1)))
    assert.ok(!sshd.log().includes(secret.slice(1)))
    assert.ok(seen.processes > 0, 'our programs were seen at work')
    assert.deepEqual(seen.found, [])
  })

  test('section 12: the workspace is 0700, our files in it are for nobody else', () => {
    assert.equal(statSync(world.workspace).mode & 0o777, 0o700)
    const open = execFileSync('find', [world.workspace, '!', '-type', 'l', '-perm', '/077'], { encoding: 'utf8' })
    assert.equal(open, '')
    assert.ok(list(join(world.workspace, 'control')).length > 0, 'a job is still there to be looked at')
  })

  test('section 12: a config with a passphrase that others may read is not used', async () => {
    chmodSync(world.configFile, 0o640)
    const refused = await world.tick()
    chmodSync(world.configFile, 0o600)
    assert.equal(refused.code, 78)
    assert.match(refused.stderr, /must be its owner’s only, and this one has mode 0640/)
    assert.ok(!refused.stderr.includes(secret.slice(1)))
  })
})

const asRoot = { skip: process.getuid?.() === 0 ? false : 'only root can act as other users' }

describe('another user of the machine', asRoot, () => {
  const uid = 12347
  const world = new World()
  after(() => world.end())
  const as = (...words: string[]) =>
    spawnSync('setpriv', [`--reuid=${uid}`, `--regid=${uid}`, '--clear-groups', '--', ...words], { encoding: 'utf8' })

  test('P-HB-12: a gateway begins though somebody planted a .submitted that names another one', async () => {
    const text = `script: true\nhpc: {id: vm-00000000-0000-4000-8000-000000000000, name: fake, gateway: 00000000-0000-4000-8000-000000000000, owner: {uid: 0, gid: 0, mode: 420}}\n...\n`
    const path = join(world.dropbox, 'fake.job.submitted')
    writeFileSync(path, text)
    chownSync(path, uid, uid)
    const first = await world.tick()
    assert.equal(first.code, 0, first.stderr)
    assert.match(world.finished('fake').job.message, /hpc .*is written by us/)
    assert.equal(statSync(join(world.dropbox, 'fake.job.finished')).uid, uid)
    assert.ok(existsSync(join(world.dropbox, '.hpc', 'uuid')))
  })

  test('section 12: in a sticky dropbox he can drop, and neither change nor remove what is ours', async () => {
    chmodSync(world.dropbox, 0o1777)
    world.drop('ours', 'script: true\n')
    assert.equal((await world.tick()).code, 0)
    const submitted = join(world.dropbox, 'ours.job.submitted')
    const before = readFileSync(submitted, 'utf8')
    assert.notEqual(as('sh', '-c', `echo x >>${submitted}`).status, 0)
    assert.notEqual(as('mv', '-f', submitted, join(world.dropbox, 'stolen.job')).status, 0)
    assert.notEqual(as('rm', '-f', submitted).status, 0)
    assert.notEqual(as('sh', '-c', `echo x >${join(world.dropbox, '.hpc', 'x')}`).status, 0)
    assert.equal(readFileSync(submitted, 'utf8'), before)
    // a request to stop that is not the owner's is removed, and changes nothing
    assert.equal(as('touch', join(world.dropbox, 'ours.job.cancel')).status, 0)
    await world.drained()
    const last = await world.tick()
    assert.equal(last.code, 0, last.stderr)
    assert.equal(world.finished('ours').job.status, 'ok')
    assert.equal(world.has('ours.job.cancel'), false)
  })

  test('section 12: he reads nothing in the workspace nor in the state', () => {
    mkdirSync(join(world.workspace, 'control', 'x'), { recursive: true })
    for (const path of ['workspace', 'workspace/control', 'state/log.jsonl']) {
      assert.ok(existsSync(join(world.dir, path)), path)
      const reader = path.endsWith('jsonl') ? 'cat' : 'ls'
      assert.match(as(reader, join(world.dir, path)).stderr, /Permission denied/, path)
    }
    rmSync(join(world.workspace, 'control', 'x'), { recursive: true })
    assert.equal(as('ls', world.dropbox).status, 0, 'the same user reads what is open to all')
  })
})
