/**
 * One workspace seen through two views that remember what they saw: hpc_queuer on a login node through one FUSE mount, runners and jobs through
 * another, each with attributes, names and missing names up to five seconds old. It stands for NFS, whose caches it outdoes: nothing that
 * is done in a folder makes a view look anew at names it knows.
 */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, it } from 'node:test'
import { until } from '../support/world.ts'
import { Told } from './faulty-lab.ts'
import { Lab, theCluster } from './lab.ts'
import { type LoginNode, sshThrough, startLoginNode } from './login-node.ts'

const options = ['attr_timeout', 'entry_timeout', 'negative_timeout'].map((name) => `${name}=5`).join(',')

theCluster('a workspace seen through two views with stale caches', {}, () => {
  let place: Lab
  let login: LoginNode | undefined
  let real = ''
  before(async () => {
    place = new Lab()
    real = join(place.folder, 'real')
    for (const dir of [real, place.workspace]) {
      mkdirSync(dir, { mode: 0o700 })
      execFileSync('chown', ['--reference', place.folder, dir])
    }
    const bind = ['bindfs', '-o', options, real, place.workspace] as const
    execFileSync(bind[0], bind.slice(1))
    const probe = [join(place.workspace, '.probe'), join(real, '.probe')] as const
    assert.ok(!existsSync(probe[0]))
    writeFileSync(probe[1], '')
    assert.ok(!existsSync(probe[0]), 'this view forgets too soon')
    rmSync(probe[1])
    login = await startLoginNode('login1', place.dir, `umount ${place.workspace}; ${bind.join(' ')}`)
    writeFileSync(place.configFile, place.config({ transport: sshThrough(login.port) }))
  })
  after(async () => {
    await place.drained().catch(() => undefined)
    await login?.stop()
    execFileSync('umount', ['-l', place.workspace])
    await place.end()
  })

  it('P-HB-19: jobs are run once, by one runner at a time, late ones join, one is cancelled, and all results come whole', async () => {
    const told = new Told(place)
    told.drop('first', 'first', { waits: true })
    await place.tick()
    await told.started('first')
    const stopped = {
      status: 'error',
      state: 'cancelled',
      rc: -15,
      message: /cancel/,
      outputs: { [place.out('c')]: null },
    } as const
    told.drop('c', 'c', { waits: true, end: stopped })
    for (const n of ['b1', 'b2', 'b3', 'b4']) {
      told.drop(n, n.repeat(1000))
      await place.tick()
    }
    assert.equal((await place.live()).length, 1, 'a second runner was asked for')
    told.go('first')
    await told.started('c')
    writeFileSync(join(place.dropbox, 'c.job.cancel'), '')
    for (const n of told.jobs.keys()) await place.finish(n)
    // the next runner comes to a lane that has been left
    await place.drained()
    for (const n of ['d1', 'd2']) told.drop(n)
    for (const n of ['d1', 'd2']) await place.finish(n)
    for (const n of told.jobs.keys()) assert.equal(told.starts(n).length, 1, n)
    assert.equal((await place.allocations()).length, 2)
    await place.drained()
    // what a view has not seen go is swept by a later pass
    await until('an empty trash', async () => {
      await place.tick()
      return execFileSync('ls', ['-A', join(real, '.trash')], { encoding: 'utf8' }) === ''
    })
    await told.judge({ workspaces: [real] })
  })
})
