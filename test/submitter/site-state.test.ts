import assert from 'node:assert/strict'
import { test } from 'node:test'
import { hasExpired } from '../../submitter/expire.ts'
import { afterFailure, restMs, type SiteState } from '../../submitter/site-state.ts'

const at = (ms: number, bootId = 'boot') => ({ bootId, ms })
const well: SiteState = { failingMs: 100, failures: 0 }

test('afterFailure() adds the time since the last try, at most ten minutes, and nothing for the first one', () => {
  const first = afterFailure(well, 'no route', at(0))
  assert.deepEqual([first.failingMs, first.failures, first.trouble, first.failingSinceMs], [100, 1, 'no route', 100])
  const second = afterFailure(first, 'no route', at(60_000))
  assert.deepEqual([second.failingMs, second.failures, second.failingSinceMs], [60_100, 2, 100])
  const later = afterFailure(second, 'no route', at(60_000 + 3_600_000))
  assert.equal(later.failingMs, 660_100, 'a gateway that was off for an hour did not wait for an hour')
})

test('afterFailure() counts a minute when the machine was restarted in between, and never backwards', () => {
  const first = afterFailure(well, 'x', at(5_000_000))
  assert.equal(afterFailure(first, 'x', at(10, 'next')).failingMs, 60_100)
  assert.equal(afterFailure(first, 'x', at(0)).failingMs, 100)
})

test('restMs() is none for five failures, then 30 s, doubled up to ten minutes', () => {
  const state = (failures: number): SiteState => ({ failingMs: 0, failures, lastTry: at(0) })
  assert.deepEqual(
    [0, 1, 4].map((failures) => restMs(state(failures), at(0))),
    [0, 0, 0],
  )
  assert.deepEqual(
    [5, 6, 7, 9, 10, 50].map((failures) => restMs(state(failures), at(0))),
    [30_000, 60_000, 120_000, 480_000, 600_000, 600_000],
  )
  assert.equal(restMs(state(5), at(29_999)), 1)
  assert.equal(restMs(state(5), at(30_001)), 0)
  assert.equal(restMs(state(50), at(0, 'next')), 0, 'after a restart it is tried at once')
})

test('hasExpired() counts from what the failing time was at acceptance', () => {
  assert.equal(hasExpired(1_000, 0, 1_000), false)
  assert.equal(hasExpired(1_001, 0, 1_000), true)
  assert.equal(hasExpired(1_001, 500, 1_000), false)
  assert.equal(hasExpired(1_001, undefined, 1_000), true)
})
