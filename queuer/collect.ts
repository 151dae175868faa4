/** Sending one job's result: the record, its streams (head and tail beyond the cap), every output file in pieces. */
import { join } from 'node:path'
import type { Answer } from '../contract/protocol.ts'
import type { JobRecord, ResultRecord } from '../contract/spool-records.ts'
import { readResult } from '../spool/attempt.ts'
import { openRegular, outputPlaces } from '../spool/outputs.ts'
import { isoTime } from '../system/clock.ts'
import type { PieceSender } from '../system/piece-sender.ts'
import type { Queuer } from './queuer.ts'

export type Send = (answer: Answer, body?: Uint8Array) => Promise<void>

/** Smaller pieces are worth copying, so that several leave together. */
const largeBytes = 64 * 1024

/** What collecting sends through: answers, and pieces of files. */
export interface Out {
  readonly send: Send
  readonly pieces: PieceSender
}

async function sendRange(
  queuer: Queuer,
  { send, pieces }: Out,
  id: string,
  file: string,
  fd: number,
  from: number,
  to: number,
): Promise<void> {
  const { os } = queuer.files
  let at = from
  let last = false
  while (!last) {
    const offset = at
    const fill = (body: Buffer) => {
      const wanted = Math.min(body.length, to - offset)
      let filled = 0
      while (filled < wanted) {
        const count = os.readSync(fd, body, filled, wanted - filled, offset + filled)
        if (count === 0) break
        filled += count
      }
      last = filled < wanted || offset + filled >= to
      return filled
    }
    const header = () => ({ type: 'piece', id, file, offset, last }) as const
    if (to - at >= largeBytes) at += await pieces.send(fill, header)
    else {
      const body = Buffer.allocUnsafe(to - at)
      at += fill(body)
      await send(header(), body.subarray(0, at - offset))
    }
  }
}

async function sendStream(
  queuer: Queuer,
  out: Out,
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
    if (opened.size <= cap) return await sendRange(queuer, out, id, name, opened.fd, 0, opened.size)
    const half = Math.floor(cap / 2)
    await sendRange(queuer, out, id, name, opened.fd, 0, half)
    await sendRange(queuer, out, id, `${name}-tail`, opened.fd, opened.size - half, opened.size)
  } finally {
    queuer.files.os.closeSync(opened.fd)
  }
}

async function sendOutputs(queuer: Queuer, out: Out, job: JobRecord, result: ResultRecord): Promise<void> {
  const workDir = queuer.spool.workDir(job.id, result.attempt)
  for (const output of result.outputs) {
    const root = outputPlaces(workDir, output.name).find((place) => queuer.files.exists(place))
    if (root === undefined) throw new Error(`output "${output.name}" is no longer there`)
    for (const entry of output.files) {
      const opened = openRegular(queuer.files.os, entry.path === '' ? root : join(root, entry.path))
      if (opened === undefined) throw new Error(`output "${output.name}" is no regular file any more`)
      try {
        await sendRange(queuer, out, job.id, `${output.key}/${entry.path}`, opened.fd, 0, entry.size)
      } finally {
        queuer.files.os.closeSync(opened.fd)
      }
    }
  }
}

/** Ends with `collected`, or with `uncollected` and why; `gone` when there is no such job here. */
export async function collectJob(queuer: Queuer, out: Out, id: string): Promise<void> {
  const { send } = out
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
      await sendStream(queuer, out, id, 'stdout', control.stdout(scripted), result.stdoutBytes, job.streamCapBytes)
      await sendStream(queuer, out, id, 'stderr', control.stderr(scripted), result.stderrBytes, job.streamCapBytes)
    }
    await sendOutputs(queuer, out, job, result)
    await send({ type: 'collected', id })
  } catch (error) {
    await send({ type: 'uncollected', id, why: error instanceof Error ? error.message : String(error), gone: false })
  }
}
