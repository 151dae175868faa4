/** Packets are made in memory that is used again: what arrives must be what was sent, however slow the line, and across new keys. */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import { after, before, describe, it } from 'node:test'
import type { Connection } from '../../submitter/transport/transport.ts'
import { connectTo, through } from '../support/ssh-site.ts'
import { noSshd, type Sshd, startSshd } from '../support/sshd.ts'

describe('a large upload over ssh', { skip: noSshd }, () => {
  let sshd: Sshd
  before(async () => {
    sshd = await startSshd({ hostKeys: ['ed25519'], config: ['RekeyLimit 5M'] })
  })
  after(() => sshd.stop())

  /** A line that stands still once, for long enough that packets wait for the socket. */
  async function slowLine(): Promise<{ port: number; stop: () => void }> {
    const sockets: Socket[] = []
    const proxy = createServer((client) => {
      const onward = connect(sshd.port, '127.0.0.1')
      sockets.push(client, onward)
      client.pipe(onward).pipe(client)
      let stood = false
      client.on('data', () => {
        if (stood || client.bytesRead < 1_000_000) return
        stood = true
        client.unpipe(onward)
        client.pause()
        setTimeout(() => client.pipe(onward), 700)
      })
      for (const socket of [client, onward]) socket.on('error', () => undefined)
    })
    proxy.listen(0, '127.0.0.1')
    await once(proxy, 'listening')
    const stop = () => {
      for (const socket of sockets) socket.destroy()
      proxy.close()
    }
    return { port: (proxy.address() as { port: number }).port, stop }
  }

  async function digestsOf(connection: Connection, megabytes: number): Promise<{ there: string; here: string }> {
    const channel = await connection.exec('exec sha256sum')
    let said = ''
    channel.stdout.on('data', (chunk: Buffer) => {
      said += chunk.toString()
    })
    const hash = createHash('sha256')
    const block = Buffer.alloc(256 * 1024)
    for (let n = 0; n < megabytes * 4; n++) {
      for (let at = 0; at < block.length; at += 64) block.writeUInt32LE((n * 7919 + at) >>> 0, at)
      hash.update(block)
      // its memory is used again at once, too
      await new Promise<void>((resolve) => channel.stdin.write(block, () => resolve()))
    }
    channel.stdin.end()
    await channel.exited
    return { there: said.split(' ')[0] ?? '', here: hash.digest('hex') }
  }

  it('arrives as it was sent', async () => {
    const line = await slowLine()
    try {
      const connection = await connectTo(through(sshd, line.port))
      // each channel may send 2 MB ahead: together more than the buffers of the system hold
      const all = await Promise.all(Array.from({ length: 8 }, () => digestsOf(connection, 8)))
      for (const { there, here } of all) assert.equal(there, here)
      await connection.close()
    } finally {
      line.stop()
    }
  })
})
