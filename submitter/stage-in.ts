/**
 * Staging in: the inputs of all small jobs as one stream of frames, each job published the moment its own files have verified over
 * there; nothing waits for an answer. Large jobs go last of all: `stage-large.ts`.
 */
import { basename } from 'node:path'
import { describeError, quoted } from '../contract/errors.ts'
import type { Request } from '../contract/protocol.ts'
import type { FileEntry, JobRecord } from '../contract/spool-records.ts'
import { sha256 } from '../system/digest.ts'
import type { JobToSend } from './accept-job.ts'
import { openInput } from './check-files.ts'
import type { Gateway } from './gateway.ts'
import type { Session } from './session.ts'

const pieceBytes = 256 * 1024
/** Inputs of a job up to this size are read once, whole; above it an upload can be resumed. */
const smallBytes = 8 * 1024 * 1024

export type Sent =
  | { readonly outcome: 'published'; readonly job: JobToSend; readonly at: string }
  /** What the job itself has wrong: it ends here. */
  | { readonly outcome: 'refused'; readonly job: JobToSend; readonly message: string }
  /** What another pass may mend. */
  | { readonly outcome: 'waiting'; readonly job: JobToSend; readonly why: string }

export type Publish = Extract<Request, { type: 'publish' }>

interface Prepared {
  readonly record: JobRecord
  /** Of the whole record: it names the upload. */
  readonly digest: string
  /** By base name. */
  readonly contents: Map<string, Buffer>
}

export class InputFault extends Error {
  readonly transient: boolean
  constructor(message: string, transient: boolean) {
    super(message)
    this.transient = transient
  }
}

export function withInput<T>(
  gateway: Gateway,
  job: JobToSend,
  path: string,
  act: (fd: number) => Promise<T>,
): Promise<T> {
  const opened = openInput(gateway, job.hpc.owner, path)
  if ('fault' in opened) throw new InputFault(opened.fault, opened.transient)
  return act(opened.fd).finally(() => gateway.files.os.closeSync(opened.fd))
}

/** Content, size and digest of every input as it is now. A file that changes while it is read is read once more. */
async function prepare(gateway: Gateway, job: JobToSend): Promise<Prepared> {
  const inputs: Record<string, FileEntry> = {}
  const contents = new Map<string, Buffer>()
  const { os } = gateway.files
  for (const [key, path] of job.description.inputs) {
    inputs[key] = await withInput(gateway, job, path, async (fd) => {
      for (let tries = 0; tries < 2; tries++) {
        const before = os.fstatSync(fd)
        if (!isSmall(before.size)) throw new InputFault(`${quoted(path)} has grown: it goes with the large ones`, true)
        const bytes = readFrom(gateway, fd, before.size)
        const after = os.fstatSync(fd)
        if (after.size !== bytes.length || after.mtimeMs !== before.mtimeMs) continue
        const name = basename(path)
        contents.set(name, bytes)
        return { path: name, size: bytes.length, sha256: sha256(bytes), mode: before.mode & 0o777 }
      }
      throw new InputFault(`${quoted(path)} changes while it is read`, false)
    })
  }
  const record: JobRecord = { ...job.plan.record, inputs }
  return { record, digest: sha256(JSON.stringify(record)), contents }
}

function readFrom(gateway: Gateway, fd: number, size: number): Buffer {
  const bytes = Buffer.allocUnsafe(size + 1)
  let filled = 0
  while (filled < bytes.length) {
    const count = gateway.files.os.readSync(fd, bytes, filled, bytes.length - filled, filled)
    if (count === 0) break
    filled += count
  }
  return bytes.subarray(0, filled)
}

/** Streams one job; resolves when its last byte is on its way, with what is to be said then. */
async function upload(session: Session, { record, digest, contents }: Prepared): Promise<Publish> {
  const { id } = record
  for (const { path: file, size, sha256, mode } of Object.values(record.inputs)) {
    if (session.store.has({ size, sha256 })) {
      await session.send({ type: 'part', id, digest, file, offset: 0, stored: true, last: { size, sha256, mode } })
      continue
    }
    const content = contents.get(file) ?? Buffer.alloc(0)
    let at = 0
    do {
      const body = content.subarray(at, at + pieceBytes)
      const last = at + body.length >= size ? { last: { size, sha256, mode } } : {}
      await session.send({ type: 'part', id, digest, file, offset: at, ...last }, body)
      at += pieceBytes
    } while (at < size)
    session.store.sent({ size, sha256 })
  }
  return { type: 'publish', id, digest, record }
}

export function failed(job: JobToSend, error: unknown): Sent {
  if (error instanceof InputFault && !error.transient) return { outcome: 'refused', job, message: error.message }
  return { outcome: 'waiting', job, why: describeError(error) }
}

/** Uploads a job, has it published, and keeps what will be said of it. What is wrong with the job is its own, a broken session is thrown. */
export async function sendOne(
  session: Session,
  job: JobToSend,
  outcomes: Promise<Sent>[],
  upload: () => Promise<Publish>,
): Promise<void> {
  let publish: Publish
  try {
    publish = await upload()
  } catch (error) {
    if (!session.alive) throw error
    outcomes.push(Promise.resolve(failed(job, error)))
    return
  }
  // asked only now: somebody who waits and is not answered makes the site look silent
  const answer = session.answer(['published', 'unpublished'], job.hpc.id)
  await session.send(publish)
  const outcome = answer.then((said): Sent => {
    if (said.type === 'published') return { outcome: 'published', job, at: said.at }
    if (said.lacking !== undefined) session.store.lacks(said.lacking)
    return { outcome: 'waiting', job, why: `the site did not take it: ${said.why}` }
  })
  // the session may break while other jobs are still being sent, and nobody awaits this one yet
  outcome.catch(() => undefined)
  outcomes.push(outcome)
}

/** By what their inputs weigh now: the small ones go first, and wait for no large one. */
export function isSmall(bytes: number): boolean {
  return bytes <= smallBytes
}

/** Sends small jobs, one after the other without waiting for an answer. */
export async function stageSmall(
  gateway: Gateway,
  session: Session,
  jobs: readonly JobToSend[],
): Promise<Promise<Sent>[]> {
  const outcomes: Promise<Sent>[] = []
  for (const job of jobs) {
    let prepared: Prepared
    try {
      prepared = await prepare(gateway, job)
    } catch (error) {
      outcomes.push(Promise.resolve(failed(job, error)))
      continue
    }
    const { record, digest } = prepared
    await session.send({ type: 'stage', id: record.id, digest, lane: record.lane, resume: false })
    await sendOne(session, job, outcomes, () => upload(session, prepared))
  }
  return outcomes
}
