/**
 * `npm run soak`: what the programs hold under load, in three runs that can be chosen by name. Samples memory and descriptors, looks for
 * what is left behind, prints the figures, and ends with 1 when a promise is broken.
 */
import { parseArgs } from 'node:util'
import { drop } from './drop.ts'
import { hour } from './hour.ts'
import { outstanding } from './outstanding.ts'

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    jobs: { type: 'string' },
    drops: { type: 'string', default: '60' },
    seconds: { type: 'string', default: '5' },
  },
})

const runs = {
  drop: () => drop(Number(values.jobs ?? 10_000)),
  hour: () =>
    hour({
      drops: Number(values.drops),
      jobsPerDrop: Number(values.jobs ?? 40),
      secondsPerDrop: Number(values.seconds),
    }),
  outstanding: () => outstanding(Number(values.jobs ?? 100_000), 2_000),
}
type Name = keyof typeof runs

const wanted = positionals.length > 0 ? positionals : Object.keys(runs)
const unknown = wanted.filter((name) => !Object.hasOwn(runs, name))
if (unknown.length > 0) {
  console.error(`There is no run "${unknown.join('", "')}"; there are ${Object.keys(runs).join(', ')}`)
  process.exit(64)
}
let broken = 0
for (const name of wanted as Name[]) {
  console.log(`\n== ${name} ==`)
  for (const each of await runs[name]()) {
    broken += 1
    console.log(`BROKEN: ${each}`)
  }
}
console.log(`\npromises broken: ${broken}`)
process.exit(broken === 0 ? 0 : 1)
