/** Some hundred schedules at each change, as many as half a minute allows; thousands by `npm run simulate`. */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import { run } from '../support/world.ts'

const program = join(import.meta.dirname, 'main.ts')
const simulate = (...args: string[]) => run([process.execPath, '--import', 'tsx', program, ...args])

test('promises 1, 2, 3, 4, 5: seeded schedules with every kind of fault break no promise', async (t) => {
  const ran = await simulate('--seeds', '300', '--seconds', '35')
  t.diagnostic(ran.stdout.trim().split('\n').slice(-50).join('\n'))
  assert.equal(ran.code, 0, ran.stdout + ran.stderr)
  assert.match(ran.stdout, /promises broken {4}0/)
})

test('a seed gives the same schedule again', async () => {
  const told = async () =>
    (await simulate('--seed', '7', '--trace')).stdout.replace(/, [\d.]+ s, [\d.]+ a second\)/, ')')
  const [first, second] = await Promise.all([told(), told()])
  assert.ok(first.length > 1_000)
  assert.equal(first, second)
})
