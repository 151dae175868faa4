/** Seats: a lane has `max_runners` of them, and only a runner in one works. A seat is a chain of numbered files `<seat>.<number>`. */
import { join } from 'node:path'
import type { LanePaths } from '../contract/spool.ts'
import type { RunnerEnd, SeatRecord } from '../contract/spool-records.ts'
import type { Files } from '../system/files.ts'
import { claimNumber, numbersIn } from '../system/numbered-file.ts'

export interface Seat {
  readonly seat: number
  readonly number: number
  readonly path: string
}

export function runnerEnd(files: Files, lane: LanePaths, runner: string): RunnerEnd | undefined {
  return files.readJson<RunnerEnd>(`${lane.runner(runner)}.end`)
}

/** Who sits where: the highest number of each seat, unless released. */
export function readSeats(
  files: Files,
  lane: LanePaths,
): { seat: number; number: number; runner: string; closing: boolean }[] {
  const names = files.list(lane.seats)
  const present = new Set(names)
  const seats = new Set(names.map((name) => /^(\d+)\.\d+$/.exec(name)?.[1]).filter((seat) => seat !== undefined))
  const taken: { seat: number; number: number; runner: string; closing: boolean }[] = []
  for (const seat of seats) {
    const number = numbersIn(names, `${seat}.`).at(-1) ?? 0
    if (number === 0 || present.has(`${seat}.${number}.released`)) continue
    const record = files.readJson<SeatRecord>(join(lane.seats, `${seat}.${number}`))
    if (record === undefined) continue
    taken.push({ seat: Number(seat), number, runner: record.runner, closing: present.has(`${seat}.${number}.closing`) })
  }
  return taken
}

/** A free seat below `maxRunners`, or one whose holder has ended; undefined when all are taken. */
export function takeSeat(files: Files, lane: LanePaths, maxRunners: number, holder: SeatRecord): Seat | undefined {
  for (let seat = 0; seat < maxRunners; seat++) {
    const names = files.listFresh(lane.seats)
    const last = numbersIn(names, `${seat}.`).at(-1) ?? 0
    if (last > 0 && !names.includes(`${seat}.${last}.released`)) {
      const record = files.readJson<SeatRecord>(join(lane.seats, `${seat}.${last}`))
      if (record === undefined || runnerEnd(files, lane, record.runner) === undefined) continue
    }
    const claim = claimNumber(files, lane.seats, last + 1, holder, `${seat}.`)
    if (claim !== undefined) return { seat, number: claim.number, path: claim.path }
  }
  return undefined
}

export function stillSeated(files: Files, lane: LanePaths, seat: Seat): boolean {
  const names = files.list(lane.seats)
  return (
    (numbersIn(names, `${seat.seat}.`).at(-1) ?? 0) === seat.number &&
    !names.includes(`${seat.seat}.${seat.number}.released`)
  )
}

/** Announces that the runner means to leave. Publishers write their key first and read the seats then: one of both sees the other. */
export function announceClosing(files: Files, seat: Seat): void {
  files.createExclusive(`${seat.path}.closing`, '')
}

export function withdrawClosing(files: Files, seat: Seat): void {
  files.remove(`${seat.path}.closing`)
}

export function releaseSeat(files: Files, seat: Seat): void {
  files.createExclusive(`${seat.path}.released`, '')
}
