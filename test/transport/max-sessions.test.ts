import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { after, before, describe, it } from 'node:test'
import { sshConfig } from '../support/ssh-site.ts'
import { noSshd, type Sshd, startSshd } from '../support/sshd.ts'
import { World } from '../support/world.ts'

describe('an sshd that allows one channel at a time', { skip: noSshd }, () => {
  let sshd: Sshd
  let world: World
  before(async () => {
    sshd = await startSshd({ config: ['MaxSessions 1'] })
    world = new World(sshConfig(sshd))
  })
  after(async () => {
    await world.end()
    await sshd.stop()
  })

  it('HB-15: programs, large and small inputs and results all pass through it', async () => {
    const large = Buffer.alloc(20 * 1024 * 1024, 'large')
    world.dropCopy('large', world.input('large', large))
    for (let n = 0; n < 5; n++) world.dropCopy(`small${n}`, world.input(`small${n}`))
    const ran = await world.go()
    assert.deepEqual([ran.code, ran.stderr], [0, ''])
    assert.ok(readFileSync(world.out('large')).equals(large))
    for (let n = 0; n < 5; n++) assert.equal(readFileSync(world.out(`small${n}`), 'utf8'), `small${n}`)
    assert.deepEqual(world.jobsLeft(), [])
  })
})
