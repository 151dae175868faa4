/**
 * `npm run chaos -- [--seed N] [--seeds N] [--jobs 300] [--seconds 180] [--every 3] [--keep]`: jobs dropped through ssh and Slurm while faults
 * strike at random. The same seed gives the same jobs and faults. Needs the test cluster (`test/cluster/cluster up`) for itself; ends with 1
 * when a promise was broken, and `--keep` then leaves dropboxes and workspace where they are.
 */
import { parseArgs } from 'node:util'
import { cluster, takeTurn, whyNot } from '../cluster/lab.ts'
import { runChaos } from './chaos.ts'

const { values } = parseArgs({
  options: {
    seed: { type: 'string', default: '1' },
    seeds: { type: 'string', default: '1' },
    jobs: { type: 'string', default: '300' },
    seconds: { type: 'string', default: '180' },
    every: { type: 'string', default: '3' },
    keep: { type: 'boolean', default: false },
  },
})
const scale = {
  jobs: Number(values.jobs),
  seconds: Number(values.seconds),
  faultEverySeconds: Number(values.every),
  longOutages: true,
}

const why = whyNot()
if (why !== undefined) {
  console.error(`Cannot run chaos: no cluster here (${why}); bring it up with test/cluster/cluster up`)
  process.exit(69)
}
const over = await takeTurn()
let bad = 0
for (let seed = Number(values.seed); seed < Number(values.seed) + Number(values.seeds); seed += 1) {
  await cluster('up')
  console.log(`seed ${seed}: ${scale.jobs} jobs over ${scale.seconds} s, a fault every ${scale.faultEverySeconds} s`)
  const { broken, figures, log } = await runChaos(seed, scale, { keep: values.keep })
  for (const [name, value] of Object.entries(figures))
    console.log(`  ${name}: ${typeof value === 'object' ? JSON.stringify(value) : value}`)
  for (const sentence of broken) console.log(`  BROKEN: ${sentence}`)
  console.log(`  promises broken: ${broken.length}; log: ${log}`)
  bad += broken.length
}
over()
process.exit(bad === 0 ? 0 : 1)
