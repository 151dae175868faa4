/** The runner's journey: a seat, then claim, run, record until nothing fits; then the closing handshake. */
import type { RunnerEnd } from '../contract/spool-records.ts'
import { announceClosing, releaseSeat, type Seat, stillSeated, takeSeat, withdrawClosing } from '../spool/seat.ts'
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

/**
 * Drains the lane. A crash between any two lines loses nothing: a claimed key without a living runner goes back to the queue, and a
 * script that ended is never run again.
 */
export async function drain(runner: Runner, slots: Slots, heartbeat: Heartbeat): Promise<RunnerEnd['how']> {
  const seat = await waitForSeat(runner)
  if (seat === undefined) return 'no-seat'
  const queue = new Queue(runner)
  const uploads = new Uploads(runner)
  let idleSinceMs: number | undefined
  for (;;) {
    const end = mustLeave(runner, seat, heartbeat)
    if (end === 'superseded') {
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
      if (uploads.growing() || now - idleSinceMs < runner.shape.lingerMs) {
        await runner.clock.sleep(idlePollMs)
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
  for (;;) {
    const seat = takeSeat(files, lane, shape.maxRunners, { nonce: `${nonce}.${id}`, runner: id })
    if (seat !== undefined) return seat
    if (clock.monotonicMs() - startMs > seatWaitMs || runner.stopping() !== undefined) return undefined
    await clock.sleep(seatPollMs)
  }
}

function mustLeave(runner: Runner, seat: Seat, heartbeat: Heartbeat): RunnerEnd['how'] | undefined {
  if (runner.stopping() === 'terminated') return 'signal'
  // after a long stop of this process the seat may have gone to another: nothing is claimed or recorded before a look at it
  if (heartbeat.silentMs() > trustMs) runner.log.warn('this runner stood still; it looks at its seat before it goes on')
  if (!stillSeated(runner.files, runner.lane, seat)) return 'superseded'
  return remainingMs(runner) < lastMs ? 'walltime' : undefined
}
