/** One site's share of a pass, in one session with its queuer, under the site's own lock. A slow site delays no other. */
import { describeError, HpcError } from '../contract/errors.ts'
import { type Answer, protocolVersion, type Request } from '../contract/protocol.ts'
import { readDescription } from '../contract/read-description.ts'
import type { LaneReport } from '../contract/spool-records.ts'
import { isoTime } from '../system/clock.ts'
import type { CancelRequest } from './accept.ts'
import type { DoubtfulJob, JobToSend } from './accept-job.ts'
import type { Site } from './config.ts'
import { deliver } from './deliver.ts'
import { jobFile } from './dropbox.ts'
import { finishUnsent } from './finish-unsent.ts'
import type { Gateway } from './gateway.ts'
import type { JobBlock } from './job-block.ts'
import { appendEvents, deliveryBegan } from './journal.ts'
import { shapeOf } from './lane-shapes.ts'
import type { Lock } from './lock.ts'
import { JobReceiver } from './receive-job.ts'
import { destinationsOf, release } from './reservations.ts'
import { decideRoom, sizeOfJob } from './room.ts'
import { Session } from './session.ts'
import { type SiteState, writeSiteState } from './site-state.ts'
import { type Sent, stageIn } from './stage-in.ts'
import { isInFlight, stillToSend } from './still-to-send.ts'
import { readSubmitted } from './submitted-file.ts'
import { Undelivered } from './undelivered.ts'
import { forgetWithdrawals, readWithdrawals, withdraw as withdrawLater } from './withdraw.ts'

export interface SiteWork {
  readonly site: Site
  readonly lock: Lock
  readonly uuid: string
  readonly jobs: readonly JobToSend[]
  readonly doubtful: readonly DoubtfulJob[]
  readonly cancels: readonly CancelRequest[]
  readonly state: SiteState
  /** Ids to be asked for: what no listing shows. */
  readonly audit: readonly string[]
  readonly auditWhole: boolean
  readonly strays: readonly string[]
}

export interface SiteReport {
  readonly site: string
  readonly published: string[]
  readonly delivered: { readonly name: string; readonly block: JobBlock }[]
  readonly refused: string[]
  readonly waiting: { readonly name: string; readonly why: string }[]
  readonly lanes: readonly LaneReport[]
  readonly trouble: string[]
  /** Ids the site does not know (any more), with its marker in place. */
  readonly absent: string[]
  /** Names of `.submitted` files that are not ours. */
  readonly strays: readonly string[]
}

type Welcome = Extract<Answer, { type: 'welcome' }>

const uploadBudgetMs = 300_000

export async function passOver(gateway: Gateway, work: SiteWork, open?: Session): Promise<SiteReport> {
  const { site } = work
  const session = open ?? (await Session.open(gateway, site, work.state.workspace !== undefined))
  const report: SiteReport = {
    site: site.name,
    published: [],
    delivered: [],
    refused: [],
    waiting: [],
    lanes: [],
    trouble: [],
    absent: [],
    strays: work.strays,
  }
  try {
    const seen = await look(gateway, session, work)
    const tell = (text: string) => gateway.log.debug(`${site.name}: ${text}`)
    tell(
      `pass ${seen.generation} on ${seen.host} with ${seen.node}: ${seen.done.length} done, ${work.jobs.length} to send`,
    )
    await withdraw(gateway, session, work)
    const { jobs, unsendable, there } = await stillToSend(gateway, session, work.jobs, work.doubtful)
    report.published.push(...there)
    for (const job of unsendable) refuse(gateway, work, job, job.message, report)
    const { toSend, held } = decideRoom(
      jobs.map((job) => sizeOfJob(gateway, job)),
      { ...seen, limit: site.limits.jobs },
    )
    for (const { job, why } of held) report.waiting.push({ name: job.hpc.name, why })
    const outcomes = await stageIn(gateway, session, toSend, gateway.clock.monotonicMs() + uploadBudgetMs)
    const ensured = ask(session, { type: 'ensure' }, 'ensured')
    const cancelled = work.cancels.map((request) => cancel(session, request))
    const known = work.audit.length === 0 ? undefined : ask(session, { type: 'ask', ids: work.audit }, 'known')
    await collect(gateway, session, work, seen, report)
    for (const outcome of outcomes) settle(gateway, work, await outcome, report)
    await Promise.all(cancelled)
    for (const { id, where } of (await known)?.jobs ?? []) if (where === 'absent') report.absent.push(id)
    const { lanes, trouble } = await ensured
    if (trouble !== undefined) report.trouble.push(trouble)
    for (const lane of lanes) if (lane.trouble !== undefined) report.trouble.push(`lane ${lane.name}: ${lane.trouble}`)
    for (const id of report.published) tell(`${id} is there`)
    for (const { name, why } of report.waiting) tell(`"${name}" waits: ${why}`)
    for (const { name, block } of report.delivered) tell(`"${name}" was delivered: ${block.message}`)
    for (const lane of lanes)
      tell(`lane ${lane.lane}: ${lane.waiting} waiting, ${lane.running} running, ${lane.action}`)
    remember(gateway, work, seen, lanes, report)
    return { ...report, lanes }
  } finally {
    if (open === undefined) await session.close()
  }
}

async function ask<T extends Answer['type']>(
  session: Session,
  request: Request,
  type: T,
): Promise<Extract<Answer, { type: T }>> {
  const answer = session.answer(type)
  await session.send(request)
  return answer
}

/** Versions, what is done, how long the queues are; and from here on this pass is the newest of its gateway. */
async function look(gateway: Gateway, session: Session, work: SiteWork): Promise<Welcome> {
  return ask(session, helloOf(gateway, work.site, work.uuid, work.state.workspace ?? null), 'welcome')
}

export function helloOf(
  gateway: Gateway,
  site: Site,
  uuid: string,
  workspace: string | null,
  peek = false,
): Extract<Request, { type: 'hello' }> {
  const folder = gateway.files.stat(gateway.config.dropbox)
  return {
    type: 'hello',
    protocol: protocolVersion,
    gateway: uuid,
    pass: gateway.uuid(),
    workspace,
    dropbox: { inode: String(folder?.ino ?? ''), host: gateway.host },
    takeOver: gateway.options.takeOver,
    peek,
    observer: gateway.clock.uptime(),
    lanes: Object.values(site.lanes).map((lane) => shapeOf(site, lane, gateway.options)),
    allocationLimit: site.limits.allocations ?? null,
  }
}

/** Jobs ended here that may be over there. */
async function withdraw(gateway: Gateway, session: Session, work: SiteWork): Promise<void> {
  const list = readWithdrawals(gateway, work.site.name)
  if (list.length === 0) return
  const done = new Set<string>()
  for (const { id, key } of list) {
    const answer = session.answer('cancelling', id)
    await session.send({ type: 'cancel', id, cause: 'cancelled', why: 'The gateway has ended this job' })
    const { how } = await answer
    if (how === 'ended' || how === 'finished') {
      const cleaned = session.answer('cleaned', id)
      await session.send({ type: 'clean', id, key, keepMs: 0 })
      await cleaned
    }
    if (how !== 'requested') done.add(id)
  }
  forgetWithdrawals(gateway, work.site.name, done)
}

async function cancel(session: Session, request: CancelRequest): Promise<void> {
  const answer = session.answer('cancelling', request.id)
  await session.send({ type: 'cancel', id: request.id, cause: 'cancelled', why: 'The job was cancelled on request' })
  await answer
}

function settle(gateway: Gateway, work: SiteWork, sent: Sent, report: SiteReport): void {
  const { hpc } = sent.job
  switch (sent.outcome) {
    case 'published':
      report.published.push(hpc.id)
      return
    case 'waiting':
      report.waiting.push({ name: hpc.name, why: sent.why })
      return
    case 'refused':
      refuse(gateway, work, sent.job, `Cannot send "${hpc.name}.job": ${sent.message}`, report)
  }
}

/** Ends a job that its site does not have and cannot get. */
function refuse(
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

/** Fetches and delivers every finished job of ours; what is durable here is cleaned there at once, without waiting for the answer. */
async function collect(
  gateway: Gateway,
  session: Session,
  work: SiteWork,
  seen: Welcome,
  report: SiteReport,
): Promise<void> {
  const undelivered = new Undelivered(gateway, work.site.name)
  const cleaning: Promise<unknown>[] = []
  const clean = async (id: string, key: string, keepMs: number) => {
    cleaning.push(session.answer('cleaned', id))
    await session.send({ type: 'clean', id, key, keepMs: gateway.options.noCleanup ? -1 : keepMs })
  }
  const collecting: (() => Promise<void>)[] = []
  for (const { id, key, name } of seen.done) {
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
        report.delivered.push({ name, block })
        await clean(id, key, block.status === 'ok' ? 0 : gateway.config.keepFailedMs)
      } catch (error) {
        work.lock.check()
        receiver.discard()
        return failed(describeError(error))
      }
    })
  }
  for (const step of collecting) await step()
  undelivered.save()
  await Promise.all(cleaning)
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
  if ((finished !== undefined && finished !== 'raw' && finished.hpc.id === id) || deliveryBegan(gateway, id))
    return clean(id, key, 0)
  report.trouble.push(`"${name}.job.submitted" is gone; the result of ${id} is kept at the site`)
  appendEvents(gateway, [{ event: 'kept', id, name }])
  return clean(id, key, gateway.config.keepFailedMs)
}

function remember(
  gateway: Gateway,
  work: SiteWork,
  seen: Welcome,
  lanes: readonly LaneReport[],
  report: SiteReport,
): void {
  const { lastAudit } = work.state
  const state: SiteState = {
    workspace: seen.workspace,
    failingMs: work.state.failingMs,
    failures: 0,
    lastTry: gateway.clock.uptime(),
    lastContact: isoTime(gateway.clock.now()),
    lanes,
    host: seen.host,
    generation: seen.generation,
    ...(report.trouble[0] === undefined ? {} : { trouble: report.trouble[0] }),
    ...(work.auditWhole ? { lastAudit: gateway.clock.uptime() } : lastAudit === undefined ? {} : { lastAudit }),
  }
  writeSiteState(gateway, work.site.name, state)
}

/** The error of a site that did not get through its pass, as others see it. */
export function siteError(site: Site, error: unknown): HpcError {
  if (error instanceof HpcError) return error
  return new HpcError('transient', `Cannot work with site "${site.name}": ${describeError(error)}`, { cause: error })
}
