import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { streamText } from '../../contract/stream-text.ts'

test('HB-29: streamText() gives valid text as it is and U+FFFD for what is not UTF-8', () => {
  assert.equal(streamText(Buffer.from('é😀\n'), undefined, 0), 'é😀\n')
  assert.equal(streamText(Buffer.from([0xff, 0x1b, 0x00]), undefined, 0), '\ufffd\x1b\0')
  assert.equal(streamText(Buffer.from([0x61, 0xc3]), undefined, 0), 'a\ufffd')
  assert.equal(streamText(Buffer.from([0xc3]), Buffer.from([0xa9]), 0), 'é')
  assert.equal(streamText(new Uint8Array(), undefined, 0), '')
  assert.equal(streamText(Buffer.from('\ufeffa'), undefined, 0), '\ufeffa')
})

test('HB-29: streamText() says on a line of its own how much was left out', () => {
  assert.equal(
    streamText(Buffer.from('head'), Buffer.from('tail'), 3 * 1024 * 1024),
    'head\n[… 3.0 MB left out here (3145728 bytes) …]\ntail',
  )
  assert.match(streamText(Buffer.from('head\n'), undefined, 5), /^head\n\[… 5 B left out here \(5 bytes\) …\]\n$/)
  assert.match(streamText(new Uint8Array(), Buffer.from('t'), 5), /^\[… .*\]\nt$/)
})

test('streamText() leaves a character out whole when the cut went through it, and counts it', () => {
  const whole = Buffer.from('a😀b€c')
  for (let headEnd = 0; headEnd <= whole.length; headEnd++) {
    for (let tailStart = headEnd + 1; tailStart <= whole.length; tailStart++) {
      const text = streamText(whole.subarray(0, headEnd), whole.subarray(tailStart), tailStart - headEnd)
      assert.doesNotMatch(text, /\ufffd/)
      const omitted = Number(/\((\d+) bytes\)/.exec(text)?.[1])
      const kept = text.replace(/\n?\[….*…\]\n/, '')
      assert.equal(Buffer.byteLength(kept) + omitted, whole.length)
    }
  }
})

test('streamText() throws for no bytes at all', () => {
  fc.assert(
    fc.property(fc.uint8Array(), fc.uint8Array(), fc.nat(), (head, tail, omitted) => {
      assert.equal(typeof streamText(head, tail, omitted), 'string')
    }),
  )
})
