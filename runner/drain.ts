/** The runner's journey: a seat, then claim, run, record until nothing fits; then the closing handshake. */
import type { RunnerEnd } from '../contract/spool-records.ts'
import { announceClosing, releaseSeat, withdrawClosing } from '../spool/seat.ts'
import { Queue } from './claim.ts'
import type { Heartbeat } from './heartbeat.ts'
import { type Runner, remainingMs } from './runner.ts'
import { SeatWatch, waitForSeat } from './seat-watch.ts'
import type { Slots } from './slots.ts'
import { Uploads } from './uploads.ts'

const idlePollMs = 200
const busyPollMs = 1_000
/** So long before the walltime's end the scripts that still run are ended, to leave time for putting things in order. */
const lastMs = 30_000

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
    slots.giveBack(closingDown ? 'all' : 'overdue')
    if (!closingDown && slots.free && (await slots.startNext(queue))) {
      idleSinceMs = undefined
      uploads.reset()
      continue
    }
    if (slots.busy) {
      if (!closingDown) slots.claimAhead(queue)
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

function mustLeave(runner: Runner, watch: SeatWatch): RunnerEnd['how'] | undefined {
  if (runner.stopping() === 'terminated') return 'signal'
  if (!watch.holds()) return 'superseded'
  return remainingMs(runner) < Math.min(lastMs, 0.1 * runner.shape.timeMs) ? 'walltime' : undefined
}
