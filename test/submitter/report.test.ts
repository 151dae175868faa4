import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { JournalEntry } from '../../submitter/journal.ts'
import { reportOn } from '../../submitter/report.ts'

const at = (minute: number) => new Date(Date.UTC(2026, 0, 1, 0, minute)).toISOString()

function ran(id: string, runner: string, queued: number, start: number, note = 'ok'): JournalEntry {
  return {
    event: 'delivered',
    id,
    name: id,
    note,
    ran: { runner, queued: at(queued), start: at(start), runMs: 60_000 },
  }
}

test('HB-33: reportOn() counts the jobs of each allocation, its queue wait once, and what they would have waited alone', () => {
  const report = reportOn([
    { event: 'accepted', id: 'a', name: 'a' },
    ran('a', 'one', 0, 30),
    ran('b', 'one', 10, 31, 'error'),
    ran('c', 'one', 40, 41),
    ran('d', 'two', 100, 110),
    { event: 'delivered', id: 'e', name: 'e', note: 'error' },
  ])
  assert.deepEqual(report, {
    allocations: [
      { runner: 'one', jobs: 3, queueWaitMs: 30 * 60_000, runMs: 180_000 },
      { runner: 'two', jobs: 1, queueWaitMs: 10 * 60_000, runMs: 60_000 },
    ],
    jobs: 5,
    ok: 3,
    queueWaitMs: 40 * 60_000,
    savedWaitMs: 60 * 60_000,
  })
  assert.equal(reportOn([]).savedWaitMs, 0)
})
