/** What is received comes in memory that is used again: it must be what was sent, for readers who keep it too, slow ones, and across new keys. */
import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { connect, createServer, type Server, type Socket } from 'node:net'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Channel, Connection } from '../../submitter/transport/transport.ts'
import { connectTo, through } from '../support/ssh-site.ts'
import { noSshd, type Sshd, startSshd } from '../support/sshd.ts'

const bytes = 24 * 1024 * 1024
const sha256 = (content: Uint8Array) => createHash('sha256').update(content).digest('hex')

/** Gives on what sshd says packet by packet, each large one in two parts: the second begins somewhere in the tag that closes it. */
async function startSplitting(port: number): Promise<Server & { port: number }> {
  const serve = async (client: Socket) => {
    const onward = connect(port, '127.0.0.1')
    for (const socket of [client, onward]) socket.on('error', () => undefined)
    client.pipe(onward)
    client.on('close', () => onward.destroy())
    let rest = Buffer.alloc(0)
    let tagBytes = 0
    let begun = false
    let split = 0
    for await (const chunk of onward) {
      rest = Buffer.concat([rest, chunk as Buffer])
      for (;;) {
        // the server's name in a line, then packets: 4 bytes of length in the clear, and a tag from the new keys on
        const bytes = begun ? (rest.length < 4 ? 4 : 4 + rest.readUInt32BE(0) + tagBytes) : rest.indexOf('\n') + 1
        if (bytes === 0 || rest.length < bytes) break
        const packet = rest.subarray(0, bytes)
        rest = rest.subarray(bytes)
        if (begun && tagBytes === 0 && packet[5] === 21) tagBytes = 16
        begun = true
        const at = bytes < 16_384 ? bytes : bytes - tagBytes + (split++ % 16)
        client.write(packet.subarray(0, at))
        if (at === bytes) continue
        await sleep(2)
        client.write(packet.subarray(at))
      }
    }
    client.end()
  }
  // the line is cut when the test has what it wanted
  const server = createServer({ noDelay: true }, (client) => void serve(client).catch(() => undefined))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return Object.assign(server, { port: (server.address() as { port: number }).port })
}

describe('a large download over ssh', { skip: noSshd }, () => {
  let sshd: Sshd
  let connection: Connection
  let file: string
  let sent: string
  before(async () => {
    sshd = await startSshd({ hostKeys: ['ed25519'], config: ['RekeyLimit 5M'] })
    file = join(sshd.folder, 'large')
    const content = randomBytes(bytes)
    writeFileSync(file, content)
    sent = sha256(content)
    connection = await connectTo(sshd)
  })
  after(async () => {
    await connection.close()
    await sshd.stop()
  })

  const start = (by = connection): Promise<Channel> => by.exec(`exec cat ${file}`)

  /** Reads to the end without keeping anything; in how many memories it came, and in how many chunks. */
  async function borrow(pauses = false, by = connection): Promise<{ got: string; memories: number; chunks: number }> {
    const channel = await start(by)
    const hash = createHash('sha256')
    const memories = new Set<unknown>()
    let chunks = 0
    channel.borrow?.()
    channel.stdout.on('data', (chunk: Buffer) => {
      hash.update(chunk)
      memories.add(chunk.buffer)
      chunks += 1
      if (!pauses || chunks % 40 !== 0) return
      channel.stdout.pause()
      setTimeout(() => channel.stdout.resume(), 20)
    })
    await channel.exited
    return { got: hash.digest('hex'), memories: memories.size, chunks }
  }

  /** Keeps every chunk as it came, until the end. */
  async function keep(): Promise<string> {
    const channel = await start()
    const kept: Buffer[] = []
    channel.stdout.on('data', (chunk: Buffer) => kept.push(chunk))
    await channel.exited
    return sha256(Buffer.concat(kept))
  }

  it('comes in the same memory again and again for a reader who keeps nothing', async (t) => {
    const { got, memories, chunks } = await borrow()
    t.diagnostic(`${chunks} chunks in ${memories} memories`)
    assert.equal(got, sent)
    assert.ok(chunks > 500, `${chunks} chunks`)
    // parts of packets are put together in memory of their own
    assert.ok(memories < chunks / 2, `${memories} memories`)
  })

  it('is what was sent for readers who keep it, for slow ones, and for errors told beside it', async () => {
    const errors: Buffer[] = []
    const noisy = await connection.exec(
      `exec sh -c 'i=0; while [ $i -lt 3000 ]; do echo "error $i" >&2; i=$((i+1)); done'`,
    )
    noisy.borrow?.()
    noisy.stderr.on('data', (chunk: Buffer) => errors.push(chunk))
    noisy.stdout.resume()
    const [one, two, three] = await Promise.all([borrow(), keep(), borrow(true), noisy.exited])
    assert.deepEqual([one.got, two, three.got], [sent, sent, sent])
    const expected = Array.from({ length: 3000 }, (_, i) => `error ${i}\n`).join('')
    assert.equal(Buffer.concat(errors).toString(), expected)
  })

  it('is what was sent for a reader who begins late', async () => {
    const channel = await start()
    channel.borrow?.()
    await sleep(300)
    const hash = createHash('sha256')
    channel.stdout.on('data', (chunk: Buffer) => hash.update(chunk))
    await channel.exited
    assert.equal(hash.digest('hex'), sent)
  })

  it('is what was sent where a packet is torn before its end, at every byte of its tag', async () => {
    const line = await startSplitting(sshd.port)
    const torn = await connectTo(through(sshd, line.port))
    try {
      assert.equal((await borrow(false, torn)).got, sent)
    } finally {
      await torn.close()
      line.close()
    }
  })
})
