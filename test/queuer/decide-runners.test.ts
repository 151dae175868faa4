import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { LaneHealth } from '../../contract/spool-records.ts'
import {
  decideRunners,
  goodHealth,
  healthAfterStart,
  lookAtBackOff,
  lookAtRunner,
  type RunnerSight,
  restOfBackOff,
} from '../../queuer/decide-runners.ts'

const at = (ms: number, bootId = 'boot') => ({ bootId, ms })
const certain = { certain: true, value: [] } as const

describe('decideRunners()', () => {
  const lane = {
    waiting: 1,
    running: 0,
    maxRunners: 1,
    queue: certain,
    counted: 0,
    allocations: 0,
    allocationLimit: null,
    unsettled: false,
    health: undefined,
    restMs: 0,
  }
  const table: [string, Partial<Parameters<typeof decideRunners>[0]>, string, RegExp?][] = [
    ['submits for one waiting job', {}, 'submit'],
    ['submits nothing without work', { waiting: 0 }, 'none'],
    [
      'HB-19: submits nothing when the queue cannot be read',
      { queue: { certain: false, why: 'timed out' } },
      'waiting',
      /timed out/,
    ],
    ['HB-19: submits nothing when a runner is there', { counted: 1 }, 'none'],
    ['submits a second one when it may, and the first is busy', { counted: 1, running: 1, maxRunners: 2 }, 'submit'],
    ['submits no second one for one job', { counted: 1, maxRunners: 2 }, 'none'],
    ['submits none beyond max_runners', { counted: 2, waiting: 9, maxRunners: 2 }, 'none'],
    [
      'promise 4: submits nothing while a submission is unsettled',
      { unsettled: true },
      'waiting',
      /two certain answers a minute apart/,
    ],
    ['submits nothing at the limit of allocations', { allocations: 4, allocationLimit: 4 }, 'waiting', /limit of 4/],
    ['submits below the limit', { allocations: 3, allocationLimit: 4 }, 'submit'],
    [
      'waits for the back-off to end, with the reason',
      { restMs: 1500, health: { ...goodHealth(at(0)), failedStarts: 3, reason: 'no node' } },
      'back-off',
      /3 runners in a row .*no node; next try in 2 s/,
    ],
    [
      'unknown is not absent, even when nothing is counted',
      { queue: { certain: false, why: 'x' }, counted: 0, waiting: 50 },
      'waiting',
    ],
  ]
  for (const [name, more, action, why] of table) {
    test(name, () => {
      const decision = decideRunners({ ...lane, ...more })
      assert.equal(decision.action, action)
      if (why !== undefined) assert.match('why' in decision ? decision.why : '', why)
    })
  }
})

test('section 8: three failed starts in a row back off, 1 min to 1 h; one good start forgives all', () => {
  let health: LaneHealth | undefined
  const waits: number[] = []
  for (let failure = 0; failure < 11; failure++) {
    health = healthAfterStart(health, 'bad node', at(failure))
    waits.push(health.backOffMs / 60_000)
  }
  assert.deepEqual(waits, [0, 0, 1, 2, 4, 8, 16, 32, 60, 60, 60])
  assert.deepEqual([health?.failedStarts, health?.reason], [11, 'bad node'])
  assert.deepEqual(healthAfterStart(health, undefined, at(5)), goodHealth(at(5)))
})

test('the back-off is measured by each gateway for itself, and anew after a boot or another failure', () => {
  const health = { ...goodHealth(at(100, 'gateway a')), failedStarts: 3, backOffMs: 60_000 }
  const own = lookAtBackOff(undefined, health, at(5_000, 'gateway b'))
  assert.equal(restOfBackOff(own, health, at(5_000, 'gateway b')), 60_000)
  assert.equal(
    restOfBackOff(lookAtBackOff(own, health, at(45_000, 'gateway b')), health, at(45_000, 'gateway b')),
    20_000,
  )
  assert.equal(restOfBackOff(own, health, at(99_000, 'gateway b')), 0)
  const rebooted = lookAtBackOff(own, health, at(10, 'another boot'))
  assert.equal(restOfBackOff(rebooted, health, at(10, 'another boot')), 60_000)
  const again = { ...health, since: at(90_000, 'gateway a') }
  assert.deepEqual(lookAtBackOff(own, again, at(99_000, 'gateway b')).since, at(99_000, 'gateway b'))
})

describe('lookAtRunner()', () => {
  const looks = (steps: readonly [beat: number, live: boolean | undefined, ms: number, boot?: string][]) => {
    let sight: RunnerSight | undefined
    return steps.map(([beat, live, ms, boot]) => {
      const look = lookAtRunner(sight, beat, live, at(ms, boot))
      sight = look.sight
      return look.verdict
    })
  }
  test('promise 4: dead only when twice certainly absent and still for 300 s', () => {
    assert.deepEqual(
      looks([
        [1, true, 0],
        [1, false, 200_000],
        [1, false, 299_999],
        [1, false, 300_000],
      ]),
      ['alive', 'alive', 'alive', 'dead'],
    )
    assert.deepEqual(
      looks([
        [1, true, 0],
        [1, false, 400_000],
        [1, true, 500_000],
        [1, false, 600_000],
      ]),
      ['alive', 'alive', 'alive', 'alive'],
    )
  })
  test('promise 4: a beat, whatever the scheduler says, is life', () => {
    assert.deepEqual(
      looks([
        [1, false, 0],
        [2, false, 400_000],
        [3, false, 800_000],
      ]),
      ['alive', 'alive', 'alive'],
    )
  })
  test('promise 4: an answer that is not certain is no absence', () => {
    assert.deepEqual(
      looks([
        [1, undefined, 0],
        [1, undefined, 400_000],
        [1, false, 500_000],
        [1, undefined, 600_000],
      ]),
      ['alive', 'alive', 'alive', 'alive'],
    )
  })
  test('times of two boots are not compared', () => {
    assert.deepEqual(
      looks([
        [1, false, 0],
        [1, false, 900_000, 'other'],
        [1, false, 950_000, 'other'],
      ]),
      ['alive', 'alive', 'alive'],
    )
  })
  test('silent for 15 minutes but running: cancelled once', () => {
    assert.deepEqual(
      looks([
        [1, true, 0],
        [1, true, 899_999],
        [1, true, 900_000],
        [1, true, 960_000],
      ]),
      ['alive', 'alive', 'silent', 'alive'],
    )
  })
})
