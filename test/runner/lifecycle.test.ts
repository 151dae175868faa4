/** Runners that are killed, stopped, interrupted, doubled; each job still runs exactly as often as promised. */
import assert from 'node:assert/strict'
import { readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import type { JobRecord } from '../../contract/spool-records.ts'
import { cancelJob } from '../../queuer/cancel.ts'
import { seatedRunners } from '../../spool/seat.ts'
import { causes, repair, sh, withSite } from '../support/runner-story.ts'
import { lives, names } from '../support/site.ts'
import { until } from '../support/world.ts'

describe('hpc_runner', { concurrency: 2 }, () => {
  test('P-HB-19 promise 4: of two runners forced on a lane one works, each job runs once, the other waits and leaves', () =>
    withSite({}, async (site) => {
      const jobs: JobRecord[] = []
      for (let i = 0; i < 40; i++)
        jobs.push(await site.publish({ template: sh(`echo ${i} >>${site.dir}/counter; sleep 0.02`) }))
      const runners = [site.startRunner(), site.startRunner()]
      await until('a seat to be taken', () => seatedRunners(site.files, site.lane).length === 1)
      await Promise.all(runners.map(({ ended }) => ended))
      const ends = runners.map((runner) => site.runnerEnd(runner))
      assert.deepEqual(ends.map((end) => end?.jobs).sort(), [0, 40])
      assert.deepEqual(
        site
          .lines('counter')
          .map(Number)
          .sort((a, b) => a - b),
        jobs.map((_, i) => i),
      )
      for (const job of jobs) assert.equal(site.attempts(job).length, 1)
    }))

  test('P-WM-03: two runners at work on one queue run each of 300 jobs exactly once', () =>
    withSite({ maxRunners: 2, slots: 2 }, async (site) => {
      const jobs: JobRecord[] = []
      for (let i = 0; i < 300; i++) jobs.push(await site.publish({ template: sh(`echo ${i} >>${site.dir}/counter`) }))
      const runners = [site.startRunner(), site.startRunner()]
      await Promise.all(runners.map(({ ended }) => ended))
      assert.deepEqual(
        site
          .lines('counter')
          .map(Number)
          .sort((a, b) => a - b),
        jobs.map((_, i) => i),
      )
      assert.equal(site.done().length, 300)
      for (const runner of runners) assert.ok((site.runnerEnd(runner)?.jobs ?? 0) > 0, 'both had work')
    }))

  test('promise 3: a script that outlives its killed runner is adopted: never twice side by side, and its exit counts', () =>
    withSite({}, async (site) => {
      const job = await site.publish({
        template: sh(
          `echo run >>${site.dir}/runs; echo $$ >${site.dir}/pid; while ! [ -e ${site.dir}/go ]; do sleep 0.05; done; exit 7`,
        ),
      })
      const runner = site.startRunner()
      const pid = Number(await site.said('pid'))
      runner.process.kill('SIGKILL')
      await runner.ended
      assert.equal(await repair(site), 1)
      assert.equal(site.waiting().length, 1, 'the next runner on this machine gets the key')
      const second = site.startRunner()
      await until('the second runner to hold the key', () => names(site.spool.running(second.id)).length === 1)
      assert.equal(lives(pid), true)
      writeFileSync(join(site.dir, 'go'), '')
      await second.ended
      assert.deepEqual([site.lines('runs'), site.result(job)?.rc, site.result(job)?.attempt], [['run'], 7, 1])
    }))

  test('promise 3: an adopted script keeps its time and can be cancelled', () =>
    withSite({}, async (site) => {
      const start = (name: string) => sh(`echo $$ >${site.dir}/${name}; exec sleep 300`)
      const timed = await site.publish({ template: start('timed'), timeMs: 1500 })
      const runner = site.startRunner()
      const pid = Number(await site.said('timed'))
      runner.process.kill('SIGKILL')
      await runner.ended
      await repair(site)
      const second = site.startRunner()
      await second.ended
      assert.match(site.result(timed)?.message ?? '', /ran longer than its time of 1.5s|ran longer than its time/)
      assert.equal(lives(pid), false)

      const cancelled = await site.publish({ template: start('cancelled') })
      const third = site.startRunner()
      await site.said('cancelled')
      third.process.kill('SIGKILL')
      await third.ended
      await repair(site)
      const how = cancelJob(site.queuer, { type: 'cancel', id: cancelled.id, cause: 'cancelled', why: 'asked to' })
      assert.equal(how, 'requested', 'its script lives: nothing is said to be over')
      await (await site.drain()).ended
      assert.deepEqual([site.result(cancelled)?.state, site.result(cancelled)?.message], ['cancelled', 'asked to'])
      assert.equal(lives(Number(await site.said('cancelled'))), false)
    }))

  test('P-HB-21 promise 3: a job that dies with its runner max_attempts times is aborted, naming node, allocation and its last lines', () =>
    withSite({}, async (site) => {
      const job = await site.publish({
        template: sh(
          `echo "step one"; echo "Bus error" >&2; until kill -9 $(cat ${site.dir}/runner); do sleep 0.02; done; kill -9 $PPID 0`,
        ),
        maxAttempts: 2,
      })
      for (let attempt = 1; attempt <= 2; attempt++) {
        const runner = site.startRunner()
        writeFileSync(join(site.dir, 'runner'), `${runner.pid}`)
        await runner.ended
        await repair(site)
        assert.equal(site.result(job), undefined)
        assert.deepEqual(causes(site, job), Array(attempt).fill('died-alone'))
      }
      const last = await site.drain()
      const result = site.result(job)
      assert.equal(result?.state, 'aborted')
      assert.match(
        result?.message ?? '',
        /2 times \(max_attempts\), the last on node \S+ in allocation default-1~\w+\.0\.\w+;.*Its last lines: Bus error$/,
      )
      assert.deepEqual(
        result?.attempts.map(({ cause }) => cause),
        ['died-alone', 'died-alone'],
      )
      assert.equal(site.runnerEnd(last)?.how, 'drained')
    }))

  test('P-HB-22 promise 3: a job whose runner was told to end is back in the queue at once, and a successor runs it anew', () =>
    withSite({}, async (site) => {
      const job = await site.publish({
        template: sh(`echo run >>${site.dir}/runs; ls output >>${site.dir}/left; echo 1 >output/o
          if [ $(wc -l <${site.dir}/runs) = 1 ]; then trap '' TERM; echo $$ >${site.dir}/pid; while :; do sleep 0.1; done; fi`),
        inputs: { in: 'content' },
        outputs: ['o'],
      })
      const runner = site.startRunner()
      await site.said('pid')
      runner.process.kill('SIGTERM')
      await runner.ended
      assert.equal(site.runnerEnd(runner)?.how, 'signal')
      assert.deepEqual([site.waiting().length, causes(site, job)], [1, ['interrupted']])
      assert.equal(lives(Number(await site.said('pid'))), false, 'a script that ignores TERM is killed')
      await site.drain()
      assert.deepEqual([site.result(job)?.rc, site.result(job)?.attempt, site.lines('runs').length], [0, 2, 2])
      assert.equal(readFileSync(join(site.dir, 'left'), 'utf8'), '', 'output/ is empty at each start')
      assert.equal(readFileSync(join(site.spool.workDir(job.id, 2), 'in'), 'utf8'), 'content')
    }))

  test('promise 3: what is left of an interrupted script is ended before it runs again, and its late exit does not count', () =>
    withSite({}, async (site) => {
      const job = await site.publish({
        template: sh(
          `echo $$ >>${site.dir}/pids; if [ $(wc -l <${site.dir}/pids) = 1 ]; then while :; do sleep 0.1; done; fi`,
        ),
      })
      const runner = site.startRunner()
      await site.said('pids')
      runner.process.kill('SIGKILL')
      await runner.ended
      // as a runner that was killed in the middle of ending its scripts leaves it
      site.files.createExclusive(
        site.spool.control(job.id).attemptEnd(1),
        JSON.stringify({ cause: 'interrupted', at: '', by: runner.id }),
      )
      await repair(site)
      await site.drain()
      assert.deepEqual([site.result(job)?.attempt, site.result(job)?.rc], [2, 0])
      assert.equal(lives(Number(site.lines('pids')[0])), false)
    }))

  test('an input that is gone or cut before the first attempt ends the job with that; the script is not blamed', () =>
    withSite({}, async (site) => {
      const spoilt = [
        await site.publish({ template: sh('true'), inputs: { in: 'content', other: 'x' } }),
        await site.publish({ template: sh('true'), inputs: { in: 'content' } }),
      ] as const
      const whole = await site.publish({ template: sh('true'), inputs: { in: 'content', empty: '' } })
      rmSync(join(site.spool.workDir(spoilt[0].id, 1), 'input', 'in'))
      truncateSync(join(site.spool.workDir(spoilt[1].id, 1), 'input', 'in'), 3)
      await site.drain()
      assert.match(site.result(spoilt[0])?.message ?? '', /its input "in" is gone \(cleaned away by the site\?\)/)
      assert.match(site.result(spoilt[1])?.message ?? '', /its input "in" has 3 bytes instead of 7/)
      assert.equal(site.result(whole)?.rc, 0)
    }))

  test('an input that a script changed or replaced by a pipe ends the job at its next attempt, and hangs nobody', () =>
    withSite({}, async (site) => {
      const spoil = (how: string, name: string) =>
        site.publish({
          template: sh(`${how}; echo x >${site.dir}/${name}; kill -9 $PPID 0`),
          inputs: { in: 'content' },
        })
      const changed = await spoil('echo more >>input/in', 'a')
      const piped = await spoil('rm input/in; mkfifo input/in', 'b')
      const removed = await spoil('rm -rf input', 'c')
      const after_ = await site.publish({ template: sh('true') })
      await site.drain()
      assert.match(site.result(changed)?.message ?? '', /its input "in" was changed by an earlier attempt/)
      assert.match(site.result(piped)?.message ?? '', /its input "in" was removed or replaced by an earlier attempt/)
      assert.match(site.result(removed)?.message ?? '', /its input "in" was removed or replaced/)
      assert.equal(site.result(after_)?.rc, 0)
    }))

  test('section 8: a script over its time is ended with TERM, then KILL, its setsid children too, with a clear message', () =>
    withSite({ slots: 2 }, async (site) => {
      const job = await site.publish({
        template:
          sh(`setsid sh -c "trap '' TERM; echo \\$\\$ >${site.dir}/child; while :; do sleep 0.2; done" & trap 'echo got TERM; exit 3' TERM
          while :; do sleep 0.1; done`),
        timeMs: 700,
      })
      const other = await site.publish({ template: sh('sleep 1.5; echo unharmed') })
      await site.drain()
      const result = site.result(job)
      assert.match(result?.message ?? '', /^The script ran longer than its time of .* and was ended$/)
      assert.deepEqual([result?.state, site.stdout(job)], ['done', 'got TERM\n'])
      assert.equal(lives(Number(await site.said('child'))), false)
      assert.equal(site.stdout(other), 'unharmed\n')
    }))

  test('cancelling a running job reaches it and no other', () =>
    withSite({ slots: 2 }, async (site) => {
      const job = await site.publish({ template: sh(`echo $$ >${site.dir}/pid; exec sleep 300`) })
      const other = await site.publish({ template: sh('sleep 1; echo fine') })
      const runner = site.startRunner()
      const pid = Number(await site.said('pid'))
      assert.equal(
        cancelJob(site.queuer, { type: 'cancel', id: job.id, cause: 'cancelled', why: 'cancelled by its owner' }),
        'requested',
      )
      await runner.ended
      assert.deepEqual([site.result(job)?.state, site.result(job)?.message], ['cancelled', 'cancelled by its owner'])
      assert.equal(lives(pid), false)
      assert.equal(site.stdout(other), 'fine\n')
    }))

  test('promise 7: known jobs that do not fit are left, one that does is taken; unknown time is not started inside the margin', () =>
    withSite({ timeMs: 60_000, marginMs: 55_000 }, async (site) => {
      const env = { SLURM_JOB_END_TIME: String(Math.round(Date.now() / 1000) + 40) }
      const long = await site.publish({ timeMs: 50_000 })
      const unknown = await site.publish()
      const short = await site.publish({ timeMs: 5_000 })
      const runner = await site.drain(env)
      assert.deepEqual([site.result(long), site.result(unknown), site.result(short)?.rc], [undefined, undefined, 0])
      assert.match(runner.stderr(), /left for the next runner/)
      await site.drain()
      assert.deepEqual([site.result(long)?.rc, site.result(unknown)?.rc], [0, 0], 'a fresh runner takes both')
    }))

  test('P-HB-21: near the end of the walltime a running job is ended and goes back, with that cause', () =>
    withSite({ timeMs: 3_000, marginMs: 100 }, async (site) => {
      const job = await site.publish({ template: sh('exec sleep 300'), maxAttempts: 1 })
      const runner = await site.drain()
      assert.deepEqual(
        [site.runnerEnd(runner)?.how, causes(site, job), site.waiting().length],
        ['walltime', ['walltime'], 1],
      )
      await site.drain()
      assert.match(
        site.result(job)?.message ?? '',
        /did not end within the walltime of its allocation once \(max_attempts\)/,
      )
    }))

  test('a job that no runner of the lane can hold is told so', () =>
    withSite({ timeMs: 60_000 }, async (site) => {
      const job = await site.publish({ timeMs: 120_000 })
      await site.drain()
      assert.equal(site.result(job)?.state, 'aborted')
      assert.match(site.result(job)?.message ?? '', /needs 2m, which exceeds the walltime of its lane, 1m/)
    }))

  test('MI-05: slots run side by side, each with its share of the GPUs; auto is one per GPU', () =>
    withSite({ slots: 'auto' }, async (site) => {
      const jobs: JobRecord[] = []
      // each waits for the other three: it ends only when four run side by side
      for (let i = 0; i < 4; i++) {
        const template = sh(
          `echo $CUDA_VISIBLE_DEVICES >>${site.dir}/gpus; while [ $(wc -l <${site.dir}/gpus) -lt 4 ]; do sleep 0.02; done`,
        )
        jobs.push(await site.publish({ template, timeMs: 20_000 }))
      }
      await site.drain({ CUDA_VISIBLE_DEVICES: '0,1,GPU-c,3' })
      assert.deepEqual(
        jobs.map((job) => site.result(job)?.rc),
        [0, 0, 0, 0],
      )
      assert.deepEqual(site.lines('gpus').sort(), ['0', '1', '3', 'GPU-c'])
    }))

  test('a preflight that fails ends the runner before it claims anything, with the reason', () =>
    withSite({ preflight: 'echo "no GPU here" >&2; exit 3' }, async (site) => {
      await site.publish()
      const runner = await site.drain()
      const end = site.runnerEnd(runner)
      assert.deepEqual([end?.how, end?.jobs, site.waiting().length], ['preflight', 0, 1])
      assert.match(end?.detail ?? '', /preflight failed on \S+ with 3: no GPU here/)
    }))

  test('a preflight that leaves a background process does not hold the runner up', () =>
    withSite({ preflight: 'sleep 5 & true' }, async (site) => {
      const job = await site.publish()
      const started = performance.now()
      await site.drain()
      assert.equal(site.result(job)?.rc, 0)
      assert.ok(performance.now() - started < 4_500)
    }))

  test('HB-23 P-HB-07: a job that arrives while a runner works or lingers is drained by it', () =>
    withSite({ lingerMs: 2_000 }, async (site) => {
      await site.publish({ template: sh(`echo 1 >${site.dir}/started; sleep 0.5`) })
      const runner = site.startRunner()
      await site.said('started')
      const during = await site.publish()
      await site.finished(during)
      const lingering = await site.publish()
      await site.finished(lingering)
      await runner.ended
      assert.equal(site.runnerEnd(runner)?.jobs, 3)
    }))

  test('HB-24 P-HB-06 P-HB-08: an upload that grows is waited for, whatever else is in the listing', () =>
    withSite({}, async (site) => {
      const late = site.record({ inputs: { in: 'abc' } })
      const staged = site.staged(late, { in: 'a' })
      const early = await site.publish()
      const runner = site.startRunner()
      await site.finished(early)
      // longer than any wait without an upload; the runner is still there
      await new Promise((resolve) => setTimeout(resolve, 700))
      assert.equal(lives(runner.pid), true)
      site.files.replace(join(staged, 'job', 'input', 'in'), 'abc')
      const { publishJob } = await import('../../queuer/publish.ts')
      await publishJob(site.queuer, staged, late)
      await runner.ended
      assert.equal(site.runnerEnd(runner)?.jobs, 2)
      assert.equal(site.result(late)?.rc, 0)
    }))

  test('promise 4: a runner whose seat has been taken ends its jobs and leaves, recording nothing', () =>
    withSite({}, async (site) => {
      const job = await site.publish({ template: sh(`echo $$ >${site.dir}/pid; exec sleep 300`) })
      const runner = site.startRunner()
      const pid = Number(await site.said('pid'))
      site.files.createExclusive(
        join(site.lane.seats, '0.2'),
        JSON.stringify({ nonce: 'n', runner: 'default-1~other.0.n' }),
      )
      await runner.ended
      assert.equal(site.runnerEnd(runner)?.how, 'superseded')
      assert.equal(lives(pid), false)
      assert.deepEqual([site.result(job), causes(site, job)], [undefined, [undefined]])
      await repair(site)
      assert.deepEqual([site.waiting().length, causes(site, job)], [1, ['interrupted']])
    }))

  test('promise 4: a runner that stood still and was given up for dead does not go on claiming', () =>
    withSite({}, async (site) => {
      for (let i = 0; i < 3; i++) await site.publish({ template: sh(`echo $$ >>${site.dir}/pids; sleep 1`) })
      const runner = site.startRunner()
      await site.said('pids')
      runner.process.kill('SIGSTOP')
      site.files.createExclusive(`${site.lane.runner(runner.id)}.end`, JSON.stringify({ how: 'dead', at: '', jobs: 0 }))
      await new Promise((resolve) => setTimeout(resolve, 1_200))
      runner.process.kill('SIGCONT')
      await runner.ended
      assert.equal(site.lines('pids').length, 1)
      assert.match(runner.stderr(), /given up for dead/)
    }))

  test('two attempts that died together run one after the other, with nothing beside them', () =>
    withSite({ slots: 2 }, async (site) => {
      const template = sh(
        `n=$(ls ${site.dir} | grep -c run.); echo >${site.dir}/run.$$; echo "$HPC_BATCH_JOB start" >>${site.dir}/log; sleep 0.3; echo "$HPC_BATCH_JOB end" >>${site.dir}/log`,
      )
      const jobs = [await site.publish({ template }), await site.publish({ template })]
      for (const job of jobs) {
        const control = site.spool.control(job.id)
        const record = {
          nonce: 'n',
          attempt: 1,
          runner: 'default-1~1.0.gone',
          node: 'n1',
          bootId: 'b',
          startedAt: new Date().toISOString(),
          uptimeMs: 0,
        }
        site.files.createExclusive(control.attempt(1), JSON.stringify(record))
        site.files.createExclusive(control.attemptEnd(1), JSON.stringify({ cause: 'died-together', at: '', by: '' }))
      }
      await site.drain()
      assert.deepEqual(
        jobs.map((job) => site.result(job)?.rc),
        [0, 0],
      )
      assert.deepEqual(
        site.lines('log').map((line) => line.split(' ')[1]),
        ['start', 'end', 'start', 'end'],
      )
    }))

  test('promise 5: a key whose job is gone does not call for runner after runner', () =>
    withSite({}, async (site) => {
      const record = site.record()
      site.files.createExclusive(join(site.spool.queue(site.shape.lane), record.key), '')
      const job = await site.publish()
      await site.drain()
      assert.deepEqual([site.result(job)?.rc, site.waiting()], [0, []])
    }))
})
