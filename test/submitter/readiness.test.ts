import assert from 'node:assert/strict'
import { test } from 'node:test'
import { decideReadiness, type Look, nextLook } from '../../submitter/readiness.ts'

const at = (ms: number, bootId = 'boot') => ({ bootId, ms })
const look = (more: Partial<Look> = {}): Look => ({ size: 10, mtimeMs: 1, inode: 7, since: at(0), ...more })
const settleMs = 2_000

for (const [what, text, quietMs, expected] of [
  ['a document end is complete at once', 'script: a\n...\n', 0, 'ready'],
  ['a document end without a line feed, too', 'script: a\n...', 0, 'ready'],
  ['dots that end a value are no document end', 'script: a...\n', 0, 'look-again'],
  ['a final newline needs a second look', 'script: a\n', 0, 'look-again'],
  ['a second look that came too soon', 'script: a\n', 1_999, 'look-again'],
  ['a second look after settle', 'script: a\n', 2_000, 'ready'],
  ['no final newline, first seen', 'script: a', 0, 'look-again'],
  ['no final newline, not quiet for long', 'script: a', 9_999, 'growing'],
  ['no final newline, ten quiet seconds', 'script: a', 10_000, 'ready'],
  ['an empty file is given the ten seconds', '', 2_000, 'growing'],
  ['and then it is read', '', 10_000, 'ready'],
] as const) {
  test(`decideReadiness(): ${what}`, () => {
    assert.equal(decideReadiness(Buffer.from(text), look(), at(quietMs), settleMs), expected)
  })
}

for (const [what, now] of [
  ['size', { size: 11 }],
  ['mtime', { mtimeMs: 2 }],
  ['file', { inode: 8 }],
] as const) {
  test(`nextLook() begins anew when the ${what} changed`, () => {
    assert.deepEqual(nextLook(look(), look({ ...now, since: at(5) })).since, at(5))
  })
}

test('nextLook() keeps since when nothing changed since, but not from before a restart', () => {
  assert.deepEqual(nextLook(look(), look({ since: at(5) })).since, at(0))
  assert.deepEqual(nextLook(look(), look({ since: at(5, 'next') })).since, at(5, 'next'))
  assert.deepEqual(nextLook(undefined, look({ since: at(5) })).since, at(5))
})
