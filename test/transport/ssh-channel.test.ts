import assert from 'node:assert/strict'
import { PassThrough } from 'node:stream'
import { test } from 'node:test'
import type { ClientChannel } from 'ssh2'
import { HpcError } from '../../contract/errors.ts'
import { sshChannel } from '../../submitter/transport/ssh-channel.ts'

test('sshChannel() tells a write that waits why the connection was given up', async () => {
  const stuck = Object.assign(new PassThrough({ write: () => undefined }), { stderr: new PassThrough() })
  const { channel, fail } = sshChannel(stuck as unknown as ClientChannel, 'somewhere', {}, () => undefined)
  const heard = new Promise((resolve) => channel.stdin.once('error', resolve))
  channel.stdin.write('a piece')
  const why = new HpcError('transient', 'Lost the connection: no sign of life for 2 s')
  fail(why)
  assert.equal(await heard, why)
})
