/** A runner's seat: waiting for one, and knowing whether it is still ours. */
import { runnerEnd } from '../spool/end-file.ts'
import { type EmptySeats, type Seat, stillSeated, takeSeat } from '../spool/seat.ts'
import type { Heartbeat } from './heartbeat.ts'
import type { Runner } from './runner.ts'

const seatWaitMs = 60_000
const seatPollMs = 1_000
const trustMs = 120_000
const lookMs = 1_000

/** A runner without a seat claims nothing, waits a while for one, and leaves. */
export async function waitForSeat(runner: Runner): Promise<Seat | undefined> {
  const { files, lane, shape, clock, id, nonce } = runner
  const startMs = clock.monotonicMs()
  const empty: EmptySeats = new Map()
  for (;;) {
    const nowMs = clock.monotonicMs()
    const seat = takeSeat(files, lane, shape.maxRunners, { nonce: `${nonce}.${id}`, runner: id }, empty, nowMs)
    if (seat !== undefined) return seat
    if (nowMs - startMs > seatWaitMs || runner.stopping() !== undefined) return undefined
    await clock.sleep(seatPollMs)
  }
}

/**
 * Whether the seat is still ours. It can pass to another only after we stood still for minutes, so a look a second is enough; after a
 * stop of this process the last look is old, and nothing is claimed before a new one.
 */
export class SeatWatch {
  readonly #runner: Runner
  readonly #seat: Seat
  readonly #heartbeat: Heartbeat
  #lookedAtMs = Number.NEGATIVE_INFINITY

  constructor(runner: Runner, seat: Seat, heartbeat: Heartbeat) {
    this.#runner = runner
    this.#seat = seat
    this.#heartbeat = heartbeat
  }

  holds(): boolean {
    const { files, lane, clock, id, log } = this.#runner
    const nowMs = clock.monotonicMs()
    if (nowMs - this.#lookedAtMs < lookMs) return true
    if (this.#heartbeat.silentMs() > trustMs)
      log.warn('this runner stood still; it looks at its seat before it goes on')
    this.#lookedAtMs = nowMs
    return stillSeated(files, lane, this.#seat) && runnerEnd(files, lane, id) === undefined
  }
}
