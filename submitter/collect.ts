/** Collecting: every finished job of ours is fetched and delivered, or told why not yet; one job's trouble is its own. */
import { describeError, quoted } from '../contract/errors.ts'
import type { Answer } from '../contract/protocol.ts'
import { readDescription } from '../contract/read-description.ts'
import { idOfKey } from '../contract/spool.ts'
import { deliver, keepMsFor } from './deliver.ts'
import { jobFile } from './dropbox.ts'
import { finishUnsent } from './finish-unsent.ts'
import type { Gateway } from './gateway.ts'
import { giveToOwner } from './give-to-owner.ts'
import { keepHeapSmall } from './heap.ts'
import { appendEvents, deliveryBegan } from './journal.ts'
import type { Lock } from './lock.ts'
import { JobReceiver } from './receive-job.ts'
import { destinationsOf, release } from './reservations.ts'
import type { Session } from './session.ts'
import type { SiteReport, SiteWork } from './site-pass.ts'
import { readSubmitted } from './submitted-file.ts'
import { Undelivered } from './undelivered.ts'

/** So many are on their way: enough to fill a distance, and what they hold stays small. */
const mostAtOnce = 500

/** Fetches and delivers every finished job of ours; what is durable here is cleaned there at once, without waiting for the answer. */
export async function collect(
  gateway: Gateway,
  session: Session,
  work: SiteWork,
  seen: Extract<Answer, { type: 'welcome' }>,
  report: SiteReport,
): Promise<void> {
  if (seen.done.length > mostAtOnce) keepHeapSmall()
  const undelivered = new Undelivered(gateway, work.site.name)
  const cleaning: Promise<unknown>[] = []
  const clean = async (id: string, key: string, keepMs: number) => {
    cleaning.push(session.answer('cleaned', id))
    await session.send({ type: 'clean', id, key, keepMs: gateway.options.noCleanup ? -1 : keepMs })
  }
  const collecting: (() => Promise<void>)[] = []
  try {
    for (const { id, key, name } of seen.done) {
      if (idOfKey(key) !== id || name.includes('/') || name.includes('\0')) {
        report.trouble.push(`the site tells of a job ${quoted(name)} that is none of ours`)
        continue
      }
      const submitted = readSubmitted(gateway, name)
      if (submitted === undefined || submitted === 'raw' || submitted.hpc.id !== id) {
        await forget(gateway, id, key, name, clean, report)
        continue
      }
      const reading = readDescription(submitted.original, `${name}.job`)
      const giveUp = async (why: string) => {
        const until = new Date(gateway.clock.now() + gateway.config.keepFailedMs).toISOString().slice(0, 10)
        const message = `The job ran, but ${why}; what it computed is kept at site "${work.site.name}" until ${until}, under job id ${id}`
        finishUnsent(gateway, work.lock, submitted.original, submitted.hpc, 'aborted', message)
        if (reading.ok) release(gateway, id, destinationsOf(reading.description))
        appendEvents(gateway, [{ event: 'aborted', id, name, note: message }])
        await clean(id, key, gateway.config.keepFailedMs)
      }
      if (!reading.ok) {
        await giveUp('its description cannot be read back')
        continue
      }
      const receiver = new JobReceiver(gateway, submitted.hpc, reading.description)
      const failed = async (why: string) => {
        const expiryMs = reading.description.expiryMs ?? gateway.config.expiryMs
        const over = undelivered.failed(id, why, gateway.clock.uptime(), expiryMs)
        if (over && submitted.hpc.delivery_began === undefined) {
          await giveUp(`its result could not be delivered until its expiry ran out: ${why}`)
          return
        }
        report.waiting.push({ name, why: `its result cannot be delivered yet: ${why}` })
        report.trouble.push(`the result of "${name}.job" cannot be delivered yet: ${why}`)
      }
      const obstacle = undelivered.obstacle(id, receiver, gateway.clock.uptime())
      if (obstacle !== undefined) {
        await failed(obstacle)
        continue
      }
      session.collectors.set(id, receiver)
      const answer = session.answer(['collected', 'uncollected'], id)
      await session.send({ type: 'collect', id, key })
      collecting.push(async () => {
        const said = await answer
        session.collectors.delete(id)
        await receiver.settled()
        const why =
          said.type === 'uncollected'
            ? said.why
            : receiver.isWhole()
              ? undefined
              : (receiver.fault ?? 'it did not arrive whole')
        if (why !== undefined) {
          receiver.discard()
          return failed(why)
        }
        try {
          const block = deliver(gateway, work.lock, submitted, receiver)
          receiver.letGo()
          report.delivered.push({ name, status: block.status, message: block.message })
          await clean(id, key, keepMsFor(gateway, block.status, receiver))
        } catch (error) {
          const lost = whyLost(work.lock)
          receiver.discard(lost === undefined)
          if (lost !== undefined) throw lost.error
          return failed(describeError(error))
        }
      })
      if (collecting.length > mostAtOnce) await collecting.shift()?.()
    }
    // each is forgotten when it is done: the streams of a thousand jobs are not kept side by side
    for (let step = collecting.shift(); step !== undefined; step = collecting.shift()) await step()
  } finally {
    const isLocked = whyLost(work.lock) === undefined
    for (const receiver of session.collectors.values()) receiver.discard(isLocked)
    session.collectors.clear()
    undelivered.save()
  }
  await Promise.all(cleaning)
}

function whyLost(lock: Lock): { readonly error: unknown } | undefined {
  try {
    lock.check()
    return undefined
  } catch (error) {
    return { error }
  }
}

/** A finished job without its `.submitted`: delivered before and only not cleaned, or its file was taken away; then it is kept a while. */
async function forget(
  gateway: Gateway,
  id: string,
  key: string,
  name: string,
  clean: (id: string, key: string, keepMs: number) => Promise<void>,
  report: SiteReport,
): Promise<void> {
  const finished = gateway.files.exists(jobFile(gateway, name).finished)
    ? readSubmitted(gateway, name, 'finished')
    : undefined
  if (finished !== undefined && finished !== 'raw' && finished.hpc.id === id) {
    giveToOwner(gateway, finished.hpc)
    const status = (finished.job as { status?: unknown } | undefined)?.status
    return clean(id, key, status === 'ok' ? 0 : gateway.config.keepFailedMs)
  }
  if (deliveryBegan(gateway, id)) return clean(id, key, 0)
  report.trouble.push(`"${name}.job.submitted" is gone; the result of ${id} is kept at the site`)
  appendEvents(gateway, [{ event: 'kept', id, name }])
  return clean(id, key, gateway.config.keepFailedMs)
}
