/** A large input over a distance: several channels of one connection carry it, and nothing of it is lost when they end in the middle. */
import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { startCountingProxy } from '../support/counting-proxy.ts'
import { startCuttingProxy } from '../support/cutting-proxy.ts'
import { reach, through } from '../support/ssh-site.ts'
import { noSshd, type Sshd, startSshd } from '../support/sshd.ts'
import { list, World } from '../support/world.ts'

const megabyte = 1024 * 1024

const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex')

/** A world behind `port`, where the programs are there already, as on any but the first day. */
async function worldBehind(sshd: Sshd, port: number): Promise<World> {
  const world = new World()
  reach(world, sshd)
  world.drop('first', 'script: "true"\n')
  const ran = await world.go()
  assert.deepEqual([ran.code, ran.stderr], [0, ''])
  reach(world, through(sshd, port))
  return world
}

describe('a large input over a distance', { skip: noSshd }, () => {
  const sshds: Sshd[] = []
  const worlds: World[] = []
  let sshd: Sshd
  before(async () => {
    sshd = await start()
  })
  after(async () => {
    for (const world of worlds) await world.end()
    for (const each of sshds) await each.stop()
  })

  async function start(...config: string[]): Promise<Sshd> {
    const started = await startSshd({ config })
    sshds.push(started)
    return started
  }

  /** How often a pass that uploads so much must wait for the far side before it can go on, and its debug log. */
  async function waitsOf(server: Sshd, megabytes: number): Promise<{ waits: number; said: string }> {
    const proxy = await startCountingProxy(server.port)
    try {
      const world = await worldBehind(server, proxy.port)
      worlds.push(world)
      const content = randomBytes(megabytes * megabyte)
      world.dropCopy('large', world.input('large', content))
      const before = proxy.waits
      const ran = await world.tick('--debug')
      const waits = proxy.waits - before
      assert.equal(ran.code, 0, ran.stderr)
      await world.drained()
      const home = await world.tick('--debug')
      assert.equal(home.code, 0, home.stderr)
      assert.equal(sha256(readFileSync(world.out('large'))), sha256(content))
      return { waits, said: ran.stderr }
    } finally {
      await proxy.stop()
    }
  }

  it('goes by several channels: it waits for a fifth of the windows that one would have', async (t) => {
    const { waits, said } = await waitsOf(sshd, 80)
    t.diagnostic(`${waits} waits`)
    assert.match(said, /4 more channels/)
    // one channel alone: forty windows of 2 MB, and the nine of a pass
    assert.ok(waits <= 28, `${waits} waits`)
  })

  for (const forbidden of ['AllowStreamLocalForwarding no', 'DisableForwarding yes'])
    it(`goes by one channel where the server says ${forbidden}`, async () => {
      const { said } = await waitsOf(await start(forbidden), 40)
      assert.match(said, /one channel must do/)
    })

  it('goes by several channels also where the server allows one session', async () => {
    const { said } = await waitsOf(await start('MaxSessions 1'), 40)
    assert.match(said, /4 more channels/)
  })

  it('promise 1: goes on where it was cut, and arrives as it is', async () => {
    const proxy = await startCuttingProxy(sshd.port, 20)
    try {
      const world = await worldBehind(sshd, proxy.port)
      worlds.push(world)
      const bytes = 96 * megabyte
      const content = randomBytes(bytes)
      world.dropCopy('large', world.input('large', content))
      const cut = 0.8 * bytes
      proxy.cutAfter('up', cut)
      await world.tick()
      assert.equal(proxy.cuts, 1)
      const [staged = ''] = list(join(world.workspace, 'staging'))
      const there = readFileSync(join(world.workspace, 'staging', staged, 'job', 'input', 'large'))
      assert.ok(there.length > 0.5 * bytes && there.length < cut, `${there.length} bytes are there`)
      assert.ok(there.equals(content.subarray(0, there.length)), 'no hole in what is there')
      proxy.cutAfter('up')
      const again = await world.tick('--debug')
      assert.equal(again.code, 0, again.stderr)
      assert.ok(cut + proxy.passed.up - bytes < 0.25 * bytes, `${proxy.passed.up} bytes to go on`)
      await world.drained()
      assert.equal((await world.tick()).code, 0)
      assert.equal(sha256(readFileSync(world.out('large'))), sha256(content))
      assert.deepEqual(world.jobsLeft(), [])
    } finally {
      await proxy.stop()
    }
  })
})
