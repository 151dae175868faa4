import assert from 'node:assert/strict'
import { test } from 'node:test'
import { hunt } from './hunt.ts'
import { targets as planted } from './planted.ts'
import { targets } from './targets/all.ts'
import { runTargets } from './watch.ts'

test('promise 9: every parser, given bytes it does not expect, refuses them in our own words, in bounded time and memory', async (t) => {
  const names = targets.map(({ name }) => name)
  assert.equal(new Set(names).size, names.length)
  const reports = await runTargets(names, { limits: { seed: 1, inputs: 500, seconds: 600, guided: true } })
  assert.deepEqual(
    reports.map(({ name }) => name),
    names,
  )
  for (const { name, tried, reached, refusals } of reports)
    t.diagnostic(`${name}: ${tried} inputs, ${reached.blocks} blocks of the code, ${refusals} distinct refusals`)
  const failures = reports.flatMap(({ name, failures }) => failures.map(({ what }) => `${name}: ${what}`))
  assert.deepEqual(failures, [])
})

test('fuzzing finds what is behind five branches, and chance alone does not', async () => {
  const hidden = planted.find(({ name }) => name === 'hidden') ?? assert.fail()
  const tries = { seed: 3, inputs: 60_000, seconds: 600, failures: 1 }
  const guided = await hunt(hidden, { ...tries, guided: true })
  assert.match(guided.failures[0]?.what ?? '', /found the fault/)
  assert.equal(Buffer.from(guided.failures[0]?.input ?? []).toString('latin1', 0, 5), 'fault')
  const blind = await hunt(hidden, { ...tries, inputs: guided.tried, guided: false })
  assert.deepEqual(blind.failures, [])
})

test('an input that never ends, or that takes all memory, is found with what it was, and the others go on', async () => {
  const module = new URL('./planted.ts', import.meta.url).href
  const limits = { seed: 1, inputs: 200, seconds: 600, guided: false }
  const [endless, greedy, hidden] = await runTargets(['endless', 'greedy', 'hidden'], {
    limits,
    module,
    patienceMs: 3_000,
    memoryMb: 64,
  })
  assert.match(endless?.failures[0]?.what ?? '', /did not come to an end/)
  assert.match(greedy?.failures[0]?.what ?? '', /took more than 64 MB/)
  for (const report of [endless, greedy]) assert.ok((report?.failures[0]?.input.length ?? 0) > 12)
  assert.equal(hidden?.tried, 200)
})

test('a seed gives the same run again', async () => {
  const units = targets.find(({ name }) => name === 'units') ?? assert.fail()
  const run = async (seed: number) => {
    const inputs: string[] = []
    await hunt(units, { seed, inputs: 200, seconds: 600, guided: false }, (input) =>
      inputs.push(Buffer.from(input).toString('hex')),
    )
    return inputs
  }
  const first = await run(7)
  assert.deepEqual(await run(7), first)
  assert.notDeepEqual(await run(8), first)
})
