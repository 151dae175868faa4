/**
 * `npm run simulate -- --seeds N [--seed S] [--seconds T] [--calm]`: runs schedules and says which promises they broke. One seed alone
 * can be followed line by line: `--seed S --trace`.
 * `npm run simulate -- --mutants [--seeds N] [--seconds T] [--only WORD]`: breaks the code on purpose, one care at a time, and says which
 * seed noticed it and how.
 */
import { mutants } from './mutants.ts'
import { buildTexts, loadPrograms } from './programs.ts'
import { runSeed } from './worker.ts'
import { runSeeds } from './workers.ts'

function option(name: string): number | undefined {
  const at = process.argv.indexOf(`--${name}`)
  return at < 0 ? undefined : Number(process.argv[at + 1])
}

const flag = (name: string) => process.argv.includes(`--${name}`)
const first = option('seed') ?? 1
const faults = !flag('calm')
const began = performance.now()
const endMs = began + (option('seconds') ?? Number.POSITIVE_INFINITY) * 1000

async function hunt(): Promise<boolean> {
  const at = process.argv.indexOf('--only')
  const wanted = mutants.filter(({ name }) => at < 0 || name.includes(process.argv[at + 1] ?? ''))
  const count = option('seeds') ?? 1000
  let found = 0
  for (const mutant of wanted) {
    const texts = await buildTexts(mutant.changes)
    let noticed: { readonly seed: number; readonly said: string } | undefined
    let run = 0
    const told = ({ seed, broken }: { readonly seed: number; readonly broken: readonly string[] }) => {
      run += 1
      const [said] = broken
      if (said !== undefined) noticed = { seed, said }
      return said === undefined
    }
    await runSeeds({ texts, first, count, endMs, told })
    if (noticed !== undefined) found += 1
    const how =
      noticed === undefined ? `NOT found in ${run} seeds` : `seed ${noticed.seed}: ${noticed.said.slice(0, 140)}`
    console.log(`${mutant.name.padEnd(64)} ${how}`)
  }
  console.log(`mutants found      ${found} of ${wanted.length}`)
  return found === wanted.length
}

/** One schedule, in this process. */
async function follow(): Promise<boolean> {
  const programs = loadPrograms(await buildTexts())
  const trace = flag('trace') ? (line: string) => console.log(line) : undefined
  const { injected, ...outcome } = await runSeed(programs, first, faults, trace)
  report(1, first + 1, [...injected], outcome.broken.length)
  for (const text of outcome.broken) console.log(`seed ${first}: ${text}`)
  console.log(JSON.stringify(outcome))
  return outcome.broken.length === 0
}

async function simulate(count: number): Promise<boolean> {
  const injected = new Map<string, number>()
  const seeds: number[] = []
  let run = 0
  let sentences = 0
  const told = (one: Parameters<Parameters<typeof runSeeds>[0]['told']>[0]) => {
    run += 1
    for (const [kind, times] of one.injected) injected.set(kind, (injected.get(kind) ?? 0) + times)
    for (const text of one.broken) console.log(`seed ${one.seed}: ${text}`)
    sentences += one.broken.length
    if (one.broken.length > 0) seeds.push(one.seed)
    return true
  }
  const end = await runSeeds({ texts: await buildTexts(), first, count, faults, endMs, told })
  report(run, end, [...injected], sentences)
  if (seeds.length > 0) console.log(`seeds to look at   ${seeds.sort((a, b) => a - b).join(' ')}`)
  return sentences === 0
}

function report(run: number, end: number, injected: [string, number][], broken: number): void {
  const seconds = (performance.now() - began) / 1000
  const rate = `${seconds.toFixed(1)} s, ${(run / seconds).toFixed(1)} a second`
  console.log(`schedules run      ${run} (seeds ${first} to ${end - 1}, ${rate})`)
  console.log(`faults injected    ${injected.reduce((sum, [, count]) => sum + count, 0)}`)
  for (const [kind, count] of injected.sort(([a], [b]) => (a < b ? -1 : 1)))
    console.log(`  ${String(count).padStart(7)}  ${kind}`)
  console.log(`promises broken    ${broken}`)
}

const seeds = option('seeds') ?? 1
const kept = flag('mutants') ? await hunt() : seeds === 1 ? await follow() : await simulate(seeds)
process.exit(kept ? 0 : 1)
