/** An input the site has already: how many bytes of it cross the wire, counted by a proxy before a real sshd. */
import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { chmodSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { type CuttingProxy, startCuttingProxy } from '../support/cutting-proxy.ts'
import { reach, through } from '../support/ssh-site.ts'
import { noSshd, type Sshd, startSshd } from '../support/sshd.ts'
import { list, World } from '../support/world.ts'

const mega = 1024 * 1024
/** Logging in, the hello, records and texts of a few jobs. */
const fewBytes = 48 * 1024

const sumOf = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex')

describe('inputs the site has already', { skip: noSshd }, () => {
  let sshd: Sshd
  let proxy: CuttingProxy
  const worlds: World[] = []
  before(async () => {
    sshd = await startSshd()
    proxy = await startCuttingProxy(sshd.port)
  })
  after(async () => {
    for (const world of worlds) await world.end()
    await proxy.stop()
    await sshd.stop()
  })

  /** A gateway of its own; `workspace`: the one of another. */
  function gateway(workspace?: string): World {
    const world = new World()
    worlds.push(world)
    reach(world, through(sshd, proxy.port), { workspace: workspace ?? world.workspace })
    world.template('sum', '#!/bin/sh\nsha256sum <input/<<from>>\n')
    world.template('change', '#!/bin/sh\nchmod u+w input/<<from>>; echo changed >>input/<<from>>; echo changed\n')
    return world
  }

  /** One pass; the bytes it sent. */
  async function sent(world: World): Promise<number> {
    proxy.cutAfter('up')
    const ran = await world.tick()
    assert.equal(ran.code, 0, ran.stderr)
    return proxy.passed.up
  }

  const drop = (world: World, name: string, path: string, script = 'sum') =>
    world.drop(name, `script: ${script}\ninput_map: {from: ${path}}\n`)

  /** Runner of that workspace to its end, and the results home. */
  async function results(world: World, owner = world): Promise<void> {
    await owner.drained()
    assert.equal((await world.tick()).code, 0)
  }

  for (const [size, kind] of [
    [9 * mega, 'large'],
    [2 * mega, 'small'],
  ] as const) {
    it(`a ${kind} one is sent once, whatever it is called and whichever tool and gateway asks for it`, async () => {
      const content = randomBytes(size)
      const sum = sumOf(content)
      const one = gateway()
      drop(one, 'first', one.input('first.bin', content))
      assert.ok((await sent(one)) > size, 'it was sent')
      await results(one)
      assert.equal(one.finished('first').job.stdout, `${sum}  -\n`)
      // another tool, which changes what it is given, and another file of the same content
      drop(one, 'changes', one.input('second.bin', content), 'change')
      assert.ok((await sent(one)) < fewBytes, 'by another tool, under another name')
      await results(one)
      assert.equal(one.finished('changes').job.stdout, 'changed\n')
      const two = gateway(one.workspace)
      drop(two, 'third', two.input('third.bin', content))
      assert.ok((await sent(two)) < fewBytes, 'by another gateway')
      await results(two, one)
      assert.equal(two.finished('third').job.stdout, `${sum}  -\n`)
      // somebody has altered what the site keeps: it is noticed, sent anew by the next pass, and kept again
      const [kept = ''] = list(join(one.workspace, 'store'))
      assert.equal(kept, `${sum}.${size}`)
      chmodSync(join(one.workspace, 'store', kept), 0o600)
      writeFileSync(join(one.workspace, 'store', kept), 'altered', { flag: 'r+' })
      drop(two, 'fourth', two.input('fourth.bin', content))
      assert.ok((await sent(two)) < fewBytes)
      assert.ok((await sent(two)) > size, 'it is sent again')
      assert.deepEqual(list(join(one.workspace, 'store')), [kept])
      await results(two, one)
      assert.equal(two.finished('fourth').job.stdout, `${sum}  -\n`)
      assert.deepEqual(one.jobsLeft(), [])
    })
  }

  it('of one that several jobs of a pass have, one is sent; of one that is only as long, all of it', async () => {
    const world = gateway()
    drop(world, 'programs', world.input('programs'))
    await sent(world)
    await results(world)
    const [small, large] = [randomBytes(mega), randomBytes(9 * mega)]
    for (let n = 1; n <= 4; n++) {
      drop(world, `s${n}`, world.input(`s${n}`, small))
      drop(world, `l${n}`, world.input(`l${n}`, large))
    }
    const once = small.length + large.length
    const bytes = await sent(world)
    assert.ok(bytes > once && bytes < once * 1.1, `${bytes} bytes`)
    await results(world)
    for (let n = 1; n <= 4; n++) {
      assert.equal(world.finished(`s${n}`).job.stdout, `${sumOf(small)}  -\n`)
      assert.equal(world.finished(`l${n}`).job.stdout, `${sumOf(large)}  -\n`)
    }
    const alike = Buffer.from(large)
    alike.write('but for its beginning')
    for (const [name, other] of Object.entries({ other: randomBytes(large.length), alike })) {
      drop(world, name, world.input(name, other))
      assert.ok((await sent(world)) > other.length)
      await results(world)
      assert.equal(world.finished(name).job.stdout, `${sumOf(other)}  -\n`)
    }
  })
})
