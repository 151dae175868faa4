/** One site's share of a pass, in one session with its queuer, under the site's own lock. A slow site delays no other. */
import { describeError, HpcError, quoted } from '../contract/errors.ts'
import type { Answer } from '../contract/protocol.ts'
import type { LaneReport } from '../contract/spool-records.ts'
import { isoTime } from '../system/clock.ts'
import type { DoubtfulJob, JobToSend } from './accept-job.ts'
import type { Arrivals } from './arrivals.ts'
import type { Audit } from './audit.ts'
import { collect } from './collect.ts'
import type { Site } from './config.ts'
import { cancel, refuse, withdraw } from './end-at-site.ts'
import type { Gateway } from './gateway.ts'
import { helloOf } from './hello.ts'
import { MadeLanes } from './lane-shapes.ts'
import type { Lock } from './lock.ts'
import { decideRoom, type Room, sizeOfJob } from './room.ts'
import type { Session } from './session.ts'
import { type SiteState, writeSiteState } from './site-state.ts'
import { isSmall, type Sent, stageSmall } from './stage-in.ts'
import { stageLarge } from './stage-large.ts'
import { stillToSend } from './still-to-send.ts'

export interface SiteWork {
  readonly site: Site
  readonly lock: Lock
  readonly uuid: string
  /** What is accepted, while it is. */
  readonly arrivals: Arrivals
  readonly state: SiteState
  /** What no listing shows is asked for. */
  readonly audit: Audit
}

export interface SiteReport {
  readonly site: string
  readonly published: string[]
  readonly delivered: { readonly name: string; readonly status: 'ok' | 'error'; readonly message: string }[]
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

export async function passOver(gateway: Gateway, work: SiteWork, session: Session): Promise<SiteReport> {
  const { site } = work
  const report: SiteReport = {
    site: site.name,
    published: [],
    delivered: [],
    refused: [],
    waiting: [],
    lanes: [],
    trouble: [],
    absent: [],
    strays: work.audit.strays,
  }
  const seen = await look(gateway, session, work)
  await withdraw(gateway, session, work)
  const { outcomes, large } = await stageArrivals(gateway, session, work, seen, report)
  const accepted = await work.arrivals.all
  const cancels = accepted?.cancels.filter((request) => request.site === site.name) ?? []
  let ensured = session.ask({ type: 'ensure' }, 'ensured')
  const cancelled = cancels.map((request) => cancel(gateway, session, work, request, report))
  const known = work.audit.ids.length === 0 ? undefined : session.ask({ type: 'ask', ids: work.audit.ids }, 'known')
  // when the session breaks they all do; only the first is thrown, and none may end the process
  for (const asked of [ensured, known, ...cancelled, ...outcomes]) asked?.catch(() => undefined)
  await collect(gateway, session, work, seen, report)
  for (const outcome of outcomes) settle(gateway, work, await outcome, report)
  await Promise.all(cancelled)
  for (const { id, where } of (await known)?.jobs ?? []) if (where === 'absent') report.absent.push(id)
  if (large.length > 0) {
    // a runner is asked for and results are home before a long upload begins, and a runner once more when it has ended
    await ensured
    const later = await stageLarge(gateway, session, large, gateway.clock.monotonicMs() + uploadBudgetMs)
    for (const outcome of later) settle(gateway, work, await outcome, report)
    ensured = session.ask({ type: 'ensure' }, 'ensured')
  }
  const { lanes, trouble } = await ensured
  if (trouble !== undefined) report.trouble.push(trouble)
  for (const lane of lanes) if (lane.trouble !== undefined) report.trouble.push(`lane ${lane.name}: ${lane.trouble}`)
  tellSteps(gateway, seen, outcomes.length + large.length, { ...report, lanes })
  remember(gateway, work, seen, lanes, report)
  return { ...report, lanes }
}

/** Versions, what is done, how long the queues are; and from here on this pass is the newest of its gateway. */
async function look(gateway: Gateway, session: Session, work: SiteWork): Promise<Welcome> {
  const seen = await session.ask(helloOf(gateway, work.site, work.uuid, work.state.workspace ?? null), 'welcome')
  session.store.learn(seen.store)
  return seen
}

/** Sends the small jobs as they are accepted, if they are still to be sent and there is room; the large ones are only gathered. */
async function stageArrivals(
  gateway: Gateway,
  session: Session,
  work: SiteWork,
  seen: Welcome,
  report: SiteReport,
): Promise<{ outcomes: Promise<Sent>[]; large: JobToSend[] }> {
  const outcomes: Promise<Sent>[] = []
  const large: JobToSend[] = []
  const lanes = new MadeLanes(gateway, work.site)
  let room: Room = { ...seen, limit: work.site.limits.jobs }
  const stage = async (batch: readonly JobToSend[], doubtful: readonly DoubtfulJob[]) => {
    const { jobs, unsendable, there } = await stillToSend(gateway, session, batch, doubtful)
    report.published.push(...there)
    for (const job of unsendable) refuse(gateway, work, job, job.message, report)
    const sized = jobs.map((job) => sizeOfJob(gateway, job))
    const { toSend, held, left } = decideRoom(sized, room)
    room = left
    for (const { job, why } of held) report.waiting.push({ name: job.hpc.name, why })
    const lanesNow = lanes.newOf(toSend)
    if (lanesNow.length > 0) await session.send({ type: 'lanes', lanes: lanesNow })
    const small = new Set(sized.filter(({ bytes }) => isSmall(bytes)).map(({ job }) => job))
    large.push(...toSend.filter((job) => !small.has(job)))
    const sent = await stageSmall(
      gateway,
      session,
      toSend.filter((job) => small.has(job)),
    )
    outcomes.push(...sent)
  }
  for await (const batch of work.arrivals.of(work.site.name)) await stage(batch, [])
  const accepted = await work.arrivals.all
  const doubtful = accepted?.doubtful.filter(({ hpc }) => hpc.site === work.site.name) ?? []
  if (doubtful.length > 0) await stage([], doubtful)
  return { outcomes, large }
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
      refuse(gateway, work, sent.job, `Cannot send ${quoted(`${hpc.name}.job`)}: ${sent.message}`, report)
  }
}

/** For --debug: what this pass did, line by line. */
function tellSteps(gateway: Gateway, seen: Welcome, toSend: number, report: SiteReport): void {
  const tell = (text: string) => gateway.log.debug(`${report.site}: ${text}`)
  tell(`pass ${seen.generation} on ${seen.host} with ${seen.node}: ${seen.done.length} done, ${toSend} to send`)
  for (const id of report.published) tell(`${id} is there`)
  for (const { name, why } of report.waiting) tell(`"${name}" waits: ${why}`)
  for (const { name, message } of report.delivered) tell(`"${name}" was delivered: ${message}`)
  for (const { lane, waiting, running, action } of report.lanes)
    tell(`lane ${lane}: ${waiting} waiting, ${running} running, ${action}`)
}

function remember(
  gateway: Gateway,
  work: SiteWork,
  seen: Welcome,
  lanes: readonly LaneReport[],
  report: SiteReport,
): void {
  const { lastAudit } = work.state
  const { whole, next } = work.audit
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
    ...(whole ? { lastAudit: gateway.clock.uptime() } : lastAudit === undefined ? {} : { lastAudit }),
    ...(next === undefined ? {} : { auditedTo: next }),
  }
  writeSiteState(gateway, work.site.name, state)
}

/** The error of a site that did not get through its pass, as others see it. */
export function siteError(site: Site, error: unknown): HpcError {
  if (error instanceof HpcError) return error
  return new HpcError('transient', `Cannot work with site "${site.name}": ${describeError(error)}`, { cause: error })
}
