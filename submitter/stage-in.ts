/**
 * Staging in: the inputs of all jobs as one stream of frames, small jobs first, each published the moment its own files have verified
 * over there. Nothing here waits for an answer but the resumption of large files, once for all of them.
 */
import { basename } from 'node:path'
import { describeError } from '../contract/errors.ts'
import type { FileEntry, JobRecord } from '../contract/spool-records.ts'
import { digestOf, sha256 } from '../system/digest.ts'
import type { JobToSend } from './accept-job.ts'
import { openInput } from './check-files.ts'
import type { Gateway } from './gateway.ts'
import type { Session } from './session.ts'

const pieceBytes = 256 * 1024
/** Inputs of a job up to this size are read once, whole; above it the digest is made first, so that an upload can be resumed. */
const smallBytes = 8 * 1024 * 1024

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
async function prepare(gateway: Gateway, job: JobToSend): Promise<Prepared> {
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
        const digest = await digestOf(os, fd)
        const after = os.fstatSync(fd)
        if (after.size === digest.size && after.mtimeMs === before.mtimeMs) return { path: name, mode, ...digest }
      }
      throw new InputFault(`"${path}" changes while it is read`, false)
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
        const piece = Buffer.allocUnsafe(pieceBytes)
        const count = gateway.files.os.readSync(fd, piece, 0, pieceBytes, at)
        await sendPiece(at, piece.subarray(0, count))
        if (count === 0 && at < entry.size) throw new InputFault(`"${path}" became shorter while it was sent`, true)
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

/** Sends every job; large ones after all small ones, and none any more once `deadlineMs` (monotonic) has passed. */
export async function stageIn(
  gateway: Gateway,
  session: Session,
  jobs: readonly JobToSend[],
  deadlineMs: number,
): Promise<Promise<Sent>[]> {
  const outcomes: Promise<Sent>[] = []
  const large: Prepared[] = []
  const sendOne = async (prepared: Prepared, offsets: Readonly<Record<string, number>>) => {
    const { job, record } = prepared
    const answer = session.answer(['published', 'unpublished'], record.id)
    try {
      await upload(gateway, session, prepared, offsets)
    } catch (error) {
      if (!session.alive) throw error
      outcomes.push(Promise.resolve(failed(job, error)))
      return
    }
    outcomes.push(
      answer.then(
        (said): Sent =>
          said.type === 'published'
            ? { outcome: 'published', job, at: said.at }
            : { outcome: 'waiting', job, why: `the site did not take it: ${said.why}` },
      ),
    )
  }
  for (const job of jobs) {
    let prepared: Prepared
    try {
      prepared = await prepare(gateway, job)
    } catch (error) {
      outcomes.push(Promise.resolve(failed(job, error)))
      continue
    }
    if (bytesOf(prepared) > smallBytes) {
      prepared.contents.clear()
      large.push(prepared)
      continue
    }
    const { record, digest } = prepared
    await session.send({ type: 'stage', id: record.id, digest, lane: record.lane, resume: false })
    await sendOne(prepared, {})
  }
  const haves = []
  for (const { record, digest } of large) {
    haves.push(session.answer('have', record.id))
    await session.send({ type: 'stage', id: record.id, digest, lane: record.lane, resume: true })
  }
  for (const [index, prepared] of large.entries()) {
    if (gateway.clock.monotonicMs() > deadlineMs) {
      outcomes.push(
        Promise.resolve({ outcome: 'waiting', job: prepared.job, why: 'its upload goes on in the next pass' }),
      )
      continue
    }
    await sendOne(prepared, (await haves[index])?.offsets ?? {})
  }
  return outcomes
}
