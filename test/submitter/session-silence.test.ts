/** A site that stops reading in the middle of an upload is noticed, though no answer of it is waited for. */
import assert from 'node:assert/strict'
import { PassThrough, Writable } from 'node:stream'
import { mock, test } from 'node:test'
import { readyMark } from '../../contract/protocol.ts'
import { Session } from '../../submitter/session.ts'
import type { Connection } from '../../submitter/transport/transport.ts'
import { testGateway } from '../support/gateway.ts'

test('promise 1: what waits for room is given up when the site has been silent for 3 minutes', async () => {
  const test = await testGateway()
  mock.timers.enable({ apis: ['setInterval'] })
  try {
    const stdout = new PassThrough()
    const never = new Promise<never>(() => undefined)
    const connection: Connection = {
      // takes what it is given and never says that there is room again
      exec: async () => ({
        stdin: new Writable({ write: () => undefined }),
        stdout,
        stderr: new PassThrough(),
        exited: never,
        kill: () => stdout.end(),
      }),
      putFile: () => never,
      broken: never,
      roundTripMs: 0,
      close: async () => undefined,
    }
    stdout.write(readyMark)
    const gateway = test.other({ transportFor: () => ({ description: 'hung', connect: async () => connection }) })
    const site = Object.values(gateway.config.sites)[0]
    assert.ok(site)
    const session = await Session.open(gateway, site, false)
    const sent = assert.rejects(session.sendFrame(Buffer.alloc(10)), /has said nothing for 180 s/)
    test.pass(175_000)
    mock.timers.tick(5_000)
    assert.equal(session.alive, true)
    test.pass(6_000)
    mock.timers.tick(5_000)
    await sent
    assert.equal(session.alive, false)
    await session.close()
  } finally {
    mock.timers.reset()
    test.end()
  }
})
