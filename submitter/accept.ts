/** The dropbox's share of a pass, under the accept lock: new jobs in, bad ones refused, cancelled ones ended, all else told what it waits for. */
import { describeError, quoted } from '../contract/errors.ts'
import { parseDescriptionProblems, readDescription } from '../contract/read-description.ts'
import { makeJobId } from '../contract/spool.ts'
import {
  type Acceptance,
  acceptRaw,
  type Desk,
  type DoubtfulJob,
  heldBy,
  type JobToSend,
  takeJob,
} from './accept-job.ts'
import { jobFile, lookInto, moveAside, type Names, nameLimitBytes, sweepTemporaries, type Wake } from './dropbox.ts'
import { findReady } from './find-ready.ts'
import { finishUnsent, publishSubmitted, renameToFinished } from './finish-unsent.ts'
import type { Gateway } from './gateway.ts'
import { giveWhatWasLeft } from './give-to-owner.ts'
import { keepHeapSmall } from './heap.ts'
import { appendEvents } from './journal.ts'
import { OwnerLimit } from './owner-limit.ts'
import { allSubmitted, oneOfEach, type PendingJob, readPending, writePending } from './pending.ts'
import { planAndCheck } from './plan-job.ts'
import { describeSubmitted } from './remote-names.ts'
import { destinationsOf, forgetReservations, release, reserve } from './reservations.ts'
import { type HpcNode, readSubmitted, type Submitted } from './submitted-file.ts'
import { withdraw } from './withdraw.ts'

export interface CancelRequest {
  readonly id: string
  readonly name: string
  readonly site: string
  /** An earlier pass may have sent the job, or not: only who holds its site's lock may end it. */
  readonly unsure?: boolean
}

export interface Accepted {
  readonly doubtful: DoubtfulJob[]
  readonly cancels: CancelRequest[]
  readonly waiting: { readonly name: string; readonly why: string }[]
  /** Of those, names of files that may still be written: no event tells that one stands still. */
  readonly growing: string[]
  /** There is more than a pass takes. */
  readonly more: boolean
  readonly accepted: number
  readonly refused: number
}

/** Jobs are handed on in batches, and the folder is synced once for each. */
const firstBatch = 8
const largestBatch = 64
const turnEvery = 2
/** Their names alone are so much that four times it is too much. */
const manyInFlight = 10_000

export async function accept(desk: Desk): Promise<Accepted> {
  const { gateway } = desk
  const known = readPending(gateway)
  const wake = wakeOf(desk, known)
  const names = lookInto(gateway, wake)
  if (names.submitted.size > manyInFlight) keepHeapSmall()
  const result: Accepted & { accepted: number; refused: number; more: boolean } = {
    doubtful: [],
    cancels: [],
    waiting: [],
    growing: [],
    more: false,
    accepted: 0,
    refused: 0,
  }
  // not handed on before the end: what an earlier pass may have sent, and what somebody wants cancelled
  const last: JobToSend[] = []
  let batch: JobToSend[] = []
  let batchSize = firstBatch
  let done = 0
  const handOn = (jobs: JobToSend[]) => {
    gateway.files.syncFolder(gateway.config.dropbox)
    appendEvents(
      gateway,
      jobs.map(({ hpc }) => ({ event: 'accepted', id: hpc.id, name: hpc.name })),
    )
    desk.handOn(jobs.sort((a, b) => ((a.hpc.key ?? '') < (b.hpc.key ?? '') ? -1 : 1)))
  }
  for (const name of names.tooLong)
    result.waiting.push({ name, why: `its name has more than ${nameLimitBytes} bytes; give it a shorter one` })
  if (wake === undefined) {
    sweepTemporaries(gateway, names)
    if (names.submitted.size === 0) forgetReservations(gateway)
  }
  giveWhatWasLeft(gateway)
  const before: PendingJob[] = known ?? allSubmitted(gateway).map((name) => ({ id: '', name }))
  const found = await findReady(gateway, names, wake !== undefined)
  // whoever took over while we waited has written since: what we knew before must not replace it
  desk.lock.check()
  result.waiting.push(...found.waiting)
  result.growing.push(...found.growing)
  result.more = found.more
  const arrivals = found.ready.map((one) => ({ ...one, id: makeJobId(gateway.host, gateway.uuid()) }))
  // written before the first rename: whatever happens from here on, the next pass knows which names to look at
  let written: readonly PendingJob[] = known ?? []
  if (arrivals.length > 0 || known === undefined) {
    written = oneOfEach([...before, ...arrivals.map(({ id, name }) => ({ id, name }))])
    writePending(gateway, written)
  }
  const pending: PendingJob[] = []
  const note = (name: string, id: string, outcome: Acceptance) => {
    if (outcome.outcome === 'accepted') {
      result.accepted += 1
      const later = outcome.job.resumed || names.cancel.has(name)
      ;(later ? last : batch).push(outcome.job)
      pending.push({ id, name, site: outcome.job.plan.site.name })
    } else if (outcome.outcome === 'waiting') {
      result.waiting.push({ name, why: outcome.why })
      if (outcome.accepted) pending.push({ id, name, why: outcome.why })
    } else if (outcome.outcome === 'refused') result.refused += 1
  }
  for (const job of oneOfEach(before)) resume(desk, job, names, result, pending, last, note)
  const owners = new OwnerLimit(gateway, names, arrivals.length)
  const take = ({ name, id, uid }: (typeof arrivals)[number]): boolean => {
    const reached = owners.reached(uid)
    if (reached !== undefined) {
      result.waiting.push({ name, why: reached })
      return false
    }
    owners.add(uid)
    const refused = guarded(desk, name, () => takeJob(desk, name))
    if (refused !== undefined) note(name, id, refused)
    return refused === undefined
  }
  for (let at = 0; at < arrivals.length; ) {
    const group = arrivals.slice(at, at + batchSize)
    at += group.length
    const taken = group.filter(take)
    // a new name lasts before anything is written in its place: a machine that loses power could show the old one beside it again
    if (taken.length > 0) gateway.files.syncFolder(gateway.config.dropbox)
    for (const { name, id, look } of taken) {
      note(
        name,
        id,
        guarded(desk, name, () => acceptRaw(desk, name, id, look)),
      )
      done += 1
      // whoever connects and sends meanwhile gets his turn
      if (done % turnEvery === 0) await new Promise((resolve) => setImmediate(resolve))
    }
    if (batch.length > 0) {
      handOn(batch)
      batch = []
    }
    batchSize = Math.min(2 * batchSize, largestBatch)
  }
  // the same, after the turns that others had
  desk.lock.check()
  endCancelled(desk, names, result, pending, last)
  if (result.accepted > 0 || arrivals.length > 0 || last.length > 0) handOn([...last, ...batch])
  desk.turns.save()
  if (JSON.stringify(pending) !== JSON.stringify(written)) writePending(gateway, pending)
  return result
}

/** Beside what woke us, what an earlier pass left undone. Where owners have a limit, or the list was lost, everything is looked at. */
function wakeOf({ gateway, wake }: Desk, known: readonly PendingJob[] | undefined): Wake | undefined {
  if (wake === undefined || known === undefined || gateway.config.owners.limits.jobs !== undefined) return undefined
  return { ...wake, names: new Set([...wake.names, ...known.map(({ name }) => name)]) }
}

/** One job's trouble never stops the others: what we did not foresee is logged, and the job is looked at again by the next pass. */
function guarded<T>(desk: Desk, name: string, act: () => T): T | Acceptance {
  try {
    return act()
  } catch (error) {
    desk.lock.check()
    desk.gateway.log.warn(`cannot accept "${name}.job" now: ${describeError(error)}`)
    return { outcome: 'waiting', why: describeError(error), accepted: true }
  }
}

/** A job accepted by an earlier pass that is not known to have reached its site. */
function resume(
  desk: Desk,
  job: PendingJob,
  names: Names,
  result: Accepted,
  pending: PendingJob[],
  last: JobToSend[],
  note: (name: string, id: string, outcome: Acceptance) => void,
): void {
  const { gateway } = desk
  if (!names.submitted.has(job.name)) return
  const found = guardedRead(desk, job.name)
  if (found === undefined) return
  if (found === 'raw') {
    const id = job.id === '' ? makeJobId(gateway.host, gateway.uuid()) : job.id
    note(
      job.name,
      id,
      guarded(desk, job.name, () => acceptRaw(desk, job.name, id)),
    )
    return
  }
  const { hpc } = found
  if (found.job !== undefined) {
    // a result was published here and the rename to .finished did not happen; a delivery is gone on with by its site's pass
    if (hpc.delivery_began === undefined) finishAgain(desk, found)
    return
  }
  const outcome = planAgain(desk, found)
  if ('job' in outcome) {
    last.push(outcome.job)
    pending.push({ id: hpc.id, name: hpc.name, site: outcome.job.plan.site.name })
  } else if ('why' in outcome) {
    result.waiting.push({ name: hpc.name, why: outcome.why })
    pending.push({ id: hpc.id, name: hpc.name, why: outcome.why })
  } else if ('message' in outcome) {
    result.doubtful.push(outcome)
    pending.push({
      id: hpc.id,
      name: hpc.name,
      why: outcome.message,
      ...(hpc.site === undefined ? {} : { site: hpc.site }),
    })
  }
}

function guardedRead(desk: Desk, name: string): Submitted | 'raw' | undefined {
  return readSubmitted(desk.gateway, name)
}

/** Its result is published and whole: only the last step is left. */
function finishAgain({ gateway, lock }: Desk, { hpc, original }: Submitted): void {
  const reading = readDescription(original, `${hpc.name}.job`)
  renameToFinished(gateway, lock, hpc)
  if (reading.ok) release(gateway, hpc.id, destinationsOf(reading.description))
}

/**
 * Plans a waiting job anew: the config, its template or its files may have changed while it waited. It stays with its site, which may
 * have got it already; what is wrong with it now ends it only after its site has said that it has not.
 */
function planAgain(desk: Desk, found: Submitted): { job: JobToSend } | { why: string } | DoubtfulJob | { ended: true } {
  const { gateway, lock } = desk
  const { hpc, original } = found
  const reading = readDescription(original, `${hpc.name}.job`)
  const end = (message: string) => {
    withdrawJob(desk, hpc)
    finishUnsent(gateway, lock, original, hpc, 'aborted', message)
    appendEvents(gateway, [{ event: 'aborted', id: hpc.id, name: hpc.name, note: message }])
    return { ended: true } as const
  }
  if (!reading.ok) return end(`Cannot accept ${quoted(`${hpc.name}.job`)}: its text cannot be read back; drop it again`)
  const { description } = reading
  const { target: _, ...rest } = description
  const atHome = hpc.site !== undefined && Object.hasOwn(gateway.config.sites, hpc.site)
  const bound = hpc.site !== undefined && atHome ? { ...rest, site: hpc.site } : description
  const plan = planAndCheck(
    gateway,
    hpc.owner,
    bound,
    { id: hpc.id, name: hpc.name, gateway: desk.uuid },
    desk.findTemplate,
    desk.folders,
  )
  if (Array.isArray(plan)) {
    const message = parseDescriptionProblems(plan, `${hpc.name}.job`)
    // where its site is no longer in the config there is nobody to ask
    return atHome ? { hpc, original, description, message } : end(message)
  }
  const holder = reserve(gateway, { id: hpc.id, name: hpc.name }, destinationsOf(description))
  if (holder !== undefined) return { why: heldBy(holder) }
  const key = hpc.key ?? plan.record.key
  const planned = { ...plan, record: { ...plan.record, key } }
  const now = { ...hpc, ...describeSubmitted(planned, description, key) }
  if (!atHome) {
    // its site is no longer in the config: it goes to another, and the old one is told if it ever comes back
    withdrawJob(desk, hpc)
    publishSubmitted(gateway, lock, original, now)
  }
  return { job: { hpc: now, original, description, plan: planned, seal: undefined, resumed: true } }
}

/** It is not known to have been published, which is not known not to: its site is told. */
function withdrawJob(desk: Desk, hpc: HpcNode): void {
  if (hpc.site !== undefined && hpc.key !== undefined) withdraw(desk.gateway, hpc.site, { id: hpc.id, key: hpc.key })
}

/** Not one of this very pass: another may have sent it, and may be delivering it at this moment. */
function mayBeSent(gateway: Gateway, { id, site, key }: HpcNode, unsent: readonly JobToSend[]): boolean {
  if (site === undefined || key === undefined || !Object.hasOwn(gateway.config.sites, site)) return false
  return unsent.find((job) => job.hpc.id === id)?.resumed !== false
}

/** `x.job.cancel`: the owner's request to stop. One that is not the owner's, or names nothing, is removed. */
function endCancelled(desk: Desk, names: Names, result: Accepted, pending: PendingJob[], unsent: JobToSend[]): void {
  const { gateway, lock } = desk
  const { files } = gateway
  for (const name of names.cancel) {
    const paths = jobFile(gateway, name)
    const request = files.stat(paths.cancel)
    if (request === undefined) continue
    const found = guardedRead(desk, name)
    if (!request.isFile()) {
      moveAside(gateway, paths.cancel)
      continue
    }
    if (found === undefined || found === 'raw') {
      if (!files.exists(paths.job)) files.remove(paths.cancel)
      continue
    }
    const { hpc } = found
    const submittedAt = Date.parse(hpc.history[0]?.at ?? '')
    if (request.uid !== hpc.owner.uid && request.uid !== gateway.uid) {
      gateway.log.warn(`"${name}.job.cancel" is not of the job's owner; removed`)
      files.remove(paths.cancel)
    } else if (request.mtimeMs < submittedAt - 1000) files.remove(paths.cancel)
    else if (pending.some((job) => job.id === hpc.id) && mayBeSent(gateway, hpc, unsent)) {
      result.cancels.push({ id: hpc.id, name, site: hpc.site ?? '', unsure: true })
      const at = unsent.findIndex((job) => job.hpc.id === hpc.id)
      if (at >= 0) unsent.splice(at, 1)
    } else if (pending.some((job) => job.id === hpc.id)) {
      withdrawJob(desk, hpc)
      finishUnsent(gateway, lock, found.original, hpc, 'cancelled', 'The job was cancelled before it was sent')
      const reading = readDescription(found.original, `${name}.job`)
      if (reading.ok) release(gateway, hpc.id, destinationsOf(reading.description))
      appendEvents(gateway, [{ event: 'cancelled', id: hpc.id, name }])
      pending.splice(
        pending.findIndex((job) => job.id === hpc.id),
        1,
      )
      const at = unsent.findIndex((job) => job.hpc.id === hpc.id)
      if (at >= 0) unsent.splice(at, 1)
    } else if (hpc.site !== undefined) result.cancels.push({ id: hpc.id, name, site: hpc.site })
  }
}
