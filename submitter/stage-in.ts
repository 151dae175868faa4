/**
 * Staging in: the inputs of all small jobs as one stream of frames, each job published the moment its own files have verified over
 * there; nothing waits for an answer. Large jobs go last of all, each from where an earlier pass stopped.
 */
import { basename } from 'node:path'
import { describeError, quoted } from '../contract/errors.ts'
import type { FileEntry, JobRecord } from '../contract/spool-records.ts'
import { digestOf, sha256 } from '../system/digest.ts'
import type { JobToSend } from './accept-job.ts'
import { openInput } from './check-files.ts'
import { DigestCache } from './digest-cache.ts'
import type { Gateway } from './gateway.ts'
import type { Session } from './session.ts'

const pieceBytes = 256 * 1024
/** Inputs of a job up to this size are read once, whole; above it the digest is made first, so that an upload can be resumed. */
const smallBytes = 8 * 1024 * 1024

const goesOn = 'its upload goes on in the next pass'

export type Sent =
  | { readonly outcome: 'published'; readonly job: JobToSend; readonly at: string }
  /** What the job itself has wrong: it ends here. */
  | { readonly outcome: 'refused'; readonly job: JobToSend; readonly message: string }
  /** What another pass may mend. */
  | { readonly outcome: 'waiting'; readonly job: JobToSend; readonly why: string }

interface Prepared {
  readonly job: JobToSend
  readonly record: JobRecord
  readonly digest: string
  /** Content of small jobs, by base name. */
  readonly contents: Map<string, Buffer>
}

class InputFault extends Error {
  readonly transient: boolean
  constructor(message: string, transient: boolean) {
    super(message)
    this.transient = transient
  }
}

function withInput<T>(gateway: Gateway, job: JobToSend, path: string, act: (fd: number) => Promise<T>): Promise<T> {
  const opened = openInput(gateway, job.hpc.owner, path)
  if ('fault' in opened) throw new InputFault(opened.fault, opened.transient)
  return act(opened.fd).finally(() => gateway.files.os.closeSync(opened.fd))
}

/** Size and digest of every input as it is now. A file that changes while it is read is read once more. */
async function prepare(gateway: Gateway, job: JobToSend, known?: DigestCache): Promise<Prepared> {
  const inputs: Record<string, FileEntry> = {}
  const contents = new Map<string, Buffer>()
  const { os } = gateway.files
  for (const [key, path] of job.description.inputs) {
    inputs[key] = await withInput(gateway, job, path, async (fd) => {
      for (let tries = 0; tries < 2; tries++) {
        const before = os.fstatSync(fd)
        const name = basename(path)
        const mode = before.mode & 0o777
        if (before.size <= smallBytes) {
          const bytes = readFrom(gateway, fd, before.size)
          const after = os.fstatSync(fd)
          if (after.size !== bytes.length || after.mtimeMs !== before.mtimeMs) continue
          contents.set(name, bytes)
          return { path: name, size: bytes.length, sha256: sha256(bytes), mode }
        }
        const digest = known?.get(path, before) ?? (await digestOf(os, fd))
        const after = os.fstatSync(fd)
        if (after.size !== digest.size || after.mtimeMs !== before.mtimeMs) continue
        known?.set(path, before, digest.sha256)
        return { path: name, mode, ...digest }
      }
      throw new InputFault(`${quoted(path)} changes while it is read`, false)
    })
  }
  const record: JobRecord = { ...job.plan.record, inputs }
  return { job, record, digest: sha256(JSON.stringify(record)), contents }
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

function bytesOf(prepared: Prepared): number {
  return Object.values(prepared.record.inputs).reduce((sum, { size }) => sum + size, 0)
}

/** Streams one job; resolves when its last byte is on its way. */
async function upload(
  gateway: Gateway,
  session: Session,
  prepared: Prepared,
  offsets: Readonly<Record<string, number>>,
  deadlineMs: number,
): Promise<void> {
  const { job, record, digest, contents } = prepared
  const id = record.id
  const total = bytesOf(prepared)
  let sentBytes = 0
  for (const [key, entry] of Object.entries(record.inputs)) {
    const path = job.description.inputs.get(key) ?? ''
    const last = { size: entry.size, sha256: entry.sha256, mode: entry.mode }
    const content = contents.get(entry.path)
    const sendPiece = async (offset: number, body: Uint8Array) => {
      const isLast = offset + body.length >= entry.size
      await session.send({ type: 'part', id, digest, file: entry.path, offset, ...(isLast ? { last } : {}) }, body)
      sentBytes += body.length
      if (content === undefined) gateway.progress({ what: `${job.hpc.name}: ${entry.path}`, done: sentBytes, total })
    }
    if (content !== undefined) {
      let at = 0
      do {
        await sendPiece(at, content.subarray(at, at + pieceBytes))
        at += pieceBytes
      } while (at < entry.size)
      continue
    }
    await withInput(gateway, job, path, async (fd) => {
      let at = Math.min(offsets[entry.path] ?? 0, entry.size)
      sentBytes += at
      do {
        if (gateway.clock.monotonicMs() > deadlineMs) throw new InputFault(goesOn, true)
        const piece = Buffer.allocUnsafe(pieceBytes)
        const count = gateway.files.os.readSync(fd, piece, 0, pieceBytes, at)
        await sendPiece(at, piece.subarray(0, count))
        if (count === 0 && at < entry.size)
          throw new InputFault(`${quoted(path)} became shorter while it was sent`, true)
        at += count
      } while (at < entry.size)
    })
  }
  await session.send({ type: 'publish', id, digest, record })
}

function failed(job: JobToSend, error: unknown): Sent {
  if (error instanceof InputFault && !error.transient) return { outcome: 'refused', job, message: error.message }
  return { outcome: 'waiting', job, why: describeError(error) }
}

class Sender {
  readonly outcomes: Promise<Sent>[] = []
  readonly #gateway: Gateway
  readonly #session: Session

  constructor(gateway: Gateway, session: Session) {
    this.#gateway = gateway
    this.#session = session
  }

  fault(job: JobToSend, error: unknown): void {
    this.outcomes.push(Promise.resolve(failed(job, error)))
  }

  async send(prepared: Prepared, offsets: Readonly<Record<string, number>>, deadlineMs: number): Promise<void> {
    const { job, record } = prepared
    const answer = this.#session.answer(['published', 'unpublished'], record.id)
    try {
      await upload(this.#gateway, this.#session, prepared, offsets, deadlineMs)
    } catch (error) {
      if (!this.#session.alive) throw error
      this.fault(job, error)
      return
    }
    this.outcomes.push(
      answer.then(
        (said): Sent =>
          said.type === 'published'
            ? { outcome: 'published', job, at: said.at }
            : { outcome: 'waiting', job, why: `the site did not take it: ${said.why}` },
      ),
    )
  }
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
  const sender = new Sender(gateway, session)
  for (const job of jobs) {
    let prepared: Prepared
    try {
      prepared = await prepare(gateway, job)
    } catch (error) {
      sender.fault(job, error)
      continue
    }
    const { record, digest } = prepared
    await session.send({ type: 'stage', id: record.id, digest, lane: record.lane, resume: false })
    await sender.send(prepared, {}, Number.POSITIVE_INFINITY)
  }
  return sender.outcomes
}

/** Sends large jobs, each from where an earlier pass stopped, until `deadlineMs` (monotonic); the next pass goes on from there. */
export async function stageLarge(
  gateway: Gateway,
  session: Session,
  jobs: readonly JobToSend[],
  deadlineMs: number,
): Promise<Promise<Sent>[]> {
  const sender = new Sender(gateway, session)
  const known = new DigestCache(gateway)
  for (const job of jobs) {
    try {
      if (gateway.clock.monotonicMs() > deadlineMs) throw new InputFault(goesOn, true)
      const prepared = await prepare(gateway, job, known)
      known.save()
      const { record, digest } = prepared
      const have = session.answer('have', record.id)
      await session.send({ type: 'stage', id: record.id, digest, lane: record.lane, resume: true })
      await sender.send(prepared, (await have).offsets, deadlineMs)
    } catch (error) {
      if (!session.alive) throw error
      sender.fault(job, error)
    }
  }
  return sender.outcomes
}
