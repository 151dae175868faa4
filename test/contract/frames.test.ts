import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { encodeFrame, FrameReader, PieceFrame, type Request } from '../../contract/protocol.ts'

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

test('FrameReader gives bodies of any size, and PieceFrame sends them, whatever the chunks', () => {
  const sizes = [0, 1, 65_535, 65_536, 65_537, 262_144, 20_000, 262_144, 1_000_000]
  const piece = new PieceFrame(1_000_000)
  const sent = sizes.map((size, n) => {
    const header = { type: 'part', id: 'i', digest: 'd', file: 'ü'.repeat(n * 40), offset: n } as Request
    for (let at = 0; at < size; at += 1) piece.body[at] = (at * 31 + n * 7) & 255
    return { header, body: Uint8Array.from(piece.body.subarray(0, size)), frame: Buffer.from(piece.seal(header, size)) }
  })
  const bytes = Buffer.concat(sent.map(({ frame }) => frame))
  for (const step of [1009, 32_768, 65_536, 300_000, bytes.length]) {
    const reader = new FrameReader<Request>()
    const got: { header: Request; body: Uint8Array }[] = []
    for (let at = 0; at < bytes.length; at += step) {
      const frames = reader.push(Uint8Array.from(bytes.subarray(at, at + step)))
      got.push(...frames.map(({ header, body }) => ({ header, body: Uint8Array.from(body) })))
    }
    assert.deepEqual(
      got,
      sent.map(({ header, body }) => ({ header, body })),
      `in chunks of ${step}`,
    )
  }
})

test('PieceFrame sends a header that is longer than its room', () => {
  const header = { type: 'part', id: 'i', digest: 'd', file: '\u0001'.repeat(1000), offset: 0 } as const
  const piece = new PieceFrame(10)
  piece.body.fill(7)
  assert.deepEqual(readAll([piece.seal(header, 10)]), [{ header, body: new Uint8Array(10).fill(7) }])
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
