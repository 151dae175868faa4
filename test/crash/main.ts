/**
 * `npm run test:crash [-- --story X] [--program Y] [--step S] [--at N] [--when before|half|after] [--lost answer|reply] [--every K]
 * [--side-by-side L]`: stops the programs at every point of every story, or at those chosen, and says which promises were broken.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { constants, tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { buildPreload, canTrace } from './build-preload.ts'
import type { Point } from './points.ts'
import { type Figures, type Report, runStory } from './run-story.ts'
import { stories } from './stories.ts'

const text = { type: 'string' } as const
const { values } = parseArgs({
  options: {
    ...{ story: text, program: text, step: text, at: text, when: text, lost: text, every: text },
    'side-by-side': text,
    verbose: { type: 'boolean' },
  },
})

function wanted({ step, strike }: Point, index: number): boolean {
  const { what, program, at } = strike
  const told: readonly (readonly [string | undefined, unknown])[] = [
    [values.program, program],
    [values.step, step],
    [values.at, at],
    [values.when, what === 'death' ? strike.when : undefined],
    [values.lost, what],
  ]
  return (
    told.every(([want, is]) => want === undefined || want === String(is)) && index % Number(values.every ?? 1) === 0
  )
}

function line({ program, effects, transfers, seen, deaths, lost, unreached }: Figures): string {
  const counted = `effects ${String(effects).padStart(4)} = ${seen ?? '?'} by strace + ${transfers} transfers`
  const tried = `dead at ${deaths} points${lost === 0 ? '' : `, ${lost} answers lost`}`
  return `  ${program.padEnd(10)} ${counted}; ${tried}${unreached === 0 ? '' : `, ${unreached} not reached`}`
}

const reports: Report[] = []
// whatever ends this before its figures are complete, the last line says so
let finished = false
process.on('exit', (code) => {
  if (finished) return
  process.exitCode = code === 0 ? 1 : code
  console.log(`NOT FINISHED: ended with ${process.exitCode} after ${reports.length} whole stories`)
})
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
  process.on(signal, () => process.exit(128 + constants.signals[signal]))

const dir = mkdtempSync(join(tmpdir(), 'hpc-preload-'))
const traced = canTrace()
if (!traced) console.log('strace is not here: effects are not compared with what the system sees')
const began = performance.now()
const seconds = () => Math.round((performance.now() - began) / 1000)
try {
  const preload = await buildPreload(dir)
  const chosen = stories.filter(({ name }) => values.story === undefined || values.story === name)
  if (chosen.length === 0)
    throw new Error(`there is no story ${values.story}; there are ${stories.map(({ name }) => name).join(', ')}`)
  for (const story of chosen) {
    const report = await runStory(story, {
      preload,
      sideBySide: Number(values['side-by-side'] ?? 6),
      traced,
      choose: wanted,
      onOutcome: (outcome, done, of) => {
        if (outcome.broken.length > 0) console.log(`BROKEN ${outcome.struck}: ${outcome.broken.join('; ')}`)
        if (values.verbose === true)
          console.log(JSON.stringify({ ...outcome.point, story: story.name }), outcome.struck, outcome.passes)
        if (done % 100 === 0) console.log(`${story.name}: ${done} of ${of} points, ${seconds()} s`)
      },
    })
    reports.push(report)
    console.log(`${story.name}: ${report.tried} points, ${report.wrong.length} wrong, ${seconds()} s`)
    for (const figures of report.figures) console.log(line(figures))
    for (const wrong of report.wrong) console.log(`  ${wrong}`)
  }
} finally {
  rmSync(dir, { recursive: true, force: true })
}
const sum = (of: (figures: Figures) => number) =>
  reports.flatMap(({ figures }) => figures).reduce((all, one) => all + of(one), 0)
const wrong = reports.flatMap((report) => report.wrong).length
console.log(`effects            ${sum(({ effects }) => effects)}`)
console.log(
  `seen by strace     ${traced ? sum(({ seen }) => seen ?? 0) : '-'}, and ${sum(({ transfers }) => transfers)} transfers`,
)
console.log(`crash points       ${sum(({ deaths }) => deaths)}`)
console.log(`answers lost       ${sum(({ lost }) => lost)}`)
console.log(`not reached        ${sum(({ unreached }) => unreached)}`)
console.log(`promises broken    ${wrong}`)
finished = true
process.exit(wrong === 0 ? 0 : 1)
