/** The list of jobs that may not have reached their site. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { oneOfEach } from '../../submitter/pending.ts'

test('oneOfEach() keeps the last job of each name: an earlier one was written down and never renamed', () => {
  const [first, other, again] = [
    { id: '1', name: 'a' },
    { id: '2', name: 'b' },
    { id: '3', name: 'a' },
  ] as const
  assert.deepEqual(oneOfEach([first, other, again]), [again, other])
  assert.deepEqual(oneOfEach([]), [])
})
