import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { EndCause } from '../../contract/spool-records.ts'
import { atLimit, chooseByLook, chooseForJob, fits, type JobSight } from '../../runner/choose-job.ts'
import { fittingEnvironment, gpusOfSlot, siteEnvironment, visibleGpus } from '../../runner/job-environment.ts'
import type { Attempt } from '../../spool/attempt.ts'
import { Site } from '../support/site.ts'

const site = new Site()
const job = site.record({ maxAttempts: 3, maxInterruptions: 4 })
await site.end()

const exit = { rc: 0, startUptimeMs: 0, endUptimeMs: 1 }
function attempt(
  number: number,
  more: { cause?: EndCause; exit?: boolean; signal?: 9 | 11 | 15; empty?: boolean; fence?: 'cancelled' } = {},
): Attempt {
  const record = {
    nonce: 'n',
    attempt: number,
    runner: 'lane~1.0.n',
    node: 'node7',
    bootId: 'b',
    startedAt: '',
    uptimeMs: 0,
    ...(more.fence === undefined ? {} : { fence: more.fence }),
  }
  return {
    number,
    record: more.empty === true ? undefined : record,
    end: more.cause === undefined ? undefined : { cause: more.cause, at: '', by: '' },
    exit: more.signal !== undefined ? { ...exit, rc: -more.signal } : more.exit === true ? exit : undefined,
  }
}

describe('chooseForJob()', () => {
  const alive = { hasEnded: () => false, livesHere: () => false }
  const dead = { hasEnded: () => true, livesHere: () => false }
  const here = { hasEnded: () => true, livesHere: () => true }
  const table: [string, readonly Attempt[], Omit<JobSight, 'hasResult' | 'attempts'>, object][] = [
    ['starts a job that was never started', [], alive, { do: 'run', attempt: 1, alone: false, unended: false }],
    ['leaves one whose runner is not known to be dead', [attempt(1)], alive, { do: 'drop' }],
    [
      'adopts one whose script outlived its runner here',
      [attempt(1)],
      here,
      { do: 'adopt', attempt: attempt(1).record },
    ],
    [
      'promise 3: ends what an interrupted one left here, first',
      [attempt(1, { cause: 'interrupted' })],
      here,
      { do: 'stop', attempt: attempt(1).record },
    ],
    [
      'runs again one that died, and gives it its end',
      [attempt(1)],
      dead,
      { do: 'run', attempt: 2, alone: false, unended: true },
    ],
    [
      'runs again one that was interrupted',
      [attempt(1, { cause: 'interrupted' })],
      alive,
      { do: 'run', attempt: 2, alone: false, unended: false },
    ],
    [
      'runs alone one that died together with others',
      [attempt(1, { cause: 'died-together' })],
      alive,
      { do: 'run', attempt: 2, alone: true, unended: false },
    ],
    [
      'promise 3: finishes one that has an exit, whoever started it',
      [attempt(1, { exit: true })],
      alive,
      { do: 'finish', attempt: attempt(1).record, exit },
    ],
    [
      'promise 3: finishes one given up for dead that has an exit',
      [attempt(1, { exit: true, cause: 'died-alone' })],
      dead,
      { do: 'finish', attempt: attempt(1).record, exit },
    ],
    [
      'does not count the exit of an interrupted script',
      [attempt(1, { exit: true, cause: 'interrupted' })],
      dead,
      { do: 'run', attempt: 2, alone: false, unended: false },
    ],
    [
      'does not count the exit of one ended with the walltime',
      [attempt(1, { exit: true, cause: 'walltime' })],
      dead,
      { do: 'run', attempt: 2, alone: false, unended: false },
    ],
    [
      'promise 3: runs again a script that TERM ended while its runner, now dead, could not say whose it was',
      [attempt(1, { signal: 15 })],
      dead,
      { do: 'run', attempt: 2, alone: false, unended: true },
    ],
    ['leaves one that KILL ended to its runner, which may live', [attempt(1, { signal: 9 })], alive, { do: 'drop' }],
    [
      'runs again one that TERM ended and that was given up for dead',
      [attempt(1, { signal: 15, cause: 'died-together' })],
      dead,
      { do: 'run', attempt: 2, alone: true, unended: false },
    ],
    [
      'finishes one that a signal of its own ended',
      [attempt(1, { signal: 11 })],
      dead,
      { do: 'finish', attempt: attempt(1).record, exit: { ...exit, rc: -11 } },
    ],
    [
      'goes past a number whose taker died before writing it',
      [attempt(1, { empty: true })],
      alive,
      { do: 'run', attempt: 2, alone: false, unended: true },
    ],
    [
      'carries a fence through',
      [attempt(1, { fence: 'cancelled' })],
      alive,
      { do: 'finish-fenced', fence: attempt(1, { fence: 'cancelled' }).record },
    ],
  ]
  for (const [name, attempts, sight, expected] of table) {
    test(name, () => assert.deepEqual(chooseForJob(job, { hasResult: false, attempts, ...sight }), expected))
  }
  test('hands over one that has a result, whatever its attempts say', () => {
    assert.deepEqual(chooseForJob(job, { hasResult: true, attempts: [attempt(1)], ...alive }), { do: 'hand-over' })
  })
  test('aborts one at its limit, or too long for the lane', () => {
    const attempts = [1, 2, 3].map((n) => attempt(n, { cause: 'died-alone' }))
    const choice = chooseForJob(job, { hasResult: false, attempts, ...dead })
    assert.deepEqual([choice.do, 'attempt' in choice && choice.attempt], ['abort', 4])
    const orphaned = [...attempts.slice(0, 2), attempt(3, { signal: 15 })]
    assert.equal(chooseForJob(job, { hasResult: false, attempts: orphaned, ...dead }).do, 'abort')
    assert.equal(chooseForJob({ ...job, timeMs: 2000 }, { hasResult: false, attempts: [], ...dead }, 1000).do, 'abort')
  })
})

test('promise 3: chooseByLook() finishes a job whose script ended between the look at its exit and the look for its processes', () => {
  const gone = { hasResult: false, hasEnded: () => true, livesHere: () => false }
  const sights = [[attempt(1)], [attempt(1, { exit: true })]]
  let looks = 0
  const look = () => ({ ...gone, attempts: sights[looks++] ?? assert.fail() })
  assert.deepEqual(chooseByLook(job, look), { do: 'finish', attempt: attempt(1).record, exit })
  // the last attempt it had: it is not aborted for what it did not do either
  looks = 0
  const last = { ...job, maxAttempts: 1 }
  assert.deepEqual(chooseByLook(last, look), { do: 'finish', attempt: attempt(1).record, exit })
  // one look is enough for what was never started, which is nearly all
  assert.equal(chooseByLook(job, () => ({ ...gone, attempts: looks++ === 2 ? [] : assert.fail() })).do, 'run')
})

test('promise 3: atLimit() counts deaths alone and walltime by max_attempts, the rest by max_interruptions, fences and never started not', () => {
  const limit = (...causes: (EndCause | undefined)[]) =>
    atLimit(
      job,
      causes.map((cause, i) => (cause === undefined ? attempt(i + 1) : attempt(i + 1, { cause }))),
    )
  assert.equal(limit('died-alone', 'walltime'), undefined)
  assert.match(
    limit('died-alone', 'walltime', 'died-alone') ?? '',
    /3 times \(max_attempts\), the last on node node7 in allocation lane~1\.0\.n/,
  )
  assert.match(limit('died-alone', 'died-alone', undefined) ?? '', /max_attempts/)
  assert.match(limit('walltime', 'walltime', 'walltime') ?? '', /did not end within the walltime/)
  assert.equal(limit('interrupted', 'preempted', 'died-together'), undefined)
  assert.match(
    limit('interrupted', 'preempted', 'died-together', 'interrupted') ?? '',
    /interrupted 4 times \(max_interruptions\)/,
  )
  assert.equal(limit('never-started', 'never-started', 'never-started', 'never-started', 'never-started'), undefined)
})

test('promise 7: fits() holds known times against what remains, unknown ones against the margin', () => {
  const lane = { timeMs: 3_600_000, marginMs: 300_000 }
  const table: [number | undefined, number, boolean][] = [
    [60_000, 71_000, true],
    [60_000, 70_000, false],
    [undefined, 300_001, true],
    [undefined, 300_000, false],
    [3_600_000, 3_590_000, true],
    [3_600_000, 3_000_000, false],
  ]
  for (const [timeMs, remaining, expected] of table) {
    assert.equal(fits(timeMs === undefined ? {} : { timeMs }, remaining, lane), expected, `${timeMs} in ${remaining}`)
  }
})

test('section 8: GPUs are shared out over the slots, evenly or not at all', () => {
  const gpus = ['0', '1', '2', '3']
  assert.deepEqual(
    [0, 1].map((slot) => gpusOfSlot(gpus, 2, slot)),
    [
      ['0', '1'],
      ['2', '3'],
    ],
  )
  assert.deepEqual(
    [0, 1, 2, 3, 4, 5, 6, 7].map((slot) => gpusOfSlot(gpus, 8, slot)),
    [['0'], ['1'], ['2'], ['3'], ['0'], ['1'], ['2'], ['3']],
  )
  assert.deepEqual(gpusOfSlot(gpus, 3, 1), gpus)
  assert.deepEqual(gpusOfSlot(gpus, 1, 0), gpus)
  assert.deepEqual(gpusOfSlot([], 2, 0), [])
  assert.deepEqual(visibleGpus({ CUDA_VISIBLE_DEVICES: 'NoDevFiles' }), [])
  assert.deepEqual(visibleGpus({ CUDA_VISIBLE_DEVICES: ' 0, GPU-1 ,' }), ['0', 'GPU-1'])
})

test('promise 8: siteEnvironment() hands on what is allowed and nothing else', () => {
  const given = {
    PATH: '/bin',
    HOME: '/h',
    SLURM_JOB_ID: '7',
    NODE_OPTIONS: '-r x',
    AWS_SECRET: 's',
    LD_PRELOAD: '/x',
    'BASH_FUNC_module%%': '() { :; }',
  }
  assert.deepEqual(Object.keys(siteEnvironment(given)).sort(), ['BASH_FUNC_module%%', 'HOME', 'PATH', 'SLURM_JOB_ID'])
})

test('fittingEnvironment() leaves out what the kernel does not take, and more variables than a shell bears', () => {
  const many = Object.fromEntries(Array.from({ length: 60_000 }, (_, i) => [`HPC_ARG_k${i}`, 'x']))
  assert.equal(Object.keys(fittingEnvironment(many)).length, 4_000)
  assert.deepEqual(fittingEnvironment({ short: 'x', long: 'x'.repeat(130_000) }), { short: 'x' })
})
