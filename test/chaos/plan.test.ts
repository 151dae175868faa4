/** What a chaos run draws from its seed, and what it holds against the programs beside the judge of all suites. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { Run } from '../judge/evidence.ts'
import { faultKinds, jobKinds, planChaos } from './plan.ts'
import { endedOtherwise, judgeTurns } from './verdict.ts'

const scale = { jobs: 300, seconds: 180, faultEverySeconds: 3, longOutages: true }

describe('planChaos()', () => {
  it('gives the same jobs and faults for the same seed, and others for another', () => {
    assert.deepEqual(planChaos(7, scale), planChaos(7, scale))
    assert.notDeepEqual(planChaos(7, scale).jobs, planChaos(8, scale).jobs)
    assert.notDeepEqual(planChaos(7, scale).faults, planChaos(8, scale).faults)
  })

  it('draws every kind of job and of fault, for both gateways and lanes, within its time', () => {
    const { jobs, faults } = planChaos(1, { ...scale, seconds: 600 })
    assert.equal(jobs.length, 300)
    assert.deepEqual(new Set(jobs.map(({ kind }) => kind)), new Set(jobKinds))
    assert.deepEqual(new Set(faults.map(({ kind }) => kind)), new Set(faultKinds))
    assert.deepEqual([...new Set(jobs.map(({ gateway }) => gateway))].sort(), [0, 1])
    assert.equal(new Set(jobs.map(({ name }) => name)).size, 300)
    assert.ok([...jobs, ...faults].every(({ atMs }) => atMs >= 0 && atMs < 600_000))
  })

  it('leaves out what Slurm takes long to recover from where the run is to be short', () => {
    const { faults } = planChaos(1, { ...scale, longOutages: false })
    const kinds = new Set(faults.map(({ kind }) => kind))
    for (const kind of ['restart munged', 'requeue', 'node down', 'kill slurmstepd'] as const)
      assert.ok(!kinds.has(kind), kind)
    assert.ok(faults.every(({ lastsMs }) => lastsMs <= 6_000))
  })
})

const start = (runner: string, startMs: number, lane = 'default'): Run => {
  return { job: 'j', mark: `j.${startMs}`, runner, lane, startMs, told: false }
}

describe('judgeTurns()', () => {
  it('has nothing against runners that work one after the other, lane by lane', () =>
    assert.deepEqual(
      judgeTurns(
        [start('7.0', 1), start('8.0', 1, 'gpu'), start('7.0', 2), start('9.0', 3), start('8.0', 4, 'gpu')],
        1,
      ),
      [],
    ))

  it('names the runners of a lane that work side by side, and counts how many may', () => {
    const runs = [start('7.0', 1), start('9.0', 2), start('7.0', 3)]
    assert.deepEqual(judgeTurns(runs, 1), ['7.0 and 9.0 of default worked side by side at j.2'])
    assert.deepEqual(judgeTurns(runs, 2), [])
  })
})

describe('endedOtherwise()', () => {
  it('gives the attempts that a history calls anything but exited', () => {
    const note = (n: number, cause: string) => ({ note: `attempt ${n} on node in lane~7.0.x: ${cause}` })
    assert.deepEqual(
      [
        ...endedOtherwise([
          {},
          note(1, 'interrupted'),
          note(2, 'died-alone'),
          note(3, 'exited'),
          { note: 'processed OK' },
        ]),
      ],
      [1, 2],
    )
  })
})
