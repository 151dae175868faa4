/**
 * What batching has paid: for each allocation how many jobs shared its queue wait. A pure reading of the log. The wait of an allocation is
 * from the first of its jobs that stood in the queue to the first that ran; each further job would have waited as long by itself.
 */
import type { JournalEntry } from './journal.ts'

export interface AllocationReport {
  readonly runner: string
  readonly jobs: number
  readonly queueWaitMs: number
  readonly runMs: number
}

export interface Report {
  readonly allocations: readonly AllocationReport[]
  readonly jobs: number
  readonly ok: number
  readonly queueWaitMs: number
  /** What the jobs would have waited beyond that, each in the queue by itself. */
  readonly savedWaitMs: number
}

export function reportOn(entries: readonly JournalEntry[]): Report {
  const delivered = entries.filter(({ event }) => event === 'delivered')
  const byRunner = new Map<string, { queued: number; start: number; jobs: number; runMs: number }>()
  for (const { ran } of delivered) {
    if (ran === undefined) continue
    const queued = Date.parse(ran.queued)
    const start = Date.parse(ran.start)
    const known = byRunner.get(ran.runner) ?? { queued, start, jobs: 0, runMs: 0 }
    byRunner.set(ran.runner, {
      queued: Math.min(known.queued, queued),
      start: Math.min(known.start, start),
      jobs: known.jobs + 1,
      runMs: known.runMs + ran.runMs,
    })
  }
  const allocations = [...byRunner].map(([runner, { queued, start, jobs, runMs }]) => ({
    runner,
    jobs,
    // times of two machines: a clock that is ahead makes no negative wait
    queueWaitMs: Math.max(0, start - queued),
    runMs,
  }))
  const sum = (pick: (allocation: AllocationReport) => number) =>
    allocations.reduce((total, one) => total + pick(one), 0)
  return {
    allocations,
    jobs: delivered.length,
    ok: delivered.filter(({ note }) => note === 'ok').length,
    queueWaitMs: sum(({ queueWaitMs }) => queueWaitMs),
    savedWaitMs: sum(({ queueWaitMs, jobs }) => queueWaitMs * (jobs - 1)),
  }
}
