/** Causes of an attempt's end and their two limits, by real runners and real scripts that die. */
import assert from 'node:assert/strict'
import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import type { JobRecord } from '../../contract/spool-records.ts'
import { Heartbeat } from '../../runner/heartbeat.ts'
import type { Runner } from '../../runner/runner.ts'
import { Uploads } from '../../runner/uploads.ts'
import { endAttempt, openAttempt } from '../../spool/attempt.ts'
import { Files } from '../../system/files.ts'
import { silentLog } from '../../system/logger.ts'
import { realOs } from '../../system/os.ts'
import { causes, repair, sh, withSite } from '../support/runner-story.ts'
import { killQuietly, lives, type Site, type TestRunner } from '../support/site.ts'
import { until } from '../support/world.ts'

/** What a node that dies does: the runner, what starts its scripts and sees them end, and the scripts, at once. */
async function dies(runner: TestRunner, scripts: readonly number[]): Promise<void> {
  runner.process.kill('SIGSTOP')
  const parents = scripts.map((pid) => Number(execFileSync('ps', ['-o', 'ppid=', '-p', String(pid)])))
  // a script leads its process group: what it has started dies with it
  for (const pid of [...parents, ...scripts, ...scripts.map((pid) => -pid)]) killQuietly(pid)
  runner.process.kill('SIGKILL')
  await runner.ended
  // a killed process is there until the system comes to it
  const groupLives = (pid: number) => spawnSync('pgrep', ['-r', 'R,S,D,T', '-g', String(pid)]).status === 0
  await until('all of them to be gone', () => !parents.some(lives) && !scripts.some(groupLives))
}

const go = (site: Site) => writeFileSync(join(site.dir, 'go'), '')
const waits = (site: Site, name: string) =>
  sh(`echo $$ >>${site.dir}/${name}; while [ ! -e ${site.dir}/go ]; do sleep 0.05; done; echo ${name}`)
describe('attempts', { concurrency: 2 }, () => {
  test('promise 3: a start is on record before the script runs, with its node and runner', () =>
    withSite({}, async (site) => {
      const job = await site.publish({
        template: sh(`cat ${site.spool.controls}/\${HPC_BATCH_JOB%.*}/attempts/\${HPC_BATCH_JOB##*.}`),
      })
      const runner = await site.drain()
      const record = JSON.parse(site.stdout(job)) as { attempt: number; runner: string; node: string }
      assert.deepEqual([record.attempt, record.runner, record.node !== ''], [1, runner.id, true])
      assert.deepEqual(
        site.result(job)?.attempts.map(({ attempt, cause, node }) => [attempt, cause, node]),
        [[1, 'exited', record.node]],
      )
    }))

  test('promise 3: jobs that died together are told so, run alone next, and the one that kills again is found out', () =>
    withSite({ slots: 3 }, async (site) => {
      // the poison takes the whole node along; the others are only beside it
      const alone = `ls ${site.dir}/running >>${site.dir}/beside 2>/dev/null; mkdir -p ${site.dir}/running/$$`
      const body = (name: string) =>
        sh(`${alone}; trap 'rm -rf ${site.dir}/running/$$' EXIT; echo $$ >>${site.dir}/${name}
          while [ ! -e ${site.dir}/go ]; do sleep 0.05; done; sleep 0.2; echo ${name}`)
      const poison = await site.publish({ template: waits(site, 'poison'), maxAttempts: 2 })
      const good = await site.publish({ template: body('good') })
      const better = await site.publish({ template: body('better') })
      const first = site.startRunner()
      for (const name of ['poison', 'good', 'better']) await site.said(name)
      await dies(
        first,
        ['poison', 'good', 'better'].map((name) => Number(site.lines(name)[0])),
      )
      assert.equal(await repair(site), 3)
      for (const job of [poison, good, better]) assert.deepEqual(causes(site, job), ['died-together'])
      rmSync(join(site.dir, 'running'), { recursive: true, force: true })
      rmSync(join(site.dir, 'beside'), { force: true })

      // the poison dies again, alone with its runner this time: it is the one
      for (let death = 1; death <= 2; death++) {
        const again = site.startRunner()
        await until('the poison to run again', () => site.lines('poison').length === 1 + death)
        assert.equal(site.lines('good').length + site.lines('better').length, 2, 'nothing runs beside a suspect')
        await dies(again, [Number(site.lines('poison').at(-1))])
        await repair(site)
      }
      assert.deepEqual(causes(site, poison), ['died-together', 'died-alone', 'died-alone'])
      go(site)
      await site.drain()
      assert.equal(site.result(poison)?.state, 'aborted')
      assert.match(site.result(poison)?.message ?? '', /died with its allocation .* 2 times \(max_attempts\)/)
      for (const job of [good, better]) assert.deepEqual([site.result(job)?.rc, site.attempts(job).length], [0, 2])
      assert.deepEqual(site.lines('beside').filter(Boolean), [], 'each suspect ran with nothing beside it')
    }))

  test('promise 3: interruptions have a limit of their own, and say so with the last lines', () =>
    withSite({}, async (site) => {
      const job = await site.publish({
        template: sh(`echo step >&2; echo $$ >>${site.dir}/pids; while :; do sleep 0.05; done`),
        maxAttempts: 1,
        maxInterruptions: 3,
      })
      for (let n = 1; n <= 3; n++) {
        const runner = site.startRunner()
        await until('the script to run', () => site.lines('pids').length === n)
        runner.process.kill('SIGTERM')
        await runner.ended
        assert.equal(site.result(job), undefined)
        assert.deepEqual(causes(site, job), Array(n).fill('interrupted'))
      }
      await site.drain()
      assert.match(
        site.result(job)?.message ?? '',
        /^The job was interrupted 3 times \(max_interruptions\), the last on node \S+ in allocation default-1~\S+; it is not started again. Its last lines: step$/,
      )
      assert.equal(site.lines('pids').length, 3)
    }))
})

describe('the end of the walltime', { concurrency: 2 }, () => {
  test('promise 7 section 8: after the warning nothing more is claimed, what runs goes on to its end, the rest is left', () =>
    withSite({}, async (site) => {
      const running = await site.publish({ template: waits(site, 'running') })
      const waiting = [await site.publish(), await site.publish()]
      const runner = site.startRunner()
      await site.said('running')
      runner.process.kill('SIGUSR2')
      const late = await site.publish()
      await new Promise((resolve) => setTimeout(resolve, 300))
      assert.equal(lives(runner.pid), true)
      go(site)
      await runner.ended
      assert.deepEqual([site.result(running)?.rc, site.runnerEnd(runner)?.how], [0, 'walltime'])
      for (const job of [...waiting, late]) assert.deepEqual(site.attempts(job), [])
      assert.equal(site.waiting().length, 3)
      await site.drain()
      for (const job of [...waiting, late]) assert.equal(site.result(job)?.rc, 0)
    }))

  test('promise 3: one that runs at the end goes back at once and is counted, three that wait are not touched', () =>
    withSite({ timeMs: 3_000, marginMs: 100 }, async (site) => {
      const running = await site.publish({ template: waits(site, 'running') })
      const waiting: JobRecord[] = []
      for (let n = 0; n < 3; n++) waiting.push(await site.publish())
      const runner = await site.drain()
      assert.equal(site.runnerEnd(runner)?.how, 'walltime')
      assert.deepEqual([causes(site, running), site.waiting().length], [['walltime'], 4])
      for (const job of waiting) assert.deepEqual(site.attempts(job), [])
      go(site)
      await site.drain()
      assert.deepEqual([site.result(running)?.attempt, site.result(running)?.rc], [2, 0])
      assert.deepEqual(
        site.result(running)?.attempts.map(({ cause }) => cause),
        ['walltime', 'exited'],
      )
      for (const job of waiting) assert.equal(site.result(job)?.attempt, 1)
    }))

  test('promise 7: a suspect that waited until it was alone goes back when what is left no longer holds it', () =>
    withSite({ timeMs: 20_000, marginMs: 100, slots: 2 }, async (site) => {
      const before = await site.publish({ template: waits(site, 'before') })
      const suspect = await site.publish({ timeMs: 5_000 })
      const control = site.spool.control(suspect.id)
      const record = { nonce: 'n', attempt: 1, runner: 'r', node: '', bootId: '', startedAt: '', uptimeMs: 0 }
      assert.ok(openAttempt(site.queuer.files, control, record))
      endAttempt(site.queuer.files, control, 1, { cause: 'died-together', at: '', by: '' })
      const runner = site.startRunner()
      await until('the suspect to be held', () => !site.waiting().includes(suspect.key))
      await new Promise((resolve) => setTimeout(resolve, 5_500))
      go(site)
      await runner.ended
      assert.equal(site.result(before)?.rc, 0)
      assert.deepEqual([causes(site, suspect), site.waiting()], [['died-together'], [suspect.key]])
    }))
})

/** As much of a runner as its parts ask for, with a clock that the test moves. */
function partOf(site: Site, more: Partial<Runner> = {}): { runner: Runner; pass(ms: number): void } {
  let ms = 0
  const { files, clock } = site.queuer
  const runner = {
    ...{ files, log: silentLog, spool: site.spool, lane: site.lane, shape: site.shape, id: 'default-1~1.0.n' },
    clock: { ...clock, monotonicMs: () => ms },
    ...more,
  } as Runner
  const pass = (more: number) => {
    ms += more
  }
  return { runner, pass }
}

test('promise 7: an upload is waited for while it grew within the last 60 s, and 600 s at most', () =>
  withSite({}, async (site) => {
    const record = site.record({ inputs: { in: 'x' } })
    const dir = join(site.staged(record, { in: '' }), 'job', 'input', 'in')
    let size = 0
    const grow = () => writeFileSync(dir, 'x'.repeat(++size))
    const { runner, pass } = partOf(site)
    const uploads = new Uploads(runner)
    assert.equal(uploads.growing(), true)
    pass(59_999)
    assert.equal(uploads.growing(), true)
    grow()
    assert.equal(uploads.growing(), true)
    pass(60_001)
    assert.equal(uploads.growing(), false, 'it stood still for a minute')
    uploads.reset()
    for (let minute = 0; minute < 10; minute++) {
      grow()
      assert.equal(uploads.growing(), true, `minute ${minute}`)
      pass(60_000)
    }
    grow()
    assert.equal(uploads.growing(), false, 'not longer than ten minutes')
    uploads.reset()
    grow()
    assert.equal(uploads.growing(), true, 'work in between gives new patience')
    // those of other lanes are no reason to wait
    const other = partOf(site, { shape: { ...site.shape, lane: 'other' } })
    assert.equal(new Uploads(other.runner).growing(), false)
  }))

const disk = mkdtempSync(join(tmpdir(), 'hpc-full-'))
const mounted =
  process.getuid?.() === 0 && spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=256k', 'tmpfs', disk]).status === 0

test('section 8: a full disk stops no heartbeat', {
  skip: mounted ? false : 'no rights to mount a small disk here',
}, () => {
  const path = join(disk, 'beat')
  const files = new Files(realOs)
  try {
    const { runner } = { runner: { files, log: silentLog, clock: { monotonicMs: () => 0 } } }
    const lane = { heartbeat: () => path }
    const heartbeat = new Heartbeat({ ...runner, lane, id: 'r' } as unknown as Runner)
    assert.throws(() => writeFileSync(join(disk, 'ballast'), Buffer.alloc(1_000_000)), /ENOSPC/)
    const before = readFileSync(path, 'utf8')
    heartbeat.jobDone()
    assert.notEqual(readFileSync(path, 'utf8'), before)
    heartbeat.stop()
    assert.ok(existsSync(path))
  } finally {
    execFileSync('umount', [disk])
    rmSync(disk, { recursive: true })
  }
})
