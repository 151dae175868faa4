/** The runner's journey: a seat, then claim, run, record until nothing fits; then the closing handshake. */
import type { RunnerEnd } from '../contract/spool-records.ts'
import { runnerEnd } from '../spool/end-file.ts'
import {
  announceClosing,
  type EmptySeats,
  releaseSeat,
  type Seat,
  stillSeated,
  takeSeat,
  withdrawClosing,
} from '../spool/seat.ts'
import { Queue } from './claim.ts'
import type { Heartbeat } from './heartbeat.ts'
import { type Runner, remainingMs } from './runner.ts'
import type { Slots } from './slots.ts'
import { Uploads } from './uploads.ts'

const seatWaitMs = 60_000
const seatPollMs = 1_000
const idlePollMs = 200
const busyPollMs = 1_000
/** So long before the walltime's end the scripts that still run are ended, to leave time for putting things in order. */
const lastMs = 30_000
const trustMs = 120_000
const lookMs = 1_000

/**
 * Drains the lane. A crash between any two lines loses nothing: a claimed key without a living runner goes back to the queue, and a
 * script that ended is never run again.
 */
export async function drain(runner: Runner, slots: Slots, heartbeat: Heartbeat): Promise<RunnerEnd['how']> {
  const seat = await waitForSeat(runner)
  if (seat === undefined) return 'no-seat'
  const queue = new Queue(runner)
  const uploads = new Uploads(runner)
  const watch = new SeatWatch(runner, seat, heartbeat)
  let idleSinceMs: number | undefined
  for (;;) {
    slots.check()
    const end = mustLeave(runner, watch)
    if (end === 'superseded') {
      runner.log.warn("this runner was given up for dead, or its seat is another's: it ends its jobs and leaves")
      await slots.abandon()
      return end
    }
    if (end !== undefined) {
      await slots.interrupt(end === 'walltime' ? 'walltime' : 'interrupted')
      releaseSeat(runner.files, seat)
      return end
    }
    const closingDown = runner.stopping() !== undefined
    if (!closingDown && slots.free && (await slots.startNext(queue))) {
      idleSinceMs = undefined
      uploads.reset()
      continue
    }
    if (slots.busy) {
      // a free slot looks for late arrivals often; a full runner only waits for an end
      await slots.change(slots.free && !closingDown ? idlePollMs : busyPollMs)
      continue
    }
    if (!closingDown) {
      const now = runner.clock.monotonicMs()
      idleSinceMs ??= now
      const lingerMs = uploads.growing() ? idlePollMs : idleSinceMs + runner.shape.lingerMs - now
      if (lingerMs > 0) {
        await runner.clock.sleep(Math.min(idlePollMs, Math.ceil(lingerMs)))
        continue
      }
      announceClosing(runner.files, seat)
      if (queue.hasWork()) {
        withdrawClosing(runner.files, seat)
        continue
      }
    }
    releaseSeat(runner.files, seat)
    return closingDown ? 'walltime' : 'drained'
  }
}

/** A runner without a seat claims nothing, waits a while for one, and leaves. */
async function waitForSeat(runner: Runner): Promise<Seat | undefined> {
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

function mustLeave(runner: Runner, watch: SeatWatch): RunnerEnd['how'] | undefined {
  if (runner.stopping() === 'terminated') return 'signal'
  if (!watch.holds()) return 'superseded'
  return remainingMs(runner) < Math.min(lastMs, 0.1 * runner.shape.timeMs) ? 'walltime' : undefined
}

/**
 * Whether the seat is still ours. It can pass to another only after we stood still for minutes, so a look a second is enough; after a
 * stop of this process the last look is old, and nothing is claimed before a new one.
 */
class SeatWatch {
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
