/** A pass that dies while it accepts and sends leaves what the next pass finishes. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { everyStep } from '../support/crash-story.ts'

test('P-HB-10 P-AR-01: dead at each step of accepting and sending', async () => {
  const steps = await everyStep('the sending pass', async () => undefined)
  assert.ok(steps > 20, `only ${steps} steps`)
})
