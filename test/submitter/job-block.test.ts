import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { ResultRecord } from '../../contract/spool-records.ts'
import { unsentBlock, verdictOf } from '../../submitter/job-block.ts'

const result: ResultRecord = {
  nonce: 'n',
  attempt: 1,
  state: 'done',
  rc: 0,
  start: '2026-01-01T00:00:00.000Z',
  end: '2026-01-01T00:00:01.000Z',
  runner: 'r',
  node: 'n',
  outputs: [],
  missing: [],
  stdoutBytes: 0,
  stderrBytes: 0,
  attempts: [],
  warnings: [],
}

for (const [what, more, status, message] of [
  ['all went well', {}, 'ok', /^processed OK$/],
  ['the script failed', { rc: 3 }, 'error', /^Remote command failed with return code 3$/],
  ['a signal', { rc: -9 }, 'error', /^Remote command failed with return code -9$/],
  ['escapes in its message', { message: 'a\u001b[2J\u202eb' }, 'error', /^a\\x1b\[2J\\u202eb$/],
  ['marks in a name', { missing: ['a\u202eb'] }, 'error', /did not write "a\\u202eb"/],
  ['one output missing', { missing: ['a'] }, 'error', /did not write "a": see that/],
  ['two outputs missing', { missing: ['a', 'b'] }, 'error', /did not write "a", "b"/],
  [
    'it failed and outputs are missing',
    { rc: 1, missing: ['a'] },
    'error',
    /^Remote command failed with return code 1$/,
  ],
  ['the runner has a word for it', { message: 'It ran out of time' }, 'error', /^It ran out of time$/],
  ['P-AR-05: no exit code is never a success', { rc: null }, 'error', /^The job was done$/],
  ['it was cancelled', { state: 'cancelled', rc: null }, 'error', /^The job was cancelled$/],
  ['it was ended although its script got to 0', { state: 'aborted' }, 'error', /^The job was aborted$/],
] as const) {
  test(`verdictOf(): ${what}`, () => {
    const verdict = verdictOf({ ...result, ...(more as Partial<ResultRecord>) })
    assert.equal(verdict.status, status)
    assert.match(verdict.message, message)
  })
}

test('unsentBlock() has the fields every caller knows, empty', () => {
  const block = unsentBlock('id', undefined, 'aborted', 'why', [])
  assert.deepEqual(
    [block.status, block.message, block.stdout, block.stderr, block.rc, block.start, block.end, block.site],
    ['error', 'why', '', '', null, null, null, null],
  )
})
