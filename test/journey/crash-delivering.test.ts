/** A pass that dies while it collects and delivers leaves what the next pass finishes. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { tickThatDies } from '../support/crash.ts'
import { everyStep } from '../support/crash-story.ts'

test('P-HB-10 P-HB-13: dead at each step of collecting and delivering', async () => {
  const steps = await everyStep('the delivering pass', async (world) => {
    await tickThatDies(world.configFile, Number.POSITIVE_INFINITY)
    await world.drained()
  })
  assert.ok(steps > 20, `only ${steps} steps`)
})
