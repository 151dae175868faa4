/** Uploads: pieces of inputs, written where they are to lie, verified by size and SHA-256 when the last has come. */
import { createHash, type Hash } from 'node:crypto'
import { join } from 'node:path'
import type { Request } from '../contract/protocol.ts'
import { isJobId, isSafeName } from '../contract/spool.ts'
import { O_CREAT, O_NOFOLLOW, O_RDWR, O_TRUNC } from '../system/os.ts'
import { isFull } from './ballast.ts'
import type { Queuer } from './queuer.ts'
import { NotStored, Store } from './store.ts'

type Stage = Extract<Request, { type: 'stage' }>
type Part = Extract<Request, { type: 'part' }>

interface OpenFile {
  readonly fd: number
  readonly hash: Hash
  size: number
}

interface Upload {
  readonly digest: string
  readonly dir: string
  readonly lane: string
  open: Map<string, OpenFile>
  readonly verified: Map<string, { size: number; sha256: string }>
  /** How much of each file was here when it was begun. */
  readonly before: Readonly<Record<string, number>>
  /** A piece is being written. */
  busy: boolean
  /** Pieces that came by another way than those before them. */
  readonly waiting: (() => void)[]
  /** The first thing that went wrong; later pieces are then skipped. */
  fault: string | undefined
  /** The digest of what was to come from the store, and did not. */
  lacking?: string
}

function wake(upload: Upload): void {
  for (const go of upload.waiting.splice(0)) go()
}

const breathEvery = 256 * 1024 * 1024

/** A base name as it may come over the wire: one segment, none of the special ones. */
export function isFileName(name: unknown): name is string {
  return (
    typeof name === 'string' &&
    name !== '' &&
    name !== '.' &&
    name !== '..' &&
    !name.includes('/') &&
    !name.includes('\0')
  )
}

export class Receiver {
  readonly #queuer: Queuer
  readonly #breathe: () => Promise<void>
  readonly #store: Store
  readonly #uploads = new Map<string, Upload>()
  /** Pieces of one file may come by several ways. */
  striped = false
  /** Ids that have something in staging, as listed once a pass. */
  #begun: Set<string> | undefined

  /** `breathe` is called now and then during long work on files that were uploaded before. */
  constructor(queuer: Queuer, breathe: () => Promise<void> = async () => undefined, store = new Store(queuer)) {
    this.#queuer = queuer
    this.#breathe = breathe
    this.#store = store
  }

  /** From a hello on: other passes may have been at work since. */
  lookAnew(): void {
    this.#begun = undefined
  }

  /** Opens an upload; tells how much of each file is here already from an earlier one. */
  begin(request: Stage): Record<string, number> {
    const { files, spool } = this.#queuer
    if (!isJobId(request.id) || !/^[0-9a-f]{64}$/.test(request.digest) || !isSafeName(request.lane)) {
      throw new Error(`stage: not a job of ours: ${request.id}`)
    }
    const before = this.#uploads.get(request.id)
    if (before !== undefined) this.#close(before)
    const dir = spool.staging(request.id, request.digest, request.lane)
    this.#begun ??= new Set(files.list(spool.stagings).map((name) => name.slice(0, name.indexOf('.'))))
    const again = this.#begun.has(request.id)
    this.#begun.add(request.id)
    // what was begun with other inputs, or for another lane, is of no use any more
    if (again) this.forget(request.id, dir)
    const offsets: Record<string, number> = {}
    const input = join(dir, 'job', 'input')
    if (again && request.resume && files.exists(input)) {
      for (const name of files.list(input)) offsets[name] = files.stat(join(input, name))?.size ?? 0
    } else {
      if (again) files.removeTree(dir)
      // one by one: asked for the last, the system would look for each of the others first
      for (const folder of [dir, join(dir, 'job'), input]) files.makeFolder(folder)
    }
    this.#uploads.set(request.id, {
      digest: request.digest,
      dir,
      lane: request.lane,
      open: new Map(),
      verified: new Map(),
      before: offsets,
      busy: false,
      waiting: [],
      fault: undefined,
    })
    return offsets
  }

  /** Removes what was uploaded of a job that is not published, but for the upload in `except`. */
  forget(id: string, except?: string): void {
    const { files, spool } = this.#queuer
    for (const name of files.list(spool.stagings)) {
      const path = join(spool.stagings, name)
      if (name.startsWith(`${id}.`) && path !== except) files.removeTree(path)
    }
  }

  /** Writes one piece. A bad piece spoils its own job only: the fault is told when the job is to be published. */
  async part(request: Part, body: Uint8Array): Promise<void> {
    const upload = this.#uploads.get(request.id)
    // of another digest: what was on its way by another channel when the upload was begun anew
    if (upload === undefined || upload.digest !== request.digest) return
    while (!this.#isOver(request.id, upload) && this.#mustWait(upload, request))
      await new Promise<void>((go) => upload.waiting.push(go))
    if (this.#isOver(request.id, upload)) return
    upload.busy = true
    try {
      await this.#write(upload, request, body)
    } catch (error) {
      upload.fault = error instanceof Error ? error.message : String(error)
      if (error instanceof NotStored) upload.lacking = error.sha256
      if (isFull(error)) this.#store.release()
      this.#close(upload)
    } finally {
      upload.busy = false
      wake(upload)
    }
  }

  /**
   * What comes by several channels is written in the order of the file, so that it never has a hole, its length says how much is here, and
   * it is digested as it grows. Nobody holds more than one piece meanwhile, and the one who has the next piece never waits.
   */
  #mustWait(upload: Upload, { file, offset }: Part): boolean {
    if (upload.busy) return true
    return this.striped && offset > (upload.open.get(file)?.size ?? upload.before[file] ?? 0)
  }

  #isOver(id: string, upload: Upload): boolean {
    return upload.fault !== undefined || this.#uploads.get(id) !== upload
  }

  /** Pieces may be missing: no upload goes on until it is begun again. */
  breakOff(why: string): void {
    for (const upload of this.#uploads.values()) {
      upload.fault ??= why
      this.#close(upload)
    }
  }

  async #write(upload: Upload, request: Part, body: Uint8Array): Promise<void> {
    const { os } = this.#queuer.files
    if (!isFileName(request.file)) throw new Error(`"${request.file}" is no file name`)
    const path = join(upload.dir, 'job', 'input', request.file)
    if (request.stored === true) return this.#takeStored(upload, request, path)
    let file = upload.open.get(request.file)
    if (file === undefined) {
      file = await this.#open(path, request.offset)
      if (this.#isOver(request.id, upload)) return os.closeSync(file.fd)
      upload.open.set(request.file, file)
    }
    // on its way by another channel when the upload was gone on with: whether it is right, the digest says
    if (this.striped && request.last === undefined && request.offset + body.length <= file.size) return
    if (file.size !== request.offset)
      throw new Error(`piece at ${request.offset} of "${request.file}" came at ${file.size}`)
    for (let done = 0; done < body.length; ) {
      done += os.writeSync(file.fd, body, done, body.length - done, file.size + done)
    }
    file.hash.update(body)
    file.size += body.length
    if (request.last === undefined) return
    upload.open.delete(request.file)
    const sha256 = file.hash.digest('hex')
    try {
      if (file.size !== request.last.size || sha256 !== request.last.sha256) {
        os.unlinkSync(path)
        throw new Error(
          `"${request.file}" arrived as ${file.size} bytes ${sha256}, not as ${request.last.size} bytes ${request.last.sha256}`,
        )
      }
      os.fchmodSync(file.fd, (request.last.mode & 0o777) | 0o600)
      os.fsyncSync(file.fd)
    } finally {
      os.closeSync(file.fd)
    }
    const content = { size: file.size, sha256 }
    upload.verified.set(request.file, content)
    this.#store.keep(content, path, join(this.#queuer.spool.workDir(request.id, 1), 'input', request.file))
  }

  /** Nothing was sent: what the site has already is copied. */
  async #takeStored(upload: Upload, { file, last }: Part, path: string): Promise<void> {
    if (last === undefined) throw new Error(`"${file}" has no digest`)
    const begun = upload.open.get(file)
    if (begun !== undefined) this.#queuer.files.os.closeSync(begun.fd)
    upload.open.delete(file)
    await this.#store.take(last, (last.mode & 0o777) | 0o600, path)
    upload.verified.set(file, { size: last.size, sha256: last.sha256 })
  }

  /** Opens a file to write on at `offset`; what lies before it is read into the digest. */
  async #open(path: string, offset: number): Promise<OpenFile> {
    const { files } = this.#queuer
    const fd = files.os.openSync(path, O_RDWR | O_CREAT | O_NOFOLLOW | (offset === 0 ? O_TRUNC : 0), 0o600)
    const hash = createHash('sha256')
    if (offset === 0) return { fd, hash, size: 0 }
    files.os.ftruncateSync(fd, offset)
    const piece = Buffer.allocUnsafe(1024 * 1024)
    for (let at = 0; at < offset; ) {
      const count = files.os.readSync(fd, piece, 0, Math.min(piece.length, offset - at), at)
      if (count === 0) throw new Error(`${path} is shorter than it was`)
      hash.update(piece.subarray(0, count))
      at += count
      if (at % breathEvery < piece.length) await this.#breathe()
    }
    return { fd, hash, size: offset }
  }

  /** The upload of a job, whole and verified, or what is wrong with it. Forgets it either way. */
  finish(
    id: string,
    wanted: readonly { path: string; size: number; sha256: string }[],
  ): { dir: string } | { fault: string; lacking?: string } {
    const upload = this.#uploads.get(id)
    if (upload === undefined) return { fault: 'nothing was uploaded for it' }
    this.#uploads.delete(id)
    this.#close(upload)
    const { fault, lacking } = upload
    if (fault !== undefined) return lacking === undefined ? { fault } : { fault, lacking }
    for (const { path, size, sha256 } of wanted) {
      const got = upload.verified.get(path)
      if (got === undefined) return { fault: `"${path}" did not arrive whole` }
      if (got.size !== size || got.sha256 !== sha256) return { fault: `"${path}" is not the file of the description` }
    }
    return { dir: upload.dir }
  }

  /** The channel ended: what is here stays for the next pass to go on with. */
  end(): void {
    for (const upload of this.#uploads.values()) this.#close(upload)
    this.#uploads.clear()
  }

  #close(upload: Upload): void {
    for (const { fd } of upload.open.values()) this.#queuer.files.os.closeSync(fd)
    upload.open = new Map()
    wake(upload)
  }
}
