import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { decideCause, decideEnd, rememberEnd } from '../../queuer/decide-cause.ts'

describe('rememberEnd()', () => {
  test('promise 3: nothing while the books are silent; then the first they tell, which is kept when they have forgotten', () => {
    let ended = rememberEnd(undefined, false, undefined)
    assert.equal(ended, undefined)
    ended = rememberEnd(ended, false, 'preempted')
    assert.equal(rememberEnd(ended, false, undefined), 'preempted')
    // after its end nothing can end it again
    assert.equal(rememberEnd(ended, false, 'cancelled'), 'preempted')
  })

  test('promise 3: a requeue is another start: what ends that one is not said of the start before', () => {
    const ended = rememberEnd(undefined, true, undefined)
    assert.equal(rememberEnd(ended, false, 'cancelled'), 'requeued')
    assert.equal(rememberEnd(undefined, true, 'cancelled'), 'requeued')
  })
})

describe('decideEnd()', () => {
  const saw = (ended?: 'cancelled' | 'preempted' | 'walltime' | 'requeued', cancelled = false) => ({
    cancelled,
    ...(ended === undefined ? {} : { ended }),
  })
  for (const [what, sights, end] of [
    ['nobody saw anything', [saw(), saw()], undefined],
    ['another gateway looked in time', [saw(), saw('cancelled')], 'cancelled'],
    ['all saw the same', [saw('walltime'), saw('walltime')], 'walltime'],
    ['they saw different things', [saw('walltime'), saw('cancelled')], undefined],
    ['it was requeued', [saw('requeued'), saw('cancelled')], undefined],
    ['we cancelled it, silent as it was', [saw('cancelled', true)], undefined],
    ['another gateway cancelled it, silent as it was', [saw('cancelled'), saw(undefined, true)], undefined],
    ['it was preempted, whatever we cancelled', [saw('preempted', true)], 'preempted'],
  ] as const)
    test(`promise 3: what ended an allocation when ${what}: ${end ?? 'unknown'}`, () =>
      assert.equal(decideEnd(sights), end))
})

describe('decideCause()', () => {
  test('promise 3: each way a runner can end has its cause; what the books do not tell counts against the job', () => {
    const cause = (how: Parameters<typeof decideCause>[0]['how'], allocation?: string, together = 1) =>
      decideCause({ how, ...(allocation === undefined ? {} : { allocation }) } as never, together)
    for (const together of [1, 3]) {
      assert.equal(cause('dead', 'cancelled', together), 'interrupted')
      assert.equal(cause('dead', 'preempted', together), 'preempted')
      assert.equal(cause('dead', 'walltime', together), 'walltime')
      assert.equal(cause('signal', undefined, together), 'interrupted')
      assert.equal(cause('walltime', undefined, together), 'walltime')
      // a word of a later version
      assert.equal(cause('dead', 'constructor', together), together > 1 ? 'died-together' : 'died-alone')
    }
    assert.deepEqual([cause('dead'), cause('dead', undefined, 2)], ['died-alone', 'died-together'])
  })
})
