import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, test } from 'node:test'
import { spoolAt } from '../../contract/spool.ts'
import type { AttemptRecord } from '../../contract/spool-records.ts'
import { endAttempt, openAttempt, readAttempts } from '../../spool/attempt.ts'
import { Files } from '../../system/files.ts'
import { countingOs } from '../support/counting-os.ts'

describe('readAttempts()', () => {
  const dir = mkdtempSync(join(tmpdir(), 'hpc-attempts-'))
  after(() => rmSync(dir, { recursive: true, force: true }))
  const { os, calls } = countingOs()
  const files = new Files(os)
  const begin = (id: string) => {
    const control = spoolAt(dir).control(id)
    files.makeFolder(control.attempts)
    return control
  }
  const open = (control: ReturnType<typeof begin>, attempt: number): AttemptRecord => {
    const record = { nonce: `n${attempt}`, attempt, runner: 'r', node: '', bootId: '', startedAt: '', uptimeMs: 0 }
    assert.ok(openAttempt(files, control, record))
    return record
  }
  const counted = (act: () => unknown): Record<string, number> => {
    for (const name of Object.keys(calls)) delete calls[name]
    act()
    return { ...calls }
  }

  test('makes one call for a job that nobody has begun', () => {
    const control = begin('new')
    assert.deepEqual(
      counted(() => assert.deepEqual(readAttempts(files, control), [])),
      { lstatSync: 1 },
    )
  })

  test('looks for an end and for a later attempt only, when what is known of the one is whole', () => {
    const control = begin('known')
    const known = { record: open(control, 1), exit: { rc: 0, startUptimeMs: 0, endUptimeMs: 1 } }
    const read = () => assert.deepEqual(readAttempts(files, control, known), [{ number: 1, ...known, end: undefined }])
    assert.deepEqual(counted(read), { lstatSync: 2 })
  })

  test('finds all of them, with their ends, and one whose taker died before it wrote', () => {
    const control = begin('many')
    const first = open(control, 1)
    endAttempt(files, control, 1, { cause: 'interrupted', at: 'now', by: 'r' })
    files.createExclusive(control.attempt(2), '')
    assert.deepEqual(
      readAttempts(files, control).map(({ number, record, end }) => [number, record, end?.cause]),
      [
        [1, first, 'interrupted'],
        [2, undefined, undefined],
      ],
    )
  })
})
