/**
 * `npm run simulate -- --seeds N [--seed S] [--seconds T] [--calm] [--trace]`: runs schedules and says which promises they broke.
 * `npm run simulate -- --mutants [--seeds N] [--only WORD]`: breaks the code on purpose, one care at a time, and says after how many schedules
 * it was noticed.
 */
import { hunt, mutants } from './mutants.ts'
import { buildPrograms } from './programs.ts'
import { runSchedule } from './schedule.ts'
import { Death } from './task.ts'

function option(name: string): number | undefined {
  const at = process.argv.indexOf(`--${name}`)
  return at < 0 ? undefined : Number(process.argv[at + 1])
}

const flag = (name: string) => process.argv.includes(`--${name}`)

const stray: string[] = []
// the dead go on for a moment, and nobody listens to them
process.on('unhandledRejection', (error) => {
  if (error instanceof Death) return
  stray.push(error instanceof Error ? (error.stack ?? error.message) : String(error))
})

// thousands of errors are thrown that are answers (no such file), and nobody reads where
if (!flag('trace')) Error.stackTraceLimit = 0

const seeds = option('seeds') ?? (flag('mutants') ? 1000 : 1)
const first = option('seed') ?? 1

if (flag('mutants')) {
  const at = process.argv.indexOf('--only')
  const wanted = mutants.filter(({ name }) => at < 0 || name.includes(process.argv[at + 1] ?? ''))
  let found = 0
  for (const mutant of wanted) {
    const { seeds: after, broken } = await hunt(mutant, first, seeds, () =>
      stray.splice(0).map((text) => `a rejection nobody heard: ${text}`),
    )
    if (broken !== undefined) found += 1
    const how = broken === undefined ? `NOT found in ${after} seeds` : `found after ${after} seeds`
    console.log(`${how.padEnd(26)} ${mutant.name}${broken === undefined ? '' : ` (${broken.slice(0, 120)})`}`)
  }
  console.log(`mutants found      ${found} of ${wanted.length}`)
  process.exit(found === wanted.length ? 0 : 1)
}

const programs = await buildPrograms()
const injected = new Map<string, number>()
let broken = 0
const trace = flag('trace') ? (line: string) => console.log(line) : undefined
const began = performance.now()
const limitMs = (option('seconds') ?? Number.POSITIVE_INFINITY) * 1000
let run = 0
for (let seed = first; seed < first + seeds && performance.now() - began < limitMs; seed++) {
  run += 1
  const outcome = await runSchedule(seed, programs, {
    faults: !flag('calm'),
    ...(trace === undefined ? {} : { trace }),
  })
  for (const [kind, count] of outcome.injected) injected.set(kind, (injected.get(kind) ?? 0) + count)
  // nobody waited for it: in a process of its own this would have been its end
  outcome.broken.push(...stray.splice(0).map((text) => `a rejection nobody heard: ${text}`))
  broken += outcome.broken.length
  for (const text of outcome.broken) console.log(`seed ${seed}: ${text}`)
  if (seeds === 1) console.log(JSON.stringify({ ...outcome, injected: undefined }))
}
const faults = [...injected].sort(([a], [b]) => (a < b ? -1 : 1))
console.log(
  `schedules run      ${run} (seeds ${first} to ${first + run - 1}, ${((performance.now() - began) / 1000).toFixed(1)} s)`,
)
console.log(`faults injected    ${faults.reduce((sum, [, count]) => sum + count, 0)}`)
for (const [kind, count] of faults) console.log(`  ${String(count).padStart(7)}  ${kind}`)
console.log(`promises broken    ${broken}`)
process.exit(broken === 0 ? 0 : 1)
