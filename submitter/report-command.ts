/** `report`: jobs per allocation, queue wait, and the wait that batching saved. */
import { renderDuration } from '../contract/units.ts'
import type { Gateway } from './gateway.ts'
import { readJournal } from './journal.ts'
import { reportOn } from './report.ts'

function duration(ms: number): string {
  return ms < 1000 ? `${ms}ms` : renderDuration(Math.round(ms / 1000) * 1000)
}

export function reportCommand(gateway: Gateway, json: boolean): number {
  const report = reportOn(readJournal(gateway))
  if (json) {
    process.stdout.write(`${JSON.stringify(report)}\n`)
    return 0
  }
  const lines = report.allocations.map(
    ({ runner, jobs, queueWaitMs, runMs }) =>
      `${String(jobs).padStart(6)} jobs  waited ${duration(queueWaitMs).padEnd(8)} ran ${duration(runMs).padEnd(8)} ${runner}`,
  )
  const each =
    report.allocations.length === 0
      ? 0
      : report.allocations.reduce((sum, { jobs }) => sum + jobs, 0) / report.allocations.length
  lines.push(
    `${report.jobs} jobs delivered, ${report.ok} of them ok; ${report.allocations.length} allocations, ${each.toFixed(1)} jobs each`,
    `queue wait ${duration(report.queueWaitMs)} in all; by themselves the jobs would have waited ${duration(report.savedWaitMs)} more`,
  )
  process.stdout.write(`${lines.join('\n')}\n`)
  return 0
}
