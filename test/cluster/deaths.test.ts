/** Runners and allocations that end before their jobs do, each in another way. Nothing here disturbs the cluster itself. */
import assert from 'node:assert/strict'
import { existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, it } from 'node:test'
import { countsItself } from '../judge/run-log.ts'
import { until } from '../support/world.ts'
import { Told } from './faulty-lab.ts'
import { asAccount, Lab, type LabOptions, theCluster } from './lab.ts'

const labs: Lab[] = []
function lab(options: LabOptions = {}): { place: Lab; told: Told } {
  const place = new Lab(options)
  labs.push(place)
  return { place, told: new Told(place) }
}

/** The one runner at work. */
function runnerOf(place: Lab): number {
  const [pid, ...more] = place.runners()
  assert.ok(pid !== undefined && more.length === 0, `${pid} ${more.join(' ')}`)
  return pid
}

/** By its scripts that go on, a dead runner still looks like one at work beside its successor. */
const withScriptsOfTheDead = 2

async function ends(place: Lab, id: string): Promise<void> {
  await until(`the end of allocation ${id}`, async () => !(await place.live()).some((one) => one.id === id), 120_000)
}

theCluster('runners that die', { concurrency: 5 }, () => {
  after(async () => {
    for (const each of labs) await each.end()
  })

  // the two that take a minute come first, so that they run side by side
  it('P-HB-18: a bad module line: three failed starts, then back-off and no crash loop; no job is lost, and none is burnt', async () => {
    const lane = (preflight: string) => `{queue: general, memory: 256M, time: 1h, preflight: "${preflight}"}`
    const { place, told } = lab({ lane: lane('module load cuda/99.9') })
    for (const n of ['a', 'b']) told.drop(n)
    for (let start = 1; start <= 3; start++) {
      assert.equal((await place.look()).sites[0].lanes[0].action, 'submitted')
      await place.drained()
    }
    for (let pass = 1; pass <= 5; pass++) {
      const [tried] = (await place.look()).sites[0].lanes
      assert.equal(tried.action, 'back-off')
      assert.match(
        tried.trouble,
        /3 runners in a row failed to start: preflight failed on \S+ with 127: .*module: command not found.*next try in \d+ s/,
      )
    }
    assert.equal(place.submissions(), 3)
    assert.equal((await place.allocations()).length, 3)
    for (const n of ['a', 'b']) assert.deepEqual(told.starts(n), [])
    // the next try comes when the minute is over
    writeFileSync(place.configFile, place.config({ lane: lane('true') }))
    for (const n of ['a', 'b']) {
      await place.finish(n)
      assert.equal(place.finished(n).job.attempts, 1)
    }
    assert.equal(place.submissions(), 4)
    await told.judge()
  })

  it('P-HB-21: walltime with one job running and three waiting: none of those is begun too late, the one is counted, all run in the next allocation', async () => {
    const { place, told } = lab({ lane: '{queue: general, memory: 256M, time: 1m, margin: 50s}' })
    const waiting = ['b', 'c', 'd']
    told.drop('a', 'a', { waits: true })
    await place.tick()
    await told.started('a')
    const { id } = await place.allocation('RUNNING')
    for (const n of waiting) told.drop(n)
    await place.tick()
    await ends(place, id)
    assert.deepEqual([told.starts('a').length, told.ends('a')], [1, 0])
    for (const n of waiting) assert.deepEqual(told.starts(n), [], `${n} was begun in an allocation without time`)
    told.go()
    for (const n of ['a', ...waiting]) await place.finish(n)
    const { job } = place.finished('a')
    assert.equal(job.attempts, 2, JSON.stringify(job))
    assert.match(JSON.stringify(job.history), /attempt 1 on \S+ in \S+: walltime/)
    assert.equal((await place.allocations()).length, 2)
    for (const n of waiting) assert.deepEqual(place.runnersOf(n), [place.runnersOf('a')[1]])
    await told.judge()
  })

  for (const [how, words] of [
    ['TERM to its batch script only', ['--batch', '--signal=TERM']],
    ['TERM to all its processes', ['--full', '--signal=TERM']],
    ['KILL to all its processes', ['--full', '--signal=KILL']],
  ] as const) {
    it(`P-HB-21: an allocation cancelled with ${how}: its job is run once more, by another runner, after the first start is gone`, async () => {
      const { place, told } = lab()
      told.drop('a', 'a', { waits: true })
      await place.tick()
      await told.started('a')
      const { id } = await place.allocation('RUNNING')
      const ran = await asAccount(['scancel', ...words, id])
      assert.equal(ran.code, 0, ran.stderr)
      await ends(place, id)
      await until('a second start', async () => {
        await place.tick()
        return told.starts('a').length === 2
      })
      told.go()
      await place.finish('a')
      assert.deepEqual([told.starts('a').length, told.ends('a')], [2, 1])
      assert.equal(new Set(place.runnersOf('a')).size, 2)
      assert.equal((await place.allocations()).length, 2)
      await told.judge()
    })
  }

  // Each limit is 1 where the cause must not be counted: counted there, the job would be aborted instead of run once more.
  for (const [what, cause, lane, limits, act] of [
    [
      'reaches its walltime',
      'walltime',
      '{queue: general, memory: 256M, time: 1m, margin: 50s}',
      'max_interruptions',
      async () => {},
    ],
    [
      'is cancelled',
      'interrupted',
      '{queue: general, memory: 256M, time: 1h}',
      'max_attempts',
      (id: string) => asAccount(['scancel', '--full', '--signal=KILL', id]),
    ],
    [
      'is preempted',
      'preempted',
      '{queue: dl, gres: "gpu:v100:1", memory: 256M, time: 1h}',
      'max_attempts',
      () => asAccount(['sbatch', '-p', 'urgent', '--gres=gpu:v100:1', '-o', '/dev/null', '--wrap', 'true']),
    ],
  ] as const)
    it(`P-HB-21 promise 3: an allocation that ${what}, whose runner is killed before any warning: its job is told "${cause}" and used up none of ${limits}`, async () => {
      const { place, told } = lab({ lane })
      told.drop('a', 'a', { waits: true, more: `${limits}: 1\n` })
      await place.tick()
      await told.started('a')
      const { id } = await place.allocation('RUNNING')
      const goOn = killUnseen(runnerOf(place), told.starts('a')[0]!)
      try {
        assert.equal((await act(id))?.code ?? 0, 0)
        await until(
          `allocation ${id} to be ended`,
          async () => (await place.live()).some((one) => one.id === id && one.state === 'COMPLETING'),
          120_000,
        )
      } finally {
        goOn()
      }
      await ends(place, id)
      told.go()
      await place.finish('a')
      const { job } = place.finished('a')
      assert.deepEqual([job.status, job.attempts], ['ok', 2], JSON.stringify(job))
      assert.match(JSON.stringify(job.history), new RegExp(`attempt 1 on \\S+ in \\S+: ${cause}"`))
      await told.judge()
    })

  it('P-HB-21 promise 3: a runner killed with all it started in an allocation that nobody ended: that is counted against its job', async () => {
    const { place, told } = lab()
    told.drop('a', 'a', { waits: true, more: 'max_interruptions: 1\n' })
    await place.tick()
    await told.started('a')
    const { id } = await place.allocation('RUNNING')
    killAll(runnerOf(place), told.starts('a')[0]!)
    await ends(place, id)
    told.go()
    await place.finish('a')
    const { job } = place.finished('a')
    assert.deepEqual([job.status, job.attempts], ['ok', 2], JSON.stringify(job))
    assert.match(JSON.stringify(job.history), /attempt 1 on \S+ in \S+: died-alone"/)
    await told.judge()
  })

  it('P-HB-21: hpc_runner killed with -9 while three jobs run: they go on beside its successor, which begins none of them again', async () => {
    const { place, told } = lab({ lane: '{queue: general, memory: 256M, time: 1h, slots: 3}' })
    const names = ['a', 'b', 'c']
    for (const n of names) told.drop(n, n, { waits: true })
    await place.tick()
    for (const n of names) await told.started(n)
    const { id } = await place.allocation('RUNNING')
    told.drop('late')
    process.kill(runnerOf(place), 'SIGKILL')
    await ends(place, id)
    // another runner has come, worked, and could have begun them again
    await place.finish('late')
    assert.equal(place.runnerIds().length, 2)
    for (const n of names) assert.deepEqual([told.starts(n).length, told.ends(n)], [1, 0], n)
    told.go()
    for (const n of names) await place.finish(n)
    for (const n of names) assert.deepEqual([told.starts(n).length, told.ends(n)], [1, 1], n)
    await told.judge({ maxRunners: withScriptsOfTheDead })
  })

  it('P-HB-21: hpc_runner killed by the kernel for want of memory: its job goes on, is not begun again, and counts', async () => {
    // A real memory cgroup around runner and job (Slurm here has no task/cgroup, so its own state is FAILED, not OUT_OF_MEMORY). The kernel is
    // told to take the runner first: by size it would take the job.
    const { place, told } = lab()
    const eat = join(told.dir, 'eat')
    place.template(
      'hungry',
      `#!/bin/bash
${countsItself('h', `${told.dir}/runs`)}
echo "$$" >>${told.dir}/starts.h
until [ -e ${eat} ]; do sleep 0.1; done
tail /dev/zero
echo "$?" >${told.dir}/eaten
until [ -e ${told.dir}/go ]; do sleep 0.1; done
`,
    )
    place.drop('h', 'script: hungry\n')
    await place.tick()
    await told.started('h')
    const { id } = await place.allocation('RUNNING')
    const runner = runnerOf(place)
    const cgroup = memoryCgroup(`hpc-batch-${process.pid}`, 64 * 1024 * 1024)
    try {
      for (const pid of [runner, told.starts('h')[0]!]) cgroup.add(pid)
      writeFileSync(`/proc/${runner}/oom_score_adj`, '1000')
      writeFileSync(eat, '')
      await ends(place, id)
      assert.ok(!place.runners().includes(runner))
      await until('the kernel to take what ate', () => existsSync(join(told.dir, 'eaten')))
      told.drop('late')
      await place.finish('late')
      writeFileSync(join(told.dir, 'go'), '')
      await place.finish('h')
    } finally {
      await cgroup.end()
    }
    const { job } = place.finished('h')
    assert.deepEqual([job.status, job.rc, job.attempts], ['ok', 0, 1], JSON.stringify(job))
    assert.equal(told.starts('h').length, 1)
    const end = { status: 'ok', state: 'done', rc: 0, outputs: {} } as const
    told.jobs.set('h', { dropbox: place.dropbox, name: 'h', ends: [end] })
    await told.judge({ maxRunners: withScriptsOfTheDead })
  })
})

function parentOf(pid: number): number {
  return Number(/^PPid:\s+(\d+)$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1])
}

/** Kills the runner and the script that it runs, with all between the two (who starts a script would tell of its end), parents first. */
function killAll(runner: number, script: number): void {
  const pids = [script]
  for (let pid = parentOf(script); pid > 1 && pid !== runner && pid !== parentOf(runner); pid = parentOf(pid))
    pids.unshift(pid)
  for (const pid of [runner, ...pids]) process.kill(pid, 'SIGKILL')
}

/**
 * The same while the slurmstepd above them stands still: nobody hears of it, and when the allocation is ended TERM finds nobody. Gives what lets
 * slurmstepd go on.
 */
function killUnseen(runner: number, script: number): () => void {
  const stepd = parentOf(runner)
  assert.match(readFileSync(`/proc/${stepd}/comm`, 'utf8'), /^slurmstepd/)
  process.kill(stepd, 'SIGSTOP')
  killAll(runner, script)
  return () => process.kill(stepd, 'SIGCONT')
}

/** A memory limit of the kernel's, cgroup v2 or v1. */
function memoryCgroup(name: string, bytes: number): { add(pid: number): void; end(): Promise<void> } {
  const v2 = existsSync('/sys/fs/cgroup/cgroup.controllers')
  const dir = join('/sys/fs/cgroup', ...(v2 ? [] : ['memory']), name)
  mkdirSync(dir)
  writeFileSync(join(dir, v2 ? 'memory.max' : 'memory.limit_in_bytes'), String(bytes))
  return {
    add: (pid) => writeFileSync(join(dir, 'cgroup.procs'), String(pid)),
    end: () =>
      until('an empty cgroup', () => {
        try {
          rmdirSync(dir)
          return true
        } catch {
          return false
        }
      }),
  }
}
