/** Sending one job's result: the record, its streams (head and tail beyond the cap), every output file in pieces. */
import { join } from 'node:path'
import type { Answer } from '../contract/protocol.ts'
import type { JobRecord, ResultRecord } from '../contract/spool-records.ts'
import { readResult } from '../spool/attempt.ts'
import { openRegular, outputPlaces } from '../spool/outputs.ts'
import { isoTime } from '../system/clock.ts'
import type { Queuer } from './queuer.ts'

export type Send = (answer: Answer, body?: Uint8Array) => Promise<void>

const pieceBytes = 256 * 1024

async function sendRange(
  queuer: Queuer,
  send: Send,
  id: string,
  file: string,
  fd: number,
  from: number,
  to: number,
): Promise<void> {
  let at = from
  do {
    const piece = Buffer.allocUnsafe(Math.min(pieceBytes, to - at))
    let filled = 0
    while (filled < piece.length) {
      const count = queuer.files.os.readSync(fd, piece, filled, piece.length - filled, at + filled)
      if (count === 0) break
      filled += count
    }
    const last = filled < piece.length || at + filled >= to
    await send({ type: 'piece', id, file, offset: at, last }, piece.subarray(0, filled))
    at += filled
    if (last) return
  } while (at < to)
}

async function sendStream(
  queuer: Queuer,
  send: Send,
  id: string,
  name: 'stdout' | 'stderr',
  path: string,
  bytes: number,
  cap: number,
): Promise<void> {
  if (bytes === 0) return
  const opened = queuer.files.exists(path) ? openRegular(queuer.files.os, path) : undefined
  if (opened === undefined) throw new Error(`its ${name} of ${bytes} bytes is not there`)
  try {
    if (opened.size <= cap) return await sendRange(queuer, send, id, name, opened.fd, 0, opened.size)
    const half = Math.floor(cap / 2)
    await sendRange(queuer, send, id, name, opened.fd, 0, half)
    await sendRange(queuer, send, id, `${name}-tail`, opened.fd, opened.size - half, opened.size)
  } finally {
    queuer.files.os.closeSync(opened.fd)
  }
}

async function sendOutputs(queuer: Queuer, send: Send, job: JobRecord, result: ResultRecord): Promise<void> {
  const workDir = queuer.spool.workDir(job.id, result.attempt)
  for (const output of result.outputs) {
    const root = outputPlaces(workDir, output.name).find((place) => queuer.files.exists(place))
    if (root === undefined) throw new Error(`output "${output.name}" is no longer there`)
    for (const entry of output.files) {
      const opened = openRegular(queuer.files.os, entry.path === '' ? root : join(root, entry.path))
      if (opened === undefined) throw new Error(`output "${output.name}" is no regular file any more`)
      try {
        await sendRange(queuer, send, job.id, `${output.key}/${entry.path}`, opened.fd, 0, entry.size)
      } finally {
        queuer.files.os.closeSync(opened.fd)
      }
    }
  }
}

/** Ends with `collected`, or with `uncollected` and why; `gone` when there is no such job here. */
export async function collectJob(queuer: Queuer, send: Send, id: string): Promise<void> {
  const { files, spool } = queuer
  const control = spool.control(id)
  const job = files.readJson<JobRecord>(control.record)
  const result = readResult(files, control)
  if (job === undefined || result === undefined) {
    await send({
      type: 'uncollected',
      id,
      why: job === undefined ? 'no such job here' : 'it has no result yet',
      gone: job === undefined,
    })
    return
  }
  try {
    const publishedAt = isoTime(files.stat(control.record)?.mtimeMs ?? queuer.clock.now())
    await send({ type: 'result', id, result, publishedAt })
    // told by the result itself: a listing of the attempts could be stale
    const scripted = result.rc === null ? result.attempts.at(-1)?.attempt : result.attempt
    if (scripted !== undefined) {
      await sendStream(queuer, send, id, 'stdout', control.stdout(scripted), result.stdoutBytes, job.streamCapBytes)
      await sendStream(queuer, send, id, 'stderr', control.stderr(scripted), result.stderrBytes, job.streamCapBytes)
    }
    await sendOutputs(queuer, send, job, result)
    await send({ type: 'collected', id })
  } catch (error) {
    await send({ type: 'uncollected', id, why: error instanceof Error ? error.message : String(error), gone: false })
  }
}
