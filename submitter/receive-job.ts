/** What comes back for one job, put where it can be delivered from: each output beside its destination under a temporary name. */
import { createHash, type Hash } from 'node:crypto'
import { basename, dirname, join } from 'node:path'
import { HpcError, quoted } from '../contract/errors.ts'
import type { JobDescription } from '../contract/job-description.ts'
import type { FileEntry, OutputEntry, ResultRecord } from '../contract/spool-records.ts'
import { streamText } from '../contract/stream-text.ts'
import { renderBytes } from '../contract/units.ts'
import { type FileDigest, worthAThreadBytes } from '../system/file-digest.ts'
import { O_CREAT, O_EXCL, O_NOFOLLOW, O_RDWR } from '../system/os.ts'
import { openOutputFolder } from './check-files.ts'
import type { Gateway } from './gateway.ts'
import { holdOwnFolder, isGuarded, pathOfOpen, removeGuarded } from './held-folder.ts'
import { verdictOf } from './job-block.ts'
import type { Collector } from './session.ts'
import type { HpcNode } from './submitted-file.ts'

interface Receiving {
  readonly fd: number
  readonly entry: FileEntry
  size: number
  readonly hash: Hash
  /** Of a large file instead. */
  readonly digest: FileDigest | undefined
  /** How far it was told to read. */
  reached: number
}

/** How often a digest hears that there is more to read. */
const reachBytes = 4 * 1024 * 1024

export interface Received {
  readonly output: OutputEntry
  /** Beside the destination: `.<id>.<n>`. */
  readonly temporary: string
  readonly destination: string
  /** For people, and for what is done beside it: the destination's folder as the job names it. */
  readonly folder: string
  /** Where the files of a folder are written: the temporary folder, held open where its name could be swapped. */
  readonly inside: string
  /** Of a file: which one was written and verified. */
  inode?: number
  /** What this pass made under the temporary name. */
  made?: number
}

export class JobReceiver implements Collector {
  readonly #gateway: Gateway
  readonly #hpc: HpcNode
  readonly description: JobDescription
  readonly #streams = new Map<string, Buffer[]>()
  readonly #open = new Map<string, Receiving>()
  readonly #wanted = new Map<string, { path: string; entry: FileEntry }>()
  readonly #verified = new Set<string>()
  /** Large files that are still being digested. */
  readonly #digesting = new Set<Promise<void>>()
  /** Folders held open while they are written into. */
  readonly #held: number[] = []
  readonly outputs: Received[] = []
  record: ResultRecord | undefined
  publishedAt: string | undefined
  /** The first local trouble (no space, no such folder): what comes after it is thrown away, and fetched again by another pass. */
  fault: string | undefined

  constructor(gateway: Gateway, hpc: HpcNode, description: JobDescription) {
    this.#gateway = gateway
    this.#hpc = hpc
    this.description = description
  }

  result({ result, publishedAt }: { result: ResultRecord; publishedAt: string }): void {
    if (!isResult(result)) {
      this.#spoil(new Error('the site sent a result that is none of ours'))
      return
    }
    this.record = result
    this.publishedAt = publishedAt
    if (verdictOf(result).status !== 'ok') return
    try {
      for (const [index, output] of result.outputs.entries()) this.#prepare(output, index)
    } catch (error) {
      this.#spoil(error)
    }
  }

  /** Makes room beside the destination, and checks once more that the owner may write there. */
  #prepare(output: OutputEntry, index: number): void {
    const target = this.description.outputs.get(output.key)
    if (target === undefined)
      throw new HpcError('transient', `the result names an output "${output.key}" that the job did not ask for`)
    const guarded = isGuarded(this.#gateway, this.#hpc.owner)
    const opened = openOutputFolder(this.#gateway, this.#hpc.owner, target.path)
    if ('fault' in opened) throw new HpcError('transient', opened.fault)
    if (guarded) this.#held.push(opened.fd)
    else this.#gateway.files.os.closeSync(opened.fd)
    const folder = guarded ? pathOfOpen(opened.fd) : dirname(target.path)
    const { files } = this.#gateway
    const needed = output.files.reduce((sum, { size }) => sum + size, 0)
    const space = files.space(dirname(target.path))
    if (
      space !== undefined &&
      (space.bytes < needed || space.inodes < output.files.length + output.folders.length + 1)
    ) {
      throw new HpcError(
        'transient',
        `${quoted(dirname(target.path))} has too little space for its ${renderBytes(needed)}`,
      )
    }
    const temporary = join(folder, `.${this.#hpc.id}.${index}`)
    removeGuarded(this.#gateway, this.#hpc.owner, temporary)
    let inside = temporary
    let made: number | undefined
    if (output.kind === 'folder') {
      files.makeFolder(temporary)
      made = files.stat(temporary)?.ino
      if (guarded) {
        const fd = holdOwnFolder(this.#gateway, temporary)
        this.#held.push(fd)
        inside = pathOfOpen(fd)
      }
    }
    const destination = join(folder, basename(target.path))
    this.outputs.push({ output, temporary, destination, folder, inside, ...(made === undefined ? {} : { made }) })
    for (const { path } of output.folders) files.makeFolder(join(inside, safeRelative(path)))
    for (const entry of output.files) {
      const path = entry.path === '' ? temporary : join(inside, safeRelative(entry.path))
      this.#wanted.set(`${output.key}/${entry.path}`, { path, entry })
    }
  }

  piece({ file, offset, last }: { file: string; offset: number; last: boolean }, body: Uint8Array): void {
    if (typeof file !== 'string' || typeof offset !== 'number') {
      this.#spoil(new Error('the site sent a piece of nothing'))
      return
    }
    if (!file.includes('/')) {
      const pieces = this.#streams.get(file) ?? []
      pieces.push(Buffer.from(body))
      this.#streams.set(file, pieces)
      return
    }
    if (this.fault !== undefined) return
    try {
      this.#write(file, offset, last, body)
    } catch (error) {
      this.#spoil(error)
    }
  }

  #write(file: string, offset: number, last: boolean, body: Uint8Array): void {
    const { os } = this.#gateway.files
    const wanted = this.#wanted.get(file)
    if (wanted === undefined) return
    let receiving = this.#open.get(file)
    if (receiving === undefined) {
      const fd = os.openSync(wanted.path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600)
      const digest = wanted.entry.size < worthAThreadBytes ? undefined : this.#gateway.files.startDigest(fd)
      receiving = { fd, hash: createHash('sha256'), digest, entry: wanted.entry, size: 0, reached: 0 }
      this.#open.set(file, receiving)
      const begun = this.#outputAt(wanted.path)
      if (begun !== undefined) begun.made = os.fstatSync(fd).ino
    }
    if (offset !== receiving.size)
      throw new Error(`a piece of ${quoted(file)} came at ${offset} instead of ${receiving.size}`)
    this.#gateway.files.writeAll(receiving.fd, body)
    receiving.size += body.length
    const { digest, size, reached } = receiving
    if (digest === undefined) receiving.hash.update(body)
    else if (size >= reached + reachBytes) {
      digest.reach(size)
      receiving.reached = size
    }
    if (!last) return
    if (digest === undefined) {
      this.#verify(file, receiving, receiving.hash.digest('hex'))
      return
    }
    const work = this.#verifyLarge(file, receiving, digest).finally(() => this.#digesting.delete(work))
    this.#digesting.add(work)
  }

  #outputAt(path: string | undefined): Received | undefined {
    return this.outputs.find(({ temporary }) => temporary === path)
  }

  async #verifyLarge(file: string, receiving: Receiving, digest: FileDigest): Promise<void> {
    try {
      const found = await digest.end(receiving.size)
      // else discarded meanwhile, and closed
      if (this.#open.get(file) === receiving) this.#verify(file, receiving, found)
    } catch (error) {
      this.#spoil(error)
    }
  }

  #verify(file: string, receiving: Receiving, found: string): void {
    const { os } = this.#gateway.files
    const { fd, entry } = receiving
    this.#open.delete(file)
    try {
      if (receiving.size !== entry.size || found !== entry.sha256) {
        throw new Error(
          `${quoted(file)} arrived as ${receiving.size} bytes that are not the ${entry.size} bytes the runner saw`,
        )
      }
      os.fsyncSync(fd)
      const written = this.#outputAt(this.#wanted.get(file)?.path)
      if (written !== undefined) written.inode = os.fstatSync(fd).ino
    } finally {
      os.closeSync(fd)
    }
    this.#verified.add(file)
  }

  /** Resolves when everything that has come is verified, or found wrong. */
  async settled(): Promise<void> {
    await Promise.all(this.#digesting)
  }

  #spoil(error: unknown): void {
    this.fault ??= error instanceof Error ? error.message : String(error)
    this.discard()
  }

  /** Makes the names inside of folders durable: their files are, each since its last piece. */
  syncFolders(): void {
    for (const { output, inside } of this.outputs) {
      if (output.kind !== 'folder') continue
      for (const path of ['', ...output.folders.map((folder) => safeRelative(folder.path))])
        this.#gateway.files.syncFolder(join(inside, path))
    }
  }

  /** Whether everything the result names has come, verified and synced. */
  isWhole(): boolean {
    return (
      this.record !== undefined &&
      this.fault === undefined &&
      [...this.#wanted.keys()].every((file) => this.#verified.has(file))
    )
  }

  get owner(): HpcNode['owner'] {
    return this.#hpc.owner
  }

  /** What the description asked for and this version does not do: accepted, so that no job fails for it, and told. */
  unheeded(): string[] {
    return this.description.notify.length > 0 ? ['notify is not honoured by this version: nobody was told'] : []
  }

  /** Whether a stream was too long to come whole. */
  isCut(): boolean {
    return this.#streams.has('stdout-tail') || this.#streams.has('stderr-tail')
  }

  text(stream: 'stdout' | 'stderr'): string {
    const head = Buffer.concat(this.#streams.get(stream) ?? [])
    const tailPieces = this.#streams.get(`${stream}-tail`)
    const tail = tailPieces === undefined ? undefined : Buffer.concat(tailPieces)
    const whole = (stream === 'stdout' ? this.record?.stdoutBytes : this.record?.stderrBytes) ?? 0
    return streamText(head, tail, Math.max(0, whole - head.length - (tail?.length ?? 0)))
  }

  /** Takes away what lies beside the destinations; without the lock only what this pass has made, as another may write there by now. */
  discard(locked = true): void {
    for (const { fd, digest } of this.#open.values()) {
      digest?.stop()
      this.#gateway.files.os.closeSync(fd)
    }
    this.#open.clear()
    for (const { temporary, made } of this.outputs) {
      try {
        if (!locked && (made === undefined || this.#gateway.files.stat(temporary)?.ino !== made)) continue
        removeGuarded(this.#gateway, this.#hpc.owner, temporary)
      } catch (error) {
        this.#gateway.log.warn(`cannot remove ${temporary}: ${String(error)}`)
      }
    }
    this.letGo()
  }

  /** Closes what was held; nothing can be written after it. */
  letGo(): void {
    for (const fd of this.#held.splice(0)) this.#gateway.files.os.closeSync(fd)
  }
}

/** Whether it has the parts we go by: what a site sends is data, and one that is broken is that job's trouble alone. */
function isResult(result: ResultRecord): boolean {
  const isMapping = (value: unknown) => typeof value === 'object' && value !== null
  const isEntry = (entry: { path: unknown }) => isMapping(entry) && typeof entry.path === 'string'
  const isOutput = (output: OutputEntry) =>
    isMapping(output) &&
    [output.files, output.folders].every((list) => Array.isArray(list) && (list as { path: unknown }[]).every(isEntry))
  return (
    isMapping(result) &&
    (result.message === undefined || typeof result.message === 'string') &&
    Array.isArray(result.missing) &&
    result.missing.every((name) => typeof name === 'string') &&
    Array.isArray(result.outputs) &&
    result.outputs.every(isOutput)
  )
}

/** A path inside an output folder, as the other side named it: never out of it. */
function safeRelative(path: string): string {
  const parts = path.split('/')
  if (path === '' || parts.some((part) => part === '' || part === '.' || part === '..' || part.includes('\0'))) {
    throw new Error(`the result names a file ${quoted(path)} outside of its folder`)
  }
  return parts.map((part) => basename(part)).join('/')
}
