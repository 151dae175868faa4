/** Connections that break on purpose, at each place of a pass, in either direction. One test at a time: they stop sshd. */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, it } from 'node:test'
import { type CuttingProxy, startCuttingProxy } from '../support/cutting-proxy.ts'
import { list } from '../support/world.ts'
import { type GatedLab, labWithGate, type Stop, sshSessions, Told } from './faulty-lab.ts'
import { cluster, Lab, port, theCluster } from './lab.ts'
import { sshThrough } from './login-node.ts'

const MiB = 1024 * 1024
/** Above the size from which an upload is resumed. */
/** Each time another: what a site has had is not sent again. */
const large = () => randomBytes(4.5 * MiB).toString('hex')
const largeBytes = 9 * MiB

theCluster('sshd killed and every connection dropped', {}, () => {
  let place: GatedLab
  let told: Told
  before(async () => {
    place = await labWithGate()
    told = new Told(place)
  })
  after(() => place.end())

  const phases: [string, Stop][] = [
    ['before the hello is heard', { type: 'hello', passes: 'nothing' }],
    ['in the welcome', { type: 'welcome', passes: 'half' }],
    ['in a small input', { type: 'part', passes: 'half' }],
    ['in a large input', { type: 'part', passes: 'half', fromOffset: 4 * MiB }],
    ['before publishing', { type: 'publish', passes: 'nothing' }],
    ['in the word to publish', { type: 'publish', passes: 'half' }],
    ['before it is heard that a job is published', { type: 'published', passes: 'nothing' }],
    ['before a runner is asked for', { type: 'ensure', passes: 'nothing' }],
    ['before it is heard that there is a runner', { type: 'ensured', passes: 'nothing' }],
    ['before collecting', { type: 'collect', passes: 'nothing' }],
    ['in the result', { type: 'result', passes: 'half' }],
    ['in a large output', { type: 'piece', passes: 'half', fromOffset: 4 * MiB }],
    ['before the end of a result', { type: 'collected', passes: 'nothing' }],
    ['before cleaning', { type: 'clean', passes: 'nothing' }],
    ['before it is heard that all is clean', { type: 'cleaned', passes: 'nothing' }],
  ]
  for (const [n, [phase, rule]] of phases.entries()) {
    it(`${phase}: the pass ends with 75, and the next ones finish`, async () => {
      const names = [`s${n}`, `l${n}`] as const
      told.drop(names[0])
      told.drop(names[1], large())
      const ran = await place.shut(rule).meet(async () => {
        const sessions = sshSessions()
        assert.ok(sessions.length > 0)
        await cluster('kill', 'sshd')
        for (const pid of sessions) process.kill(pid, 'SIGKILL')
      })
      assert.equal(ran.code, 75, ran.stderr)
      await cluster('up')
      for (const name of names) await place.finish(name)
    })
  }

  it('HB-32: after all of that every script has run once, and nothing is left', async () => {
    assert.equal(told.jobs.size, 2 * phases.length)
    for (const n of told.jobs.keys()) assert.equal(told.starts(n).length, 1, n)
    await told.judge()
  })
})

theCluster('connections that stall without closing', {}, () => {
  let place: GatedLab
  let told: Told
  before(async () => {
    place = await labWithGate({ transport: sshThrough(port, 'stall: 2s') })
    told = new Told(place)
  })
  after(() => place.end())

  for (const [n, when, rule] of [
    ['sending', 'in the middle of sending', { type: 'part', passes: 'half', fromOffset: 4 * MiB }],
    ['collecting', 'in the middle of collecting', { type: 'piece', passes: 'half', fromOffset: 4 * MiB }],
  ] as const) {
    it(`HB-32: sshd stands still ${when}: the pass ends by its silence limit, and the next one finishes`, async () => {
      told.drop(n, large())
      let stopped: number[] = []
      try {
        const ran = await place.shut(rule).meet(async () => {
          stopped = sshSessions()
          assert.ok(stopped.length > 0)
          for (const pid of stopped) process.kill(pid, 'SIGSTOP')
        })
        assert.equal(ran.code, 75, ran.stderr)
        assert.match(ran.stderr, /127\.0\.0\.1.*2 s/s)
        // what stands still stays: the next pass must not depend on its end
        await place.finish(n)
      } finally {
        for (const pid of stopped) process.kill(pid, 'SIGKILL')
      }
      assert.equal(told.starts(n).length, 1)
    })
  }

  it('leaves nothing behind', () => told.judge())
})

theCluster('connections cut after so many bytes', {}, () => {
  let place: Lab
  let told: Told
  let proxy: CuttingProxy
  before(async () => {
    proxy = await startCuttingProxy(port)
    place = new Lab({ transport: sshThrough(proxy.port) })
    told = new Told(place)
  })
  after(async () => {
    await place.end()
    await proxy.stop()
  })

  const job = 'truncated'
  // four in a row: after five failures a site is asked less often for a while
  const cutPass = async (direction: 'up' | 'down', bytes: number) => {
    const cuts = proxy.cuts
    proxy.cutAfter(direction, bytes)
    const ran = await place.tick()
    assert.equal(proxy.cuts, cuts + 1, `nothing was cut after ${bytes} bytes: ${JSON.stringify(proxy.passed)}`)
    assert.equal(proxy.passed[direction], bytes)
    assert.equal(ran.code, 75, ran.stderr)
    assert.ok(place.has(`${job}.job.submitted`))
    assert.ok(!existsSync(place.out(job)), 'an output is there before its end')
  }

  it('HB-32: a truncated upload, cut after 30 B to 4 MiB: no byte of it counts that was not verified, and the next pass goes on', async () => {
    told.drop('first')
    await place.finish('first')
    told.drop(job, large())
    for (const bytes of [30, 2_000, 300_000, 4 * MiB + 1]) {
      await cutPass('up', bytes)
      assert.deepEqual(jobsAt(place), [], 'a job was published from half its input')
    }
    // what had arrived is not sent again
    proxy.cutAfter('up')
    assert.equal((await place.tick()).code, 0)
    assert.ok(proxy.passed.up < largeBytes, `${proxy.passed.up} bytes were sent by the last pass`)
    assert.equal(jobsAt(place).length, 1)
  })

  it('HB-32: a truncated download, cut after 2 kB to 8 MiB: nothing is delivered in part, and the next pass delivers all of it', async () => {
    await place.drained()
    for (const bytes of [2_000, 20_000, MiB, 8 * MiB]) await cutPass('down', bytes)
    await place.finish(job)
    assert.equal(told.starts(job).length, 1)
    await told.judge()
  })
})

function jobsAt(place: Lab): string[] {
  return list(join(place.workspace, 'control'))
}
