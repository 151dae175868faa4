/**
 * `npm run bench [-- NAME…]`: ours, the peer and the limit, side by side in one run; a table here, all figures in bench/results/*.json.
 * `-- --docs` writes the latest of them into docs/performance.md, with a plot each. What is missing on this machine (a peer, a way to have a distance) is said, and its rows are left out.
 */
import { spawnSync } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Bench } from './bench.ts'
import { type Row, tableOf } from './measure.ts'
import { noDistance } from './network.ts'
import { has, Place, pythonHas, root, versions } from './place.ts'
import { writeReport } from './report.ts'
import { counts } from './rows/counts.ts'
import { drain } from './rows/drain.ts'
import { grown } from './rows/grown.ts'
import { large } from './rows/large.ts'
import { scale } from './rows/scale.ts'
import { slurm } from './rows/slurm.ts'
import { staging } from './rows/staging.ts'
import { starting, watching } from './rows/starting.ts'
import { store } from './rows/store.ts'
import { whole } from './rows/whole.ts'

const groups: Readonly<Record<string, (bench: Bench) => Promise<Row[]>>> = {
  starting,
  watching,
  scale,
  large,
  store,
  drain,
  grown,
  staging,
  whole,
  slurm,
  counts,
}

/** A hundred thousand jobs take minutes: it runs when it is asked for. */
const byNameOnly = new Set(['grown'])

const words = process.argv.slice(2)
if (words.includes('--docs')) {
  writeReport(root, Object.keys(groups))
  process.exit(0)
}
const wanted = words.filter((word) => !word.startsWith('-'))
const unknown = wanted.filter((name) => !Object.hasOwn(groups, name))
if (unknown.length > 0) {
  process.stderr.write(`bench: no such group: ${unknown.join(', ')}; there are ${Object.keys(groups).join(', ')}\n`)
  process.exit(64)
}

function say(text: string): void {
  process.stdout.write(`${text}\n`)
}

if (spawnSync(process.execPath, ['--import', 'tsx', join(root, 'build.ts')], { stdio: 'inherit' }).status !== 0)
  process.exit(70)
const place = new Place()
const lacking = noDistance()
if (lacking !== undefined) say(`No round-trip times but 0 here: ${lacking}`)
if (!place.inMemory) say('No /dev/shm here: a disk is measured too')
if (!pythonHas('paramiko')) say('No python3-paramiko here: rows against hpc_batch’s way are left out')
if (!has('parallel')) say('No GNU parallel here: its rows are left out')
const about = versions()
say(
  Object.entries(about)
    .map(([name, value]) => `${name} ${value}`)
    .join(' · '),
)

const bench: Bench = { place, turns: 3, rtts: lacking === undefined ? [0, 20, 50] : [0], named: wanted.length > 0, say }
const results: Record<string, Row[]> = {}
let failed = false
for (const name of wanted.length > 0 ? wanted : Object.keys(groups).filter((one) => !byNameOnly.has(one))) {
  const start = performance.now()
  try {
    const rows = (await groups[name]?.(bench)) ?? []
    results[name] = rows
    say(`\n${name} (${((performance.now() - start) / 1000).toFixed(0)} s)\n${tableOf(rows)}`)
  } catch (error) {
    failed = true
    say(`\n${name}: ${error instanceof Error ? error.stack : String(error)}`)
  }
}
await place.end()
const dir = join(import.meta.dirname, 'results')
mkdirSync(dir, { recursive: true })
const stamp = new Date().toISOString().replace(/[:.]/g, '-')
for (const [name, rows] of Object.entries(results))
  writeFileSync(join(dir, `${name}.json`), `${JSON.stringify({ at: stamp, ...about, rows }, null, 1)}\n`)
process.exit(failed ? 1 : 0)
