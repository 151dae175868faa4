import assert from 'node:assert/strict'
import { Writable } from 'node:stream'
import { test } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import { BatchWriter } from '../../system/batch-writer.ts'

test('BatchWriter lets all who write to a full output wait for the same room, with one listener', async () => {
  const taken: (() => void)[] = []
  const output = new Writable({ highWaterMark: 1, write: (_chunk, _encoding, done) => void taken.push(done) })
  const writer = new BatchWriter(output)
  assert.equal(writer.write(Buffer.from('a')), undefined)
  await turn()
  const waits: (Promise<unknown> | undefined)[] = []
  for (let n = 0; n < 20; n++) {
    waits.push(writer.write(Buffer.from('b')))
    await turn()
  }
  assert.equal(output.listenerCount('drain'), 1)
  assert.ok(waits.every((wait) => wait === waits[0] && wait !== undefined))
  while (taken.length > 0) {
    taken.shift()?.()
    await turn()
  }
  await waits[0]
  assert.equal(writer.write(Buffer.from('c')), undefined)
})
