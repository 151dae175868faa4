/** A job claimed and made ready while the script before it runs: it starts at once, or goes back as if nobody had touched it. */
import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import type { AttemptRecord, JobRecord } from '../../contract/spool-records.ts'
import { attend } from '../../runner/attend-job.ts'
import type { Runner } from '../../runner/runner.ts'
import { realClock } from '../../system/clock.ts'
import { silentLog } from '../../system/logger.ts'
import { causes, repair, sh, withSite } from '../support/runner-story.ts'
import { names, type Site } from '../support/site.ts'
import { until } from '../support/world.ts'

/** A short job, one that does `act` as soon as the third has been made ready behind it, and that third one. */
async function three(site: Site, act: string): Promise<{ before: JobRecord; next: JobRecord }> {
  const ran = (name: string) => `echo ${name} >>${site.dir}/ran`
  await site.publish({ template: sh(ran('first')) })
  const ready = `next=$(cat ${site.dir}/next); until ls $next/attempts/1.*.rc >/dev/null 2>&1; do sleep 0.01; done`
  const before = await site.publish({ template: sh(`${ran('before')}; ${ready}; ${act}`) })
  const next = await site.publish({ template: sh(ran('next')) })
  writeFileSync(join(site.dir, 'next'), site.spool.control(next.id).dir)
  return { before, next }
}

describe('a job that is made ready ahead', { concurrency: 2 }, () => {
  test('promise 3: starts when the script before it has ended, under an attempt that is on record by then', () =>
    withSite({}, async (site) => {
      const { next } = await three(site, `ls $next/attempts >${site.dir}/names`)
      await site.drain()
      assert.match(site.lines('names').join(' '), /^1\.[0-9a-f]{8}\.rc$/, 'nothing is on record before')
      assert.deepEqual(site.lines('ran'), ['first', 'before', 'next'])
      const [attempt] = site.attempts(next)
      assert.match(attempt?.record?.exit ?? '', /^1\.[0-9a-f]{8}\.rc$/)
      assert.deepEqual([attempt?.exit?.rc, site.result(next)?.rc, site.result(next)?.attempt], [0, 0, 1])
      assert.ok((attempt?.exit?.startUptimeMs ?? 0) + 10 >= (attempt?.record?.uptimeMs ?? Number.POSITIVE_INFINITY))
    }))

  test('goes back to the queue when that script takes long', () =>
    withSite({}, async (site) => {
      const wait = `echo . >${site.dir}/ready; while [ ! -e ${site.dir}/go ]; do sleep 0.02; done`
      const { before, next } = await three(site, wait)
      const runner = site.startRunner()
      await site.said('ready')
      await until('the job to be back', () => site.waiting().includes(next.key))
      assert.deepEqual([site.result(before), site.attempts(next)], [undefined, []])
      writeFileSync(join(site.dir, 'go'), '')
      await runner.ended
      assert.deepEqual([site.runnerEnd(runner)?.how, site.lines('ran')], ['drained', ['first', 'before', 'next']])
      assert.equal(site.attempts(next).length, 1)
    }))

  test('is left to other runners of the lane when it is among the last: they would leave, finding nothing', () =>
    withSite({ maxRunners: 2 }, async (site) => {
      await site.publish()
      await site.publish({ template: sh(`sleep 0.1; ls ${site.spool.queue(site.shape.lane)} >${site.dir}/waiting`) })
      const next = await site.publish()
      await site.drain()
      assert.deepEqual(site.lines('waiting'), [next.key])
      assert.equal(site.result(next)?.rc, 0)
    }))

  test('promise 3: is not counted when its runner dies, and runs once', () =>
    withSite({}, async (site) => {
      const stop = `until [ -s ${site.dir}/runner ]; do sleep 0.01; done; kill -STOP $(cat ${site.dir}/runner); echo . >${site.dir}/ready`
      const { before, next } = await three(site, stop)
      const runner = site.startRunner()
      writeFileSync(join(site.dir, 'runner'), String(runner.pid))
      await site.said('ready')
      assert.deepEqual(names(site.spool.running(runner.id)), [before.key, next.key])
      runner.process.kill('SIGKILL')
      await runner.ended
      assert.deepEqual(site.attempts(next), [])
      await until('both keys to be back', async () => {
        await repair(site)
        return names(site.spool.running(runner.id)).length === 0
      })
      await site.drain()
      assert.deepEqual(site.lines('ran'), ['first', 'before', 'next'])
      assert.deepEqual([causes(site, next), site.result(next)?.attempt], [[undefined], 1])
    }))

  test('promise 3: does not start when somebody has ended it, or wants it cancelled', () =>
    withSite({}, async (site) => {
      const fence = { nonce: 'n', attempt: 1, runner: '', node: '', bootId: '', startedAt: '', uptimeMs: 0 }
      writeFileSync(join(site.dir, 'fence'), JSON.stringify({ ...fence, fence: 'aborted', why: 'somebody said so' }))
      writeFileSync(join(site.dir, 'cancel'), JSON.stringify({ cause: 'cancelled', why: 'nobody wants it' }))
      const ended = (await three(site, `cp ${site.dir}/fence $next/attempts/1`)).next
      const first = await site.drain()
      const cancelled = (await three(site, `cp ${site.dir}/cancel $next/cancel`)).next
      const second = await site.drain()
      assert.deepEqual(site.lines('ran'), ['first', 'before', 'first', 'before'])
      assert.deepEqual([names(site.spool.running(first.id)), site.waiting()], [[], []])
      assert.equal(site.attempts(ended)[0]?.record?.fence, 'aborted')
      assert.deepEqual(
        [site.result(cancelled)?.state, site.result(cancelled)?.message],
        ['cancelled', 'nobody wants it'],
      )
      for (const runner of [first, second]) assert.equal(site.runnerEnd(runner)?.how, 'drained', runner.stderr())
    }))

  test('loses nothing when its launcher dies while it waits', () =>
    withSite({}, async (site) => {
      const kill = `for pid in $(pgrep -f ${site.lane.dir}/job-wrapper); do [ $pid = $PPID ] || kill -9 $pid; done; sleep 0.05`
      const { next } = await three(site, kill)
      await site.drain()
      assert.deepEqual(site.lines('ran'), ['first', 'before', 'next'])
      assert.deepEqual([causes(site, next), site.result(next)?.attempt], [[undefined], 1])
    }))
})

const told = '0m0.1s 0m0.1s\n0m0.1s 0m0.1s\n'
for (const [what, hasServed, exit, cause] of [
  [
    'a script that was never begun, as its launcher was killed between two jobs, counts for nothing',
    true,
    undefined,
    'never-started',
  ],
  ['so it does when its launcher had only made it ready', true, told, 'never-started'],
  ['a launcher that serves nobody may be the doing of its job', false, undefined, 'died-alone'],
  ['a script that was begun has died', true, `${told}group 7\nstart 1.00\n`, 'died-alone'],
] as const)
  test(`promise 3: ${what}`, () =>
    withSite({}, async (site) => {
      const job = await site.publish()
      const { files, spool, shape } = site
      const record = { nonce: 'n', attempt: 1, runner: 'r', node: '', bootId: '', startedAt: '', uptimeMs: 0 }
      files.createExclusive(spool.control(job.id).attempt(1), JSON.stringify(record satisfies AttemptRecord))
      if (exit !== undefined) files.createExclusive(spool.control(job.id).exit(1), exit)
      const runner = {
        files,
        spool,
        shape,
        id: 'r',
        clock: realClock,
        log: silentLog,
        bootId: '',
        stopping: () => undefined,
      }
      const script = { ended: Promise.resolve(), launcher: undefined, hasServed, isFar: false }
      files.makeFolder(spool.running('r'))
      files.move(join(spool.queue(shape.lane), job.key), join(spool.running('r'), job.key))
      const claimed = { key: job.key, id: job.id, job }
      await attend(runner as unknown as Runner, claimed, record, script).ended
      assert.deepEqual([causes(site, job), site.waiting()], [[cause], [job.key]])
    }))
