/** A short chaos run; `npm run chaos` is the long one. */
import assert from 'node:assert/strict'
import { it } from 'node:test'
import { runChaos } from '../chaos/chaos.ts'
import { theCluster } from './lab.ts'

/** Fixed, so that a change is not held up by another one's bad luck; the long run goes through many. */
const seed = 4

theCluster('chaos', {}, () => {
  it('forty jobs through ssh and Slurm while faults strike every two seconds: no promise is broken', async (t) => {
    const { broken, figures, log } = await runChaos(seed, {
      jobs: 40,
      seconds: 25,
      faultEverySeconds: 2,
      longOutages: false,
    })
    t.diagnostic(JSON.stringify(figures))
    assert.deepEqual(broken, [], `see ${log}`)
    assert.equal(figures.results, 40)
    const struck = Object.values(figures.faults).reduce((sum, count) => sum + count, 0)
    assert.ok(struck >= 8, `only ${struck} faults found something to strike`)
  })
})
