/** Keeping runners queued, on real files; the scheduler is the local driver whose commands are answered by the test. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { makeIdentity, makeRunnerId } from '../../contract/spool.ts'
import type { LaneReport, LaneShape, ObserverTime } from '../../contract/spool-records.ts'
import { ensureRunners } from '../../queuer/ensure-runner.ts'
import { readIntents } from '../../queuer/lane-files.ts'
import type { Command, Reply } from '../../scheduler/scheduler.ts'
import type { Os } from '../../system/os.ts'
import { runCommand } from '../../system/process.ts'
import { countingOs } from '../support/counting-os.ts'
import { Site } from '../support/site.ts'

/** A scheduler whose allocations the test decides. */
class Cluster {
  readonly site: Site
  /** Nonces of live allocations, by pid. */
  readonly live = new Map<number, string>()
  down = false
  submissions = 0
  answer: 'submitted' | 'refused' | 'lost' | 'lost but started' = 'submitted'
  cancelled: string[] = []
  now: ObserverTime = { bootId: 'gateway', ms: 1_000_000 }
  #pid = 100

  constructor(shape: Partial<LaneShape> = {}, os?: Os) {
    this.site = new Site(shape, os, { run: (command: Command) => Promise.resolve(this.#run(command)) })
  }

  #run(command: Command): Reply {
    const reply = (code: number | null, stdout: string, stderr = ''): Reply => ({
      code,
      stdout,
      stderr,
      timedOut: false,
    })
    if (this.down) return reply(1, '', 'controller does not answer')
    const workspace = this.site.pass.workspace
    if (command.stdin !== undefined) {
      const records = [...this.live].map(
        ([pid, nonce]) => `${pid}\x1fS 1 1\x1fnode\x1f${makeIdentity(workspace, this.site.shape.lane, nonce)}\x1e\n`,
      )
      return reply(0, `${records.join('')}end\n`)
    }
    const words = command.argv.slice(4)
    const identity = words.find((word) => word.startsWith('hpc-batch/'))
    if (identity === undefined) {
      this.cancelled.push(words[0] ?? '')
      return reply(0, '')
    }
    this.submissions += 1
    if (this.answer === 'refused') return reply(73, '', 'no account')
    if (this.answer !== 'lost') this.live.set(++this.#pid, identity.split('/')[3] ?? '')
    if (this.answer !== 'submitted') return reply(1, '', 'connection lost')
    return reply(0, `${this.#pid}\n`)
  }

  async ensure(gateway: string = this.site.gateway): Promise<LaneReport> {
    const pass = { ...this.site.pass, gateway, observer: this.now }
    const { lanes } = await ensureRunners(this.site.queuer, pass)
    const [lane] = lanes
    assert.ok(lane)
    return lane
  }

  later(ms: number): void {
    this.now = { ...this.now, ms: this.now.ms + ms }
  }

  /** The allocation starts its runner, which leaves this way. */
  runnerLeft(how: string, jobs = 0, detail?: string): void {
    const [pid, nonce = ''] = [...this.live].at(-1) ?? []
    assert.ok(pid)
    const id = makeRunnerId(this.site.shape.lane, String(pid), 0, nonce)
    const { files, lane } = this.site
    files.publish(
      lane.runner(id),
      JSON.stringify({ nonce, runner: id, node: 'far', bootId: 'far', pid: 1, nativeId: String(pid) }),
    )
    files.publish(lane.heartbeat(id), `000000000001 ${String(jobs).padStart(12, '0')}\n`)
    files.publish(`${lane.runner(id)}.end`, JSON.stringify({ how, at: '', jobs, detail }))
    this.live.delete(pid)
  }
}

async function withCluster(
  shape: Partial<LaneShape>,
  act: (cluster: Cluster) => Promise<void>,
  os?: Os,
): Promise<void> {
  const cluster = new Cluster(shape, os)
  try {
    await act(cluster)
  } finally {
    await cluster.site.end()
  }
}

describe('ensureRunners()', () => {
  test('HB-18 HB-19: nothing waiting submits nothing; work submits one runner, however often it is asked', () =>
    withCluster({}, async (cluster) => {
      assert.equal((await cluster.ensure()).action, 'none')
      await cluster.site.publish()
      assert.equal((await cluster.ensure()).action, 'submitted')
      for (let i = 0; i < 4; i++) assert.equal((await cluster.ensure()).action, 'none')
      assert.equal(cluster.submissions, 1)
    }))

  test('promise 4: a scheduler that does not answer gets no submission', () =>
    withCluster({}, async (cluster) => {
      await cluster.site.publish()
      cluster.down = true
      const report = await cluster.ensure()
      assert.equal(report.action, 'waiting')
      assert.match(report.trouble ?? '', /did not answer.*controller does not answer/)
      assert.deepEqual([cluster.submissions, readIntents(cluster.site.queuer, cluster.site.shape.lane)], [0, []])
    }))

  for (const [answer, outcome, submissions] of [
    ['lost', 'absent', 2],
    ['lost but started', 'submitted', 1],
  ] as const) {
    test(`promise 4: an ambiguous submission (${answer}) is settled by certain answers only: ${outcome}`, () =>
      withCluster({}, async (cluster) => {
        await cluster.site.publish()
        cluster.answer = answer
        assert.equal((await cluster.ensure()).action, 'ambiguous')
        cluster.answer = 'submitted'
        cluster.down = true
        cluster.later(120_000)
        assert.equal((await cluster.ensure()).action, 'waiting')
        cluster.down = false
        if (outcome === 'absent') {
          assert.equal((await cluster.ensure()).action, 'waiting', 'one certain answer is not two')
          cluster.later(59_999)
          assert.equal((await cluster.ensure()).action, 'waiting', 'nor are two within a minute')
          cluster.later(1)
        }
        assert.equal((await cluster.ensure()).action, outcome === 'absent' ? 'submitted' : 'none')
        assert.equal(cluster.submissions, submissions)
        assert.equal(readIntents(cluster.site.queuer, cluster.site.shape.lane)[0]?.end?.outcome, outcome)
      }))
  }

  for (const [what, content] of [
    ['with its record', JSON.stringify({ nonce: 'gone', by: 'other', at: '' })],
    ['before its record was written', ''],
  ]) {
    test(`promise 1: a crash between intent and submission, ${what}, holds the lane up for a minute and not for ever`, () =>
      withCluster({}, async (cluster) => {
        await cluster.site.publish()
        cluster.site.files.createExclusive(join(cluster.site.lane.intents, '1'), content ?? '')
        assert.equal((await cluster.ensure()).action, 'waiting')
        cluster.later(60_000)
        assert.equal((await cluster.ensure()).action, 'submitted')
      }))
  }

  test('promise 1: an end of an intent that lost its content is an end', () =>
    withCluster({}, async (cluster) => {
      await cluster.site.publish()
      cluster.site.files.createExclusive(
        join(cluster.site.lane.intents, '1'),
        JSON.stringify({ nonce: 'gone', by: '', at: '' }),
      )
      cluster.site.files.createExclusive(join(cluster.site.lane.intents, '1.end'), '')
      assert.equal((await cluster.ensure()).action, 'submitted')
    }))

  test('HB-34 P-HB-19: twenty passes of two gateways at one time submit one runner', () =>
    withCluster({}, async (cluster) => {
      await cluster.site.publish()
      await Promise.all(Array.from({ length: 20 }, (_, i) => cluster.ensure(`gateway-${i % 2}`)))
      assert.equal(cluster.submissions, 1)
    }))

  test('P-GW-08 section 8: three failed starts in a row make the lane wait, with the tail of the log; then it is tried again', () =>
    withCluster({}, async (cluster) => {
      await cluster.site.publish()
      for (let start = 1; start <= 3; start++) {
        assert.equal((await cluster.ensure()).action, 'submitted', `start ${start}`)
        const [pid, nonce] = [...cluster.live][0] ?? []
        cluster.live.delete(pid ?? 0)
        cluster.site.files.publish(
          join(cluster.site.lane.logs, `hpc_runner_stderr.${nonce}.${pid}`),
          '/opt/node: not found\n',
        )
      }
      const report = await cluster.ensure()
      assert.equal(report.action, 'back-off')
      assert.match(report.trouble ?? '', /3 runners in a row failed to start: \/opt\/node: not found; next try in 60 s/)
      cluster.later(59_000)
      assert.equal((await cluster.ensure()).action, 'back-off')
      cluster.later(1_000)
      assert.equal((await cluster.ensure()).action, 'submitted')
      assert.equal(cluster.site.waiting().length, 1, 'no job failed for it')
    }))

  test('failed starts are counted beside a runner that works', () =>
    withCluster({ maxRunners: 2 }, async (cluster) => {
      await cluster.site.publish()
      await cluster.site.publish()
      await cluster.ensure()
      assert.equal((await cluster.ensure()).action, 'submitted')
      for (let start = 0; start < 3; start++) {
        cluster.runnerLeft('preflight', 0, 'no GPU')
        await cluster.ensure()
      }
      assert.equal((await cluster.ensure()).action, 'back-off')
      assert.equal(cluster.live.size, 1)
    }))

  test('a refusal is told at once, and three of them back off', () =>
    withCluster({}, async (cluster) => {
      await cluster.site.publish()
      cluster.answer = 'refused'
      assert.match((await cluster.ensure()).trouble ?? '', /refused the runner: .*no account/)
      await cluster.ensure()
      await cluster.ensure()
      assert.equal((await cluster.ensure()).action, 'back-off')
      assert.equal(cluster.submissions, 3)
    }))

  test('runners that drained or did jobs are no failed starts', () =>
    withCluster({}, async (cluster) => {
      await cluster.site.publish()
      for (let start = 0; start < 6; start++) {
        assert.equal((await cluster.ensure()).action, 'submitted')
        cluster.runnerLeft('dead', 1)
      }
    }))

  test('a runner that finds nothing it can start is not asked for again and again', () =>
    withCluster({}, async (cluster) => {
      await cluster.site.publish()
      for (let start = 0; start < 3; start++) {
        await cluster.ensure()
        cluster.runnerLeft('drained', 0)
      }
      assert.match((await cluster.ensure()).trouble ?? '', /found no job it could start/)
    }))

  for (const sign of ['closing', 'released']) {
    test(`promise 7: a runner whose seat is ${sign} is not counted: a job published now gets another`, () =>
      withCluster({}, async (cluster) => {
        await cluster.site.publish()
        await cluster.ensure()
        const [pid, nonce = ''] = [...cluster.live][0] ?? []
        const id = makeRunnerId(cluster.site.shape.lane, String(pid), 0, nonce)
        const { files, lane } = cluster.site
        files.publish(lane.runner(id), JSON.stringify({ nonce, runner: id, node: 'far', bootId: 'far' }))
        files.createExclusive(join(lane.seats, '0.1'), JSON.stringify({ nonce, runner: id }))
        assert.equal((await cluster.ensure()).action, 'none')
        files.createExclusive(join(lane.seats, `0.1.${sign}`), '')
        assert.equal((await cluster.ensure()).action, 'submitted')
      }))
  }

  test('promise 4: a runner that is gone and still for 300 s is dead, its keys go back; not before', () =>
    withCluster({}, async (cluster) => {
      const { site } = cluster
      const job = await site.publish()
      await cluster.ensure()
      const [pid, nonce = ''] = [...cluster.live][0] ?? []
      const id = makeRunnerId(site.shape.lane, String(pid), 0, nonce)
      site.files.publish(
        site.lane.runner(id),
        JSON.stringify({ nonce, runner: id, node: 'far', bootId: 'far', nativeId: String(pid) }),
      )
      site.files.publish(site.lane.heartbeat(id), '000000000001 000000000000\n')
      site.files.makeFolder(site.spool.running(id))
      site.files.move(join(site.spool.queue(site.shape.lane), job.key), join(site.spool.running(id), job.key))
      site.files.createExclusive(
        site.spool.control(job.id).attempt(1),
        JSON.stringify({ nonce: 'a', attempt: 1, runner: id, node: 'far', bootId: 'far', startedAt: '', uptimeMs: 0 }),
      )
      await cluster.ensure()
      cluster.live.clear()
      cluster.later(200_000)
      await cluster.ensure()
      assert.equal(site.waiting().length, 0)
      cluster.later(100_000)
      assert.equal((await cluster.ensure()).action, 'submitted')
      assert.deepEqual([site.waiting().length, site.attempts(job)[0]?.end?.cause], [1, 'died-alone'])
    }))

  test('promise 1: a heartbeat that a crash of its node left as zeros is no sign of life', () =>
    withCluster({}, async (cluster) => {
      const { site } = cluster
      await site.publish()
      await cluster.ensure()
      const [pid, nonce = ''] = [...cluster.live][0] ?? []
      const id = makeRunnerId(site.shape.lane, String(pid), 0, nonce)
      site.files.publish(site.lane.runner(id), JSON.stringify({ nonce, runner: id, node: 'far', bootId: 'far' }))
      site.files.publish(site.lane.heartbeat(id), Buffer.alloc(26))
      await cluster.ensure()
      cluster.live.clear()
      await cluster.ensure()
      cluster.later(300_000)
      await cluster.ensure()
      assert.match(readFileSync(`${site.lane.runner(id)}.end`, 'utf8'), /"how":"dead"/)
    }))

  test('section 8: a runner silent for 15 minutes but running is cancelled once, by the id the scheduler gives', () =>
    withCluster({}, async (cluster) => {
      const { site } = cluster
      await site.publish()
      await cluster.ensure()
      const [pid, nonce = ''] = [...cluster.live][0] ?? []
      const id = makeRunnerId(site.shape.lane, 'made-up', 0, nonce)
      site.files.publish(
        site.lane.runner(id),
        JSON.stringify({ nonce, runner: id, node: 'far', bootId: 'far', nativeId: '1' }),
      )
      for (let look = 0; look < 4; look++) {
        await cluster.ensure()
        cluster.later(450_000)
      }
      assert.deepEqual(cluster.cancelled, [String(pid)])
    }))

  test('history of runners is dropped, and a seat whose holder was forgotten is free', () =>
    withCluster({}, async (cluster) => {
      const { site } = cluster
      await site.publish()
      for (let start = 0; start < 30; start++) {
        await cluster.ensure()
        cluster.runnerLeft('drained', 1)
      }
      await cluster.ensure()
      assert.ok(readIntents(site.queuer, site.shape.lane).length <= 21)
      assert.ok(site.files.list(site.lane.runners).length <= 2 * 21)
      site.files.createExclusive(
        join(site.lane.seats, '0.1'),
        JSON.stringify({ nonce: 'n', runner: 'default-1~7.0.forgotten' }),
      )
      const runner = await site.drain()
      assert.equal(site.runnerEnd(runner)?.how, 'drained')
    }))

  test('of runners that have ended a pass reads nothing: what it costs does not grow with how many there were', async () => {
    const { os, calls } = countingOs()
    const opens = async (cluster: Cluster) => {
      const before = calls.openSync ?? 0
      await cluster.ensure()
      return (calls.openSync ?? 0) - before
    }
    await withCluster(
      {},
      async (cluster) => {
        await cluster.site.publish()
        for (let start = 0; start < 3; start++) {
          await cluster.ensure()
          cluster.runnerLeft('drained', 1)
        }
        await cluster.ensure()
        const few = await opens(cluster)
        for (let start = 0; start < 15; start++) {
          cluster.runnerLeft('drained', 1)
          await cluster.ensure()
        }
        assert.equal(await opens(cluster), few)
      },
      os,
    )
  })

  test('a lane that no config names any more still gets its runner, and one lane in disorder holds no other up', () =>
    withCluster({}, async (cluster) => {
      await cluster.site.publish()
      const { lanes } = await ensureRunners(cluster.site.queuer, {
        ...cluster.site.pass,
        lanes: [],
        observer: cluster.now,
      })
      assert.equal(lanes[0]?.action, 'submitted')
    }))
})

test('P-GW-08: a trampoline whose Node does not exist says which line to set, and starts nothing', async () => {
  const cluster = new Cluster({ node: '/no/such/node' })
  await cluster.site.publish()
  await cluster.ensure()
  const script = cluster.site.files.list(cluster.site.lane.logs).find((name) => name.endsWith('.sh')) ?? ''
  const path = join(cluster.site.lane.logs, script)
  const ran = await runCommand({ argv: [path, 'hpc-batch/x/y/z'] }, 20_000)
  assert.equal(ran.code, 127)
  assert.match(ran.stderr, /node: \/no\/such\/node does not run; no Node 18 or newer on .*set node: of this site/)
  assert.match(readFileSync(path, 'utf8'), /exec "\$NODE" /)
  await cluster.site.end()
})
