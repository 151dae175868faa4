/** Timing side by side: contestants take turns within one run, so that whatever else the machine does meets all of them. */

export interface Sample {
  readonly median: number
  readonly low: number
  readonly high: number
  readonly values: readonly number[]
}

export interface Row {
  /** What was done, with its size and round-trip time. */
  readonly work: string
  readonly unit: string
  readonly ours: Sample
  readonly peer: Sample
  readonly peerName: string
  /** How many times better than the peer; above 1 is ahead. */
  readonly ratio: number
  /** The ratio to reach. */
  readonly goal?: number
  readonly limit?: Sample
  readonly limitName?: string
  readonly note?: string
}

/** Gives its figure, in the row's unit; what it must prepare for a turn is not timed. */
export type Contestant = () => Promise<number>

export function sampleOf(values: readonly number[]): Sample {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = (sorted.length - 1) / 2
  const median = ((sorted[Math.floor(middle)] ?? Number.NaN) + (sorted[Math.ceil(middle)] ?? Number.NaN)) / 2
  return { median, low: sorted[0] ?? Number.NaN, high: sorted.at(-1) ?? Number.NaN, values }
}

/** One turn each that does not count, then `turns` turns each, one after the other. */
export async function alternate<Name extends string>(
  contestants: Readonly<Record<Name, Contestant>>,
  turns: number,
  warmUp = true,
): Promise<Record<Name, Sample>> {
  const names = Object.keys(contestants) as Name[]
  const values = new Map<Name, number[]>(names.map((name) => [name, []]))
  for (let turn = warmUp ? -1 : 0; turn < turns; turn++) {
    for (const name of names) {
      const value = await contestants[name]()
      if (turn >= 0) values.get(name)?.push(value)
    }
  }
  return Object.fromEntries(names.map((name) => [name, sampleOf(values.get(name) ?? [])])) as Record<Name, Sample>
}

/** Of two samples of rates, the one in front over the other. */
export function ratioOfRates(ours: Sample, peer: Sample): number {
  return ours.median / peer.median
}

/** Of two samples of times, where less is better. */
export function ratioOfTimes(ours: Sample, peer: Sample): number {
  return peer.median / ours.median
}

/** Units of which more is better. */
export function isRate(unit: string): boolean {
  return unit.endsWith('/s')
}

export async function timed(act: () => Promise<unknown> | unknown): Promise<number> {
  const start = performance.now()
  await act()
  return performance.now() - start
}

export function figure(value: number): string {
  if (!Number.isFinite(value)) return '-'
  const digits = Math.abs(value) >= 100 ? 0 : Math.abs(value) >= 10 ? 1 : 2
  return value.toFixed(digits)
}

export function spread(sample: Sample): string {
  return `${figure(sample.median)} (${figure(sample.low)}–${figure(sample.high)})`
}

export function tableOf(rows: readonly Row[]): string {
  const lines = rows.map((row) => [
    row.work,
    `${spread(row.ours)} ${row.unit}`,
    `${spread(row.peer)} ${row.peerName}`,
    row.limit === undefined ? '' : `${spread(row.limit)} ${row.limitName ?? ''}`,
    `${figure(row.ratio)} ×`,
    row.goal === undefined ? '' : `${row.ratio >= row.goal ? 'yes' : 'NO'} (${row.goal})`,
    row.note ?? '',
  ])
  const cells = [['work', 'ours', 'peer', 'limit', 'ratio', 'reached', 'note'], ...lines]
  const widths = cells[0]?.map((_, column) => Math.max(...cells.map((line) => line[column]?.length ?? 0))) ?? []
  return cells.map((line) => `| ${line.map((cell, i) => cell.padEnd(widths[i] ?? 0)).join(' | ')} |`).join('\n')
}
