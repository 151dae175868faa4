/** `npm run simulate -- --seeds N [--seed S] [--calm] [--trace]`: runs schedules and says which promises they broke. */
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

const seeds = option('seeds') ?? 1
const first = option('seed') ?? 1
const programs = await buildPrograms()
const injected = new Map<string, number>()
let broken = 0
const trace = flag('trace') ? (line: string) => console.log(line) : undefined
const began = performance.now()
for (let seed = first; seed < first + seeds; seed++) {
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
  `schedules run      ${seeds} (seeds ${first} to ${first + seeds - 1}, ${((performance.now() - began) / 1000).toFixed(1)} s)`,
)
console.log(`faults injected    ${faults.reduce((sum, [, count]) => sum + count, 0)}`)
for (const [kind, count] of faults) console.log(`  ${String(count).padStart(7)}  ${kind}`)
console.log(`promises broken    ${broken}`)
process.exit(broken === 0 ? 0 : 1)
