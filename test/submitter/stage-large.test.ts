/** How often a large input is read: once to send it and once for its digest, whatever the site has of its size. */
import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import type { Request, Stored } from '../../contract/protocol.ts'
import type { JobToSend } from '../../submitter/accept-job.ts'
import type { Session } from '../../submitter/session.ts'
import { stageLarge } from '../../submitter/stage-large.ts'
import { Files } from '../../system/files.ts'
import { type Os, realOs } from '../../system/os.ts'
import { testGateway } from '../support/gateway.ts'

const size = 9 * 1024 * 1024
const sampleBytes = 64 * 1024
const sumOf = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex')
const middle = (bytes: Buffer) => bytes.subarray((size - sampleBytes) / 2, (size + sampleBytes) / 2)

/** Sends an input of these bytes to a site that has `stored`; what was said, and how much was read when. */
async function send(content: Buffer, stored: readonly Stored[]) {
  const made = await testGateway()
  let read = 0
  const readSync = (...args: Parameters<Os['readSync']>) => {
    const count = realOs.readSync(...args)
    read += count
    return count
  }
  const gateway = made.other({ files: new Files({ ...realOs, readSync } as Os) })
  const path = join(made.dir, 'in')
  writeFileSync(path, content)
  const said: Request[] = []
  let readBeforePieces: number | undefined
  const session = {
    alive: true,
    roundTripMs: 0,
    answer: async (type: unknown) =>
      type === 'have' ? { type, offsets: {}, stored } : { type: 'published', id: 'a', at: '' },
    send: async (request: Request) => void said.push(request),
    sendFrame: async () => {
      readBeforePieces ??= read
    },
  } as unknown as Session
  const job = {
    hpc: { id: 'a', name: 'a', owner: { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 } },
    plan: { record: { lane: 'lane' } },
    description: { inputs: new Map([['in', path]]) },
  } as unknown as JobToSend
  try {
    const [outcome] = await Promise.all(await stageLarge(gateway, session, [job], Number.POSITIVE_INFINITY))
    assert.equal(outcome?.outcome, 'published', JSON.stringify(outcome))
    const last = said.find((request) => request.type === 'part')
    return { read, readBeforePieces, last }
  } finally {
    made.end()
  }
}

test('stageLarge() sends at once what shows by its middle to be none of the contents that the site has', async () => {
  const content = randomBytes(size)
  const { read, readBeforePieces } = await send(content, [{ size, sha256: sumOf(randomBytes(9)), sample: 'other' }])
  assert.ok((readBeforePieces ?? size) < size / 2, `${readBeforePieces} bytes were read before the first was sent`)
  assert.equal(read, 2 * size + sampleBytes)
})

test('stageLarge() digests once what has the middle of another content', async () => {
  const content = randomBytes(size)
  const stored = [{ size, sha256: sumOf(randomBytes(9)), sample: sumOf(middle(content)) }]
  const { read, last } = await send(content, stored)
  assert.equal(read, 2 * size + sampleBytes)
  assert.equal(last?.type === 'part' && last.last?.sha256, sumOf(content))
})

test('stageLarge() reads once and sends nothing of what the site has', async () => {
  const content = randomBytes(size)
  for (const sample of [{ sample: sumOf(middle(content)) }, {}]) {
    const { read, readBeforePieces, last } = await send(content, [{ size, sha256: sumOf(content), ...sample }])
    assert.deepEqual([readBeforePieces, last?.type === 'part' && last.stored], [undefined, true])
    assert.equal(read, size + sampleBytes)
  }
})
