/** Jobs that end otherwise than by their script, told to their site: withdrawn ones, cancelled ones, and those that cannot be sent. */
import type { CancelRequest } from './accept.ts'
import type { DoubtfulJob, JobToSend } from './accept-job.ts'
import { endCancelledHere } from './end-cancelled.ts'
import { finishUnsent } from './finish-unsent.ts'
import type { Gateway } from './gateway.ts'
import { appendEvents } from './journal.ts'
import { destinationsOf, release } from './reservations.ts'
import type { Session } from './session.ts'
import type { SiteReport, SiteWork } from './site-pass.ts'
import { isInFlight } from './still-to-send.ts'
import { forgetWithdrawals, readWithdrawals, withdraw as withdrawLater } from './withdraw.ts'

/** Jobs ended here that may be over there. */
export async function withdraw(gateway: Gateway, session: Session, work: SiteWork): Promise<void> {
  const list = readWithdrawals(gateway, work.site.name)
  if (list.length === 0) return
  const why = 'The gateway has ended this job'
  const asked = list.map(async ({ id, key }) => {
    const answer = session.answer('cancelling', id)
    await session.send({ type: 'cancel', id, cause: 'cancelled', why })
    return { id, key, how: (await answer).how }
  })
  const told = await Promise.all(asked)
  const ended = told.filter(({ how }) => how === 'ended' || how === 'finished')
  await Promise.all(
    ended.map(async ({ id, key }) => {
      const cleaned = session.answer('cleaned', id)
      await session.send({ type: 'clean', id, key, keepMs: 0 })
      await cleaned
    }),
  )
  const done = new Set(told.filter(({ how }) => how !== 'requested' && how !== 'unknown').map(({ id }) => id))
  forgetWithdrawals(gateway, work.site.name, done)
}

/** The runner is asked to stop a script that is at work; a job that waits ends at once; one that was never sent ends here. */
export async function cancel(
  gateway: Gateway,
  session: Session,
  work: SiteWork,
  request: CancelRequest,
  report: SiteReport,
): Promise<void> {
  const answer = session.answer('cancelling', request.id)
  await session.send({ type: 'cancel', id: request.id, cause: 'cancelled', why: 'The job was cancelled on request' })
  const { how } = await answer
  // the next pass asks again
  if (request.unsure !== true || how === 'unknown') return
  if (how !== 'absent') report.published.push(request.id)
  else {
    endCancelledHere(gateway, work.lock, request, { message: 'The job was cancelled before it was sent', told: true })
    report.refused.push(request.id)
  }
}

/** Ends a job that its site does not have and cannot get. */
export function refuse(
  gateway: Gateway,
  work: SiteWork,
  { hpc, original, description }: JobToSend | DoubtfulJob,
  message: string,
  report: SiteReport,
): void {
  if (!isInFlight(gateway, hpc)) return
  // an earlier pass may have begun to send it
  if (hpc.site !== undefined && hpc.key !== undefined) withdrawLater(gateway, hpc.site, { id: hpc.id, key: hpc.key })
  finishUnsent(gateway, work.lock, original, hpc, 'aborted', message)
  release(gateway, hpc.id, destinationsOf(description))
  appendEvents(gateway, [{ event: 'aborted', id: hpc.id, name: hpc.name, note: message }])
  report.refused.push(hpc.id)
}
