/** Staging in what is large: digests first, then each file from where an earlier pass stopped. */
import { basename } from 'node:path'
import { quoted } from '../contract/errors.ts'
import type { FileEntry } from '../contract/spool-records.ts'
import { digestOf } from '../system/digest.ts'
import type { JobToSend } from './accept-job.ts'
import { DigestCache } from './digest-cache.ts'
import type { Gateway } from './gateway.ts'
import type { Session } from './session.ts'
import { type Described, describe, failed, InputFault, type Sent, sendOne, withInput } from './stage-in.ts'

const pieceBytes = 256 * 1024
const goesOn = 'its upload goes on in the next pass'

/** Size and digest of every input as it is now. A file that changes while it is read is read once more. */
async function digestInputs(gateway: Gateway, job: JobToSend, known: DigestCache): Promise<Described> {
  const inputs: Record<string, FileEntry> = {}
  const { os } = gateway.files
  for (const [key, path] of job.description.inputs) {
    inputs[key] = await withInput(gateway, job, path, async (fd) => {
      for (let tries = 0; tries < 2; tries++) {
        const before = os.fstatSync(fd)
        const digest = known.get(path, before) ?? (await digestOf(os, fd))
        const after = os.fstatSync(fd)
        if (after.size !== digest.size || after.mtimeMs !== before.mtimeMs) continue
        known.set(path, before, digest.sha256)
        return { path: basename(path), mode: before.mode & 0o777, ...digest }
      }
      throw new InputFault(`${quoted(path)} changes while it is read`, false)
    })
  }
  return describe(job, inputs)
}

/** Streams one job; resolves when its last byte is on its way. */
async function upload(
  gateway: Gateway,
  session: Session,
  { job, record, digest }: Described,
  offsets: Readonly<Record<string, number>>,
  deadlineMs: number,
): Promise<void> {
  const { id } = record
  const total = Object.values(record.inputs).reduce((sum, { size }) => sum + size, 0)
  let done = 0
  for (const [key, { path: file, size, sha256, mode }] of Object.entries(record.inputs)) {
    const path = job.description.inputs.get(key) ?? ''
    await withInput(gateway, job, path, async (fd) => {
      let at = Math.min(offsets[file] ?? 0, size)
      done += at
      do {
        if (gateway.clock.monotonicMs() > deadlineMs) throw new InputFault(goesOn, true)
        const piece = Buffer.allocUnsafe(pieceBytes)
        const count = gateway.files.os.readSync(fd, piece, 0, pieceBytes, at)
        const last = at + count >= size ? { last: { size, sha256, mode } } : {}
        await session.send({ type: 'part', id, digest, file, offset: at, ...last }, piece.subarray(0, count))
        done += count
        gateway.progress({ what: `${job.hpc.name}: ${file}`, done, total })
        if (count === 0 && at < size) throw new InputFault(`${quoted(path)} became shorter while it was sent`, true)
        at += count
      } while (at < size)
    })
  }
  await session.send({ type: 'publish', id, digest, record })
}

/** Sends large jobs, each from where an earlier pass stopped, until `deadlineMs` (monotonic); the next pass goes on from there. */
export async function stageLarge(
  gateway: Gateway,
  session: Session,
  jobs: readonly JobToSend[],
  deadlineMs: number,
): Promise<Promise<Sent>[]> {
  const outcomes: Promise<Sent>[] = []
  const known = new DigestCache(gateway)
  for (const job of jobs) {
    try {
      if (gateway.clock.monotonicMs() > deadlineMs) throw new InputFault(goesOn, true)
      const described = await digestInputs(gateway, job, known)
      known.save()
      const { record, digest } = described
      const have = session.answer('have', record.id)
      await session.send({ type: 'stage', id: record.id, digest, lane: record.lane, resume: true })
      const { offsets } = await have
      await sendOne(session, job, outcomes, () => upload(gateway, session, described, offsets, deadlineMs))
    } catch (error) {
      if (!session.alive) throw error
      outcomes.push(Promise.resolve(failed(job, error)))
    }
  }
  return outcomes
}
