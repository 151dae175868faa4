/** Accepting one job: one rename, one read from one descriptor, one decision, one publication of the file over itself. */

import { quoted } from '../contract/errors.ts'
import type { JobDescription } from '../contract/job-description.ts'
import { parseDescriptionProblems, readDescription } from '../contract/read-description.ts'
import { readSpliced } from '../contract/result-file.ts'
import { makeKey } from '../contract/spool.ts'
import type { HistoryEvent } from '../contract/spool-records.ts'
import { isoTime } from '../system/clock.ts'
import type { FolderLooks } from './check-files.ts'
import { jobFile, moveAside, type ReadFile, readRegular, type Wake } from './dropbox.ts'
import { finishUnsent, publishSubmitted } from './finish-unsent.ts'
import type { Gateway } from './gateway.ts'
import type { Lock } from './lock.ts'
import { type FindTemplate, type Plan, planAndCheck } from './plan-job.ts'
import type { Look } from './readiness.ts'
import { describeSubmitted } from './remote-names.ts'
import { destinationsOf, reserve } from './reservations.ts'
import type { HpcNode } from './submitted-file.ts'
import type { Turns } from './turns.ts'

export interface JobToSend {
  readonly hpc: HpcNode
  readonly original: Uint8Array
  readonly description: JobDescription
  readonly plan: Plan
  /** The `.submitted` as this pass published it; undefined when it only read it. */
  readonly seal: string | undefined
  /** Accepted by an earlier pass, which may have sent it: its site is asked first. */
  readonly resumed: boolean
}

/** A job of an earlier pass that could not be sent as things are now. Only its site knows whether it was sent before. */
export interface DoubtfulJob {
  readonly hpc: HpcNode
  readonly original: Uint8Array
  readonly description: JobDescription
  readonly message: string
}

export type Acceptance =
  | { readonly outcome: 'accepted'; readonly job: JobToSend }
  | { readonly outcome: 'refused'; readonly message: string }
  /** Not renamed, or accepted and not to be sent yet. */
  | { readonly outcome: 'waiting'; readonly why: string; readonly accepted: boolean }
  | { readonly outcome: 'gone' }

export interface Desk {
  readonly gateway: Gateway
  readonly lock: Lock
  readonly uuid: string
  /** What the pass was woken for; undefined when it looks at everything. */
  readonly wake?: Wake | undefined
  readonly turns: Turns
  /** Expiry counts the failing time of a site from what it is at acceptance. */
  readonly failingMs: (site: string) => number
  readonly findTemplate: FindTemplate
  readonly folders: FolderLooks
  /** Takes jobs whose `.submitted` is durable, while others are still being accepted. */
  readonly handOn: (jobs: readonly JobToSend[]) => void
}

/** `x.job` → `x.job.submitted`, or why not: a job of that name is still under way, or its result unread. */
export function takeJob(desk: Desk, name: string): Acceptance | undefined {
  const { gateway, lock } = desk
  const { files } = gateway
  const paths = jobFile(gateway, name)
  lock.check()
  if (files.exists(paths.submitted))
    return { outcome: 'waiting', why: 'a job of this name is under way', accepted: false }
  if (files.exists(paths.finished)) {
    return {
      outcome: 'waiting',
      why: 'the result of an earlier job of this name has not been taken away',
      accepted: false,
    }
  }
  return files.move(paths.job, paths.submitted) ? undefined : { outcome: 'gone' }
}

/** From the rename on: also what a pass finds that follows one which died right after it. */
export function acceptRaw(desk: Desk, name: string, id: string, look?: Look): Acceptance {
  const { gateway, lock } = desk
  const paths = jobFile(gateway, name)
  const read = readRegular(gateway, paths.submitted)
  if (read === undefined) return { outcome: 'gone' }
  if ('fault' in read) return refuseUnread(desk, name, id, read.fault)
  const oddName = faultOfName(name)
  if (oddName !== undefined) return refuseNamed(desk, name, id, read, oddName)
  if (
    look !== undefined &&
    (look.inode !== read.stats.ino || look.size !== read.stats.size || look.mtimeMs !== read.stats.mtimeMs)
  ) {
    // somebody still writes it: back it goes, for the next pass to look at; where another has come meanwhile, it is read then as it is
    const back = !gateway.files.exists(paths.job)
    lock.check()
    if (back) gateway.files.os.renameSync(paths.submitted, paths.job)
    return { outcome: 'waiting', why: 'it changed while it was looked at', accepted: !back }
  }
  const hpc = firstNode(desk, name, id, read)
  const reading = readDescription(read.bytes, `${name}.job`)
  const plan = reading.ok
    ? planAndCheck(
        gateway,
        hpc.owner,
        reading.description,
        { id, name, gateway: desk.uuid },
        desk.findTemplate,
        desk.folders,
      )
    : reading.problems
  if (Array.isArray(plan) || !reading.ok) {
    const problems = Array.isArray(plan) ? plan : []
    const message =
      (look === undefined ? sentByHpcBatch(read.bytes) : undefined) ?? parseDescriptionProblems(problems, `${name}.job`)
    finishUnsent(gateway, lock, read.bytes, hpc, 'aborted', message)
    return { outcome: 'refused', message }
  }
  const turn = desk.turns.next(plan.laneId, hpc.owner.uid, reading.description.script)
  const key = makeKey(reading.description.priority, turn, id)
  const ready: HpcNode = {
    ...hpc,
    ...describeSubmitted(plan, reading.description, key),
    expiry_base_ms: desk.failingMs(plan.site.name),
    history: [...hpc.history, event(desk, 'ready', `site ${plan.site.name}, lane ${plan.lane.name}`)],
  }
  const holder = reserve(gateway, { id, name }, destinationsOf(reading.description))
  publishSubmitted(gateway, lock, read.bytes, ready, undefined, 'later')
  if (holder !== undefined) return { outcome: 'waiting', why: heldBy(holder), accepted: true }
  const job: JobToSend = {
    hpc: ready,
    original: read.bytes,
    description: reading.description,
    plan: { ...plan, record: { ...plan.record, key } },
    seal: sealOf(gateway, name),
    resumed: false,
  }
  return { outcome: 'accepted', job }
}

/** A `.submitted` of hpc_batch, met after a change of gateway: its job may be at work or done over there, and is not ours to run again. */
function sentByHpcBatch(bytes: Uint8Array): string | undefined {
  const hpc = readSpliced(bytes).hpc as { id?: unknown; workspace?: unknown; finished_file?: unknown } | undefined
  if (hpc?.id !== undefined || typeof hpc?.workspace !== 'string' || typeof hpc.finished_file !== 'string')
    return undefined
  return `This job was sent by hpc_batch, whose work is not gone on with: what became of it lies in ${quoted(hpc.workspace)} at the site; take its results there, or drop it again without its hpc: block`
}

/** Tells one publication of a `.submitted` from every other: each is a file of its own. */
export function sealOf(gateway: Gateway, name: string): string | undefined {
  const stats = gateway.files.stat(jobFile(gateway, name).submitted)
  return stats === undefined ? undefined : `${stats.dev} ${stats.ino} ${stats.size} ${stats.mtimeMs} ${stats.ctimeMs}`
}

export function heldBy(name: string): string {
  return `job ${quoted(name)} is to deliver to one of its outputs first`
}

function event(desk: Desk, state: string, note?: string): HistoryEvent {
  return { state, at: isoTime(desk.gateway.clock.now()), ...(note === undefined ? {} : { note }) }
}

function firstNode(desk: Desk, name: string, id: string, read: ReadFile): HpcNode {
  return {
    id,
    name,
    gateway: desk.uuid,
    owner: { uid: read.stats.uid, gid: read.stats.gid, mode: read.stats.mode & 0o777 },
    history: [{ state: 'submitted', at: isoTime(read.stats.mtimeMs) }, event(desk, 'waiting')],
  }
}

/** Names that other programs would take for something else than a name. */
function faultOfName(name: string): string | undefined {
  if (/[\u0000-\u001f\u007f]/.test(name)) return 'its name holds a line break or control character; rename the file'
  return name.startsWith('-')
    ? 'its name begins with "-", which programs take for an option; rename the file'
    : undefined
}

function refuseNamed(desk: Desk, name: string, id: string, read: ReadFile, fault: string): Acceptance {
  const message = `Cannot accept ${quoted(`${name}.job`)}: ${fault}`
  finishUnsent(desk.gateway, desk.lock, read.bytes, firstNode(desk, name, id, read), 'aborted', message)
  return { outcome: 'refused', message }
}

/** What cannot be read as a plain file gets a result without its text; the thing itself is moved aside first. */
function refuseUnread(desk: Desk, name: string, id: string, fault: string): Acceptance {
  const { gateway, lock } = desk
  const path = jobFile(gateway, name).submitted
  const stats = gateway.files.stat(path)
  const hpc: HpcNode = {
    id,
    name,
    gateway: desk.uuid,
    owner: { uid: stats?.uid ?? gateway.uid, gid: stats?.gid ?? 0, mode: 0o644 },
    history: [event(desk, 'submitted')],
  }
  const aside = stats?.isFile() === false ? `; it now lies as ${quoted(moveAside(gateway, path))}` : ''
  const message = `Cannot accept ${quoted(`${name}.job`)}: ${fault}${aside}`
  finishUnsent(gateway, lock, new Uint8Array(0), hpc, 'aborted', message)
  return { outcome: 'refused', message }
}
