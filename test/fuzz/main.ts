/**
 * `npm run fuzz [-- NAME …] [--seconds N] [--seed S] [--inputs N] [--blind]`: gives every parser (or those named) bytes it does not expect, and
 * says what each reached and what did not hold. `npm run fuzz -- NAME --input FILE` tries one input again.
 */
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import type { Report } from './hunt.ts'
import { targets } from './targets/all.ts'
import { runTargets } from './watch.ts'

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    seconds: { type: 'string', default: '10' },
    seed: { type: 'string', default: '1' },
    inputs: { type: 'string', default: '1000000000' },
    input: { type: 'string' },
    blind: { type: 'boolean', default: false },
  },
})
const all = targets.map(({ name }) => name)
const unknown = positionals.find((name) => !all.includes(name))
if (unknown !== undefined) {
  console.error(`there is no target ${unknown}; there are ${all.join(', ')}`)
  process.exit(64)
}
const names = positionals.length > 0 ? positionals : all

if (values.input !== undefined) {
  const target = targets.find(({ name }) => name === names[0])
  const refusal = await target?.run(readFileSync(values.input))
  await target?.end?.()
  console.log(refusal === '' ? 'it is read, and everything holds' : `everything holds; it is refused: ${refusal}`)
  process.exit(0)
}

const limits = {
  seed: Number(values.seed),
  seconds: Number(values.seconds),
  inputs: Number(values.inputs),
  guided: !values.blind,
}
console.log('target             inputs   kept  functions  blocks  refusals  slowest  failures')
const print = ({ name, tried, kept, reached, refusals, slowestMs, failures }: Report) => {
  const cells = [
    String(tried).padStart(7),
    String(kept).padStart(5),
    String(reached.functions).padStart(9),
    String(reached.blocks).padStart(6),
    String(refusals).padStart(8),
    `${slowestMs} ms`.padStart(7),
    String(failures.length).padStart(8),
  ]
  console.log(`${name.padEnd(17)} ${cells.join('  ')}`)
  const dir = failures.length === 0 ? '' : mkdtempSync(join(tmpdir(), 'hpc-batch-fuzz-'))
  for (const [index, { what, input }] of failures.entries()) {
    const file = join(dir, `${name}-${index}`)
    writeFileSync(file, input)
    console.log(`  ${what}\n  again: npm run fuzz -- ${name} --input ${file}`)
  }
}
const reports = await runTargets(names, { limits, onReport: print })
const sum = (pick: (report: Report) => number) => reports.reduce((total, report) => total + pick(report), 0)
const broken = sum(({ failures }) => failures.length)
console.log(`inputs tried       ${sum(({ tried }) => tried)} (seed ${limits.seed})`)
console.log(`failures           ${broken}`)
process.exit(broken === 0 ? 0 : 1)
