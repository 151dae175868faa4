/**
 * Staging in what is large: each file from where an earlier pass stopped. It is digested while it is sent, so until then an upload goes by
 * what its files look like, as rsync does; whether the right bytes arrived is told by size and digest alone.
 */
import { basename } from 'node:path'
import { quoted } from '../contract/errors.ts'
import type { Stored } from '../contract/protocol.ts'
import type { FileEntry } from '../contract/spool-records.ts'
import { digestOf, sha256 } from '../system/digest.ts'
import { worthAThreadBytes } from '../system/file-digest.ts'
import type { Stats } from '../system/os.ts'
import { sampleOf } from '../system/sample.ts'
import type { JobToSend } from './accept-job.ts'
import { DigestCache } from './digest-cache.ts'
import type { Gateway } from './gateway.ts'
import type { Session } from './session.ts'
import { failed, InputFault, type Publish, type Sent, sendOne, withInput } from './stage-in.ts'
import { Stripes } from './stripes.ts'

/** So much is worth more channels, over such a round trip: nearer by, one carries 400 MB/s. */
const worthStripesBytes = 32 * 1024 * 1024
const worthStripesMs = 5

const goesOn = 'its upload goes on in the next pass'

/** An input as it looks when its upload begins. */
interface Look {
  readonly key: string
  readonly path: string
  readonly stats: Stats
  readonly atMs: number
}

interface Sending {
  /** Of the upload. */
  readonly digest: string
  readonly from: number
  /** Contents of such sizes that the site has. */
  readonly stored: readonly Stored[]
  /** So far, and so much, that more channels are worth it. */
  readonly isFar: boolean
}

/** A file does not look as it did when its upload began. */
class Changed extends Error {}

function checkUnchanged({ path, stats }: Look, now: Stats): void {
  if (stats.ino !== now.ino || stats.size !== now.size || stats.mtimeMs !== now.mtimeMs) throw new Changed(path)
}

/** Sends large jobs, each from where an earlier pass stopped, until `deadlineMs` (monotonic); the next pass goes on from there. */
export async function stageLarge(
  gateway: Gateway,
  session: Session,
  jobs: readonly JobToSend[],
  deadlineMs: number,
): Promise<Promise<Sent>[]> {
  const outcomes: Promise<Sent>[] = []
  const sending = new LargeSending(gateway, session, deadlineMs)
  try {
    for (const job of jobs) {
      try {
        if (gateway.clock.monotonicMs() > deadlineMs) throw new InputFault(goesOn, true)
        await sendOne(session, job, outcomes, () => sending.upload(job))
      } catch (error) {
        if (!session.alive) throw error
        outcomes.push(Promise.resolve(failed(job, error)))
      }
    }
  } finally {
    sending.end()
  }
  return outcomes
}

class LargeSending {
  readonly #gateway: Gateway
  readonly #session: Session
  readonly #deadlineMs: number
  readonly #known: DigestCache
  readonly #stripes: Stripes

  constructor(gateway: Gateway, session: Session, deadlineMs: number) {
    this.#gateway = gateway
    this.#session = session
    this.#deadlineMs = deadlineMs
    this.#known = new DigestCache(gateway)
    this.#stripes = new Stripes(gateway, session)
  }

  end(): void {
    this.#stripes.end()
  }

  /** Streams one job; resolves when its last byte is on its way, with what is to be said then. A file that changes meanwhile is begun anew, once. */
  async upload(job: JobToSend): Promise<Publish> {
    for (let tries = 1; ; tries++) {
      try {
        return await this.#upload(job)
      } catch (error) {
        if (!(error instanceof Changed)) throw error
        if (tries === 2) throw new InputFault(`${quoted(error.message)} changes while it is read`, false)
      } finally {
        this.#known.save()
      }
    }
  }

  async #upload(job: JobToSend): Promise<Publish> {
    const { id } = job.hpc
    const looks = await this.#look(job)
    const digest = nameOf(job, looks)
    const have = this.#session.answer('have', id)
    const sizes = looks.map(({ stats }) => stats.size)
    await this.#session.send({ type: 'stage', id, digest, lane: job.plan.record.lane, resume: true, sizes })
    const { offsets, stored } = await have
    const total = sizes.reduce((sum, size) => sum + size, 0)
    const there = Object.values(offsets).reduce((sum, size) => sum + size, 0)
    const isFar = this.#session.roundTripMs >= worthStripesMs && total - there >= worthStripesBytes
    const inputs: Record<string, FileEntry> = {}
    let before = 0
    for (const look of looks) {
      const from = Math.min(offsets[basename(look.path)] ?? 0, look.stats.size)
      inputs[look.key] = await this.#sendFile(job, look, { digest, from, stored, isFar }, (done) => {
        this.#gateway.progress({ what: `${job.hpc.name}: ${basename(look.path)}`, done: before + done, total })
      })
      before += look.stats.size
    }
    return { type: 'publish', id, digest, record: { ...job.plan.record, inputs } }
  }

  async #look(job: JobToSend): Promise<Look[]> {
    const { os } = this.#gateway.files
    const looks: Look[] = []
    for (const [key, path] of job.description.inputs) {
      const atMs = this.#gateway.clock.now()
      const stats = await withInput(this.#gateway, job, path, async (fd) => os.fstatSync(fd))
      looks.push({ key, path, stats, atMs })
    }
    return looks
  }

  #sendFile(
    job: JobToSend,
    look: Look,
    { digest, from, stored, isFar }: Sending,
    onBytes: (done: number) => void,
  ): Promise<FileEntry> {
    const { os } = this.#gateway.files
    const { path, stats } = look
    const { size } = stats
    const part = { type: 'part', id: job.hpc.id, digest, file: basename(path) } as const
    return withInput(this.#gateway, job, path, async (fd) => {
      checkUnchanged(look, os.fstatSync(fd))
      const known = from < size ? await this.#digestIfAlike(stored, look, fd) : undefined
      if (known !== undefined && stored.some(({ sha256 }) => sha256 === known)) {
        const entry = { size, sha256: known, mode: stats.mode & 0o777 }
        await this.#session.send({ ...part, offset: 0, stored: true, last: entry })
        onBytes(size)
        return { path: part.file, ...entry }
      }
      if (isFar) this.#stripes.open()
      const digesting = this.#digest(look, fd, known)
      try {
        for (let at = from; at < size; ) {
          if (this.#gateway.clock.monotonicMs() > this.#deadlineMs) throw new InputFault(goesOn, true)
          const way = await this.#stripes.next()
          const count = await way.send(
            (body) => os.readSync(fd, body, 0, Math.min(body.length, size - at), at),
            () => ({ ...part, offset: at }),
          )
          if (count === 0) throw new Changed(path)
          at += count
          onBytes(at)
        }
        const found = await digesting.sha256
        checkUnchanged(look, os.fstatSync(fd))
        this.#known.set(path, look, found)
        const entry = { size, sha256: found, mode: stats.mode & 0o777 }
        await this.#session.send({ ...part, offset: size, last: entry })
        return { path: part.file, ...entry }
      } finally {
        digesting.stop()
      }
    })
  }

  /** Its digest, made before anything is sent: only where the site has a content of this very size that shows the same sample. */
  async #digestIfAlike(stored: readonly Stored[], look: Look, fd: number): Promise<string | undefined> {
    const { path, stats } = look
    const ofSize = stored.filter(({ size }) => size === stats.size)
    if (ofSize.length === 0) return undefined
    const own = sampleOf(this.#gateway.files.os, fd, stats.size)
    if (!ofSize.some(({ sample }) => sample === undefined || sample === own)) return undefined
    const digesting = this.#digest(look, fd)
    try {
      const found = await digesting.sha256
      checkUnchanged(look, this.#gateway.files.os.fstatSync(fd))
      this.#known.set(path, look, found)
      return found
    } finally {
      digesting.stop()
    }
  }

  /** Runs beside the sending. */
  #digest(
    { path, stats }: Look,
    fd: number,
    known = this.#known.get(path, stats)?.sha256,
  ): { sha256: Promise<string>; stop: () => void } {
    const { files } = this.#gateway
    if (known !== undefined) return { sha256: Promise.resolve(known), stop: () => undefined }
    const thread = stats.size < worthAThreadBytes ? undefined : files.startDigest(fd)
    const found =
      thread?.end(stats.size) ??
      digestOf(files.os, fd).then(({ sha256, size }) => {
        if (size !== stats.size) throw new Changed(path)
        return sha256
      })
    found.catch(() => undefined)
    return { sha256: found, stop: () => thread?.stop() }
  }
}

/** What goes on is an upload of the same record with files that look the same. */
function nameOf(job: JobToSend, looks: readonly Look[]): string {
  const signs = looks.map(({ key, path, stats }) => [key, path, stats.ino, stats.size, stats.mtimeMs])
  return sha256(JSON.stringify([job.plan.record, signs]))
}
