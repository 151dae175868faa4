import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { encodeFrame, FrameReader, type Request } from '../../contract/protocol.ts'

const requests: readonly { header: Request; body: Uint8Array }[] = [
  { header: { type: 'ensure' }, body: new Uint8Array(0) },
  {
    header: { type: 'part', id: 'a', digest: 'b', file: 'ü "name"\n', offset: 0 },
    body: Uint8Array.from([0, 255, 10, 13, 0]),
  },
  { header: { type: 'ask', ids: ['x', 'y'] }, body: new Uint8Array(0) },
  { header: { type: 'part', id: 'a', digest: 'b', file: 'z', offset: 5 }, body: new Uint8Array(70_000).fill(7) },
]

const stream = Buffer.concat(requests.map(({ header, body }) => encodeFrame(header, body)))

function readAll(chunks: readonly Uint8Array[]) {
  const reader = new FrameReader<Request>()
  // copied: a body is a view that the next push may not change
  return chunks
    .flatMap((chunk) => reader.push(chunk))
    .map(({ header, body }) => ({ header, body: Uint8Array.from(body) }))
}

test('FrameReader gives the same frames wherever the stream is cut in two', () => {
  const end = encodeFrame(requests[0]?.header ?? { type: 'end' }).length + encodeFrame({ type: 'end' }).length + 200
  for (let at = 0; at <= end; at++) {
    assert.deepEqual(readAll([stream.subarray(0, at), stream.subarray(at)]), requests, `cut at ${at}`)
  }
})

test('FrameReader gives the same frames byte by byte', () => {
  assert.deepEqual(readAll(Array.from(stream, (byte) => Uint8Array.of(byte))), requests)
})

test('FrameReader gives the same frames for any frames and any cuts', () => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.string(), fc.uint8Array({ maxLength: 300 })), { maxLength: 8 }),
      fc.array(fc.nat(400), { maxLength: 20 }),
      (frames, cuts) => {
        const sent = frames.map(([file, body]) => ({
          header: { type: 'part', id: 'i', digest: 'd', file, offset: 1 } as Request,
          body,
        }))
        const bytes = Buffer.concat(sent.map(({ header, body }) => encodeFrame(header, body)))
        const chunks: Buffer[] = []
        let at = 0
        for (const cut of cuts) {
          chunks.push(bytes.subarray(at, at + cut))
          at += cut
        }
        chunks.push(bytes.subarray(at))
        assert.deepEqual(
          readAll(chunks),
          sent.map(({ header, body }) => ({ header, body: Uint8Array.from(body) })),
        )
      },
    ),
  )
})

test('FrameReader refuses what cannot be a frame', () => {
  assert.throws(() => new FrameReader().push(Buffer.from('Last login: Mon Jan  1')), /no frame of ours/)
})

test('FrameReader does not work on a large frame again with each piece of it', () => {
  const large = encodeFrame({ type: 'end' }, new Uint8Array(15_000_000))
  const reader = new FrameReader<Request>()
  const started = process.cpuUsage()
  let frames = 0
  for (let at = 0; at < large.length; at += 1000) frames += reader.push(large.subarray(at, at + 1000)).length
  assert.equal(frames, 1)
  // joined once, that is some ten milliseconds; joined 15,000 times, it would be a minute
  assert.ok(process.cpuUsage(started).user < 3_000_000)
})
