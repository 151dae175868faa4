/** Seats: a lane has `max_runners` of them, and only a runner in one works. A seat is a chain of numbered files `<seat>.<number>`. */
import { join } from 'node:path'
import type { LanePaths } from '../contract/spool.ts'
import type { SeatRecord } from '../contract/spool-records.ts'
import type { Files } from '../system/files.ts'
import { claimNumber, numbersIn } from '../system/numbered-file.ts'
import { hasEnded } from './end-file.ts'

export interface Seat {
  readonly seat: number
  readonly number: number
  readonly path: string
}

/** Runners that keep their seat: those in the highest number of one, neither closing nor released. The listing is fresh. */
export function seatedRunners(files: Files, lane: LanePaths): { runner: string; leaving: boolean }[] {
  const names = files.listFresh(lane.seats)
  const present = new Set(names)
  const seats = new Set(names.map((name) => /^(\d+)\.\d+$/.exec(name)?.[1]).filter((seat) => seat !== undefined))
  return [...seats].flatMap((seat) => {
    const own = `${seat}.${numbersIn(names, `${seat}.`).at(-1) ?? 0}`
    const runner = files.readJson<SeatRecord>(join(lane.seats, own))?.runner
    return runner === undefined
      ? []
      : [{ runner, leaving: ['closing', 'released'].some((end) => present.has(`${own}.${end}`)) }]
  })
}

/** Seats whose record is empty, and since when the one who waits has seen that: its taker is writing it, or died in the middle. */
export type EmptySeats = Map<string, number>

const writingMs = 10_000

/**
 * A free seat below `maxRunners`, or one whose holder has ended; undefined when all are taken. One that was empty is read again under
 * our number: its taker, if it lives, lists again after writing, so that at least one of both steps back.
 */
export function takeSeat(
  files: Files,
  lane: LanePaths,
  maxRunners: number,
  holder: SeatRecord,
  empty: EmptySeats = new Map(),
  nowMs = 0,
): Seat | undefined {
  for (let seat = 0; seat < maxRunners; seat++) {
    const names = files.listFresh(lane.seats)
    const last = numbersIn(names, `${seat}.`).at(-1) ?? 0
    const path = join(lane.seats, `${seat}.${last}`)
    let wasEmpty = false
    if (last > 0 && !names.includes(`${seat}.${last}.released`)) {
      const record = files.readJson<SeatRecord>(path)
      if (record !== undefined && !hasEnded(files, lane, record.runner)) continue
      if (record === undefined) {
        wasEmpty = true
        const sinceMs = empty.get(path) ?? nowMs
        empty.set(path, sinceMs)
        if (nowMs - sinceMs < writingMs) continue
      }
    }
    const claim = claimNumber(files, lane.seats, last + 1, holder, `${seat}.`)
    if (claim === undefined) continue
    const taken = { seat, number: claim.number, path: claim.path }
    if (!wasEmpty || files.readJson<SeatRecord>(path) === undefined) return taken
    releaseSeat(files, taken)
  }
  return undefined
}

/** Asked with a fresh listing: the answer decides whether the runner goes on. */
export function stillSeated(files: Files, lane: LanePaths, seat: Seat): boolean {
  const names = files.listFresh(lane.seats)
  return (
    (numbersIn(names, `${seat.seat}.`).at(-1) ?? 0) === seat.number &&
    !names.includes(`${seat.seat}.${seat.number}.released`)
  )
}

const keepSeats = 10

/** Numbers only ever grow: what lies far behind the highest of its seat goes. */
export function forgetOldSeats(files: Files, lane: LanePaths): void {
  const names = files.list(lane.seats)
  const highest = new Map<string, number>()
  const parsed = names.map((name) => ({ name, match: /^(\d+)\.(\d+)(?:\.|$)/.exec(name) }))
  for (const { match } of parsed) {
    const [, seat = '', number = '0'] = match ?? []
    highest.set(seat, Math.max(highest.get(seat) ?? 0, Number(number)))
  }
  for (const { name, match } of parsed) {
    const [, seat = '', number = ''] = match ?? []
    if (match !== null && Number(number) < (highest.get(seat) ?? 0) - keepSeats) files.remove(join(lane.seats, name))
  }
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
