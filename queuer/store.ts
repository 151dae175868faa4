/**
 * `store/`: contents of inputs that were sent once, kept for later jobs of whichever gateway and tool. It is a cache and promises nothing:
 * each file is named by its digest, copied into jobs (never linked) and verified anew by every copy, so that what a crash tore or somebody
 * altered costs one more sending and no job. Nothing in it is synced, and no trouble with it stops a pass.
 */
import { join } from 'node:path'
import { describeError } from '../contract/errors.ts'
import type { Content, Stored, StoreTold } from '../contract/protocol.ts'
import { openRegular } from '../spool/outputs.ts'
import { isTemporary } from '../system/files.ts'
import { CLONE_ONLY, COPY_CLONE } from '../system/os.ts'
import { sampleOf } from '../system/sample.ts'
import { copyContent } from './copy-content.ts'
import type { Queuer } from './queuer.ts'

/** Below this a job's own costs are most of its sending, and a kept copy would cost the many inputs that no other job has. */
const smallestBytes = 1024 * 1024
/** Up to this a content is kept while its upload is received; of larger ones only a reflink costs nothing. */
const atOnceBytes = 8 * 1024 * 1024
/** Every pass lists them. */
const mostFiles = 2_000
/** Of the room there is, the rest is for jobs. */
const share = 1 / 4
/** One content must not drive out all others. */
const shareOfOne = 1 / 2
/** So much less than the limit is left by making room, so that it is seldom to be made. */
const slack = 0.9
const unusedMs = 14 * 86_400_000
/** A temporary name so old was left by a crash; one that is not costs a copy that can be made again. */
const abandonedMs = 3_600_000
/** Of contents of the same sizes in one answer. */
const mostToldOfSize = 256

const namePattern = /^([0-9a-f]{64})\.(\d{1,15})$/

/** What was said to be in the store is not, or not any more. */
export class NotStored extends Error {
  readonly sha256: string
  constructor(sha256: string) {
    super('an input is not (or no longer) in the store of the site: it is sent in the next pass')
    this.sha256 = sha256
  }
}

/** A large content that came in this conversation, and where it lies until the store has it. */
interface Source extends Content {
  readonly staged: string
  readonly published: string
  filled: boolean
}

export class Store {
  readonly #queuer: Queuer
  readonly #breathe: () => Promise<void>
  #limitBytes = 0
  /** Digest to size: as listed at the hello, and kept since. */
  #sizes = new Map<string, number>()
  #sources = new Map<string, Source>()
  /** Whether reflinks may be had; found out by trying. */
  #clones = true
  /** What the submitter was last told of. */
  #told: string | undefined

  constructor(queuer: Queuer, breathe: () => Promise<void> = async () => undefined) {
    this.#queuer = queuer
    this.#breathe = breathe
  }

  get #bytes(): number {
    let bytes = 0
    for (const size of this.#sizes.values()) bytes += size
    return bytes
  }

  /** The largest that is kept. */
  get #upTo(): number {
    return Math.floor(this.#limitBytes * shareOfOne)
  }

  #path({ sha256, size }: Content): string {
    return join(this.#queuer.spool.store, `${sha256}.${size}`)
  }

  /** From a hello on: other passes may have been at work since. */
  lookAnew(storeBytes: number): StoreTold {
    for (const [sha256, source] of this.#sources) if (source.filled) this.#sources.delete(sha256)
    this.#quietly('list', () => {
      const { files, spool } = this.#queuer
      this.#sizes = this.#list()
      const bytes = this.#bytes
      const free = files.space(spool.root)?.bytes
      const room = free === undefined ? Number.POSITIVE_INFINITY : (free + bytes) * share
      this.#limitBytes = Math.min(Number(storeBytes) || 0, room)
      this.#makeRoom(0)
    })
    const has = [...this.#sizes].filter(([, size]) => size <= atOnceBytes).map(([sha256]) => sha256)
    const told = has.sort().join()
    const news = told === this.#told ? {} : { has }
    this.#told = told
    return { from: smallestBytes, upTo: this.#upTo, ...news }
  }

  #list(): Map<string, number> {
    const { files, spool, clock } = this.#queuer
    const sizes = new Map<string, number>()
    for (const name of files.list(spool.store)) {
      const [, sha256, size] = namePattern.exec(name) ?? []
      if (sha256 !== undefined) sizes.set(sha256, Number(size))
      else if (isTemporary(name)) {
        const path = join(spool.store, name)
        const found = files.stat(path)
        if (found !== undefined && clock.now() - found.mtimeMs > abandonedMs) files.remove(path)
      }
    }
    return sizes
  }

  /** Contents of these sizes that the site has. */
  ofSizes(sizes: readonly number[]): Stored[] {
    const wanted = new Set(sizes)
    const all = [...this.#sizes, ...[...this.#sources].map(([sha256, { size }]) => [sha256, size] as const)]
    const found = new Map(all.filter(([, size]) => size >= smallestBytes && wanted.has(size)))
    return [...found].slice(0, mostToldOfSize).map(([sha256, size]) => this.#withSample({ sha256, size }))
  }

  #withSample(content: Content): Stored {
    const { os } = this.#queuer.files
    for (const path of this.#placesOf(content)) {
      try {
        const opened = openRegular(os, path)
        if (opened === undefined) continue
        try {
          return { ...content, sample: sampleOf(os, opened.fd, content.size) }
        } finally {
          os.closeSync(opened.fd)
        }
      } catch {
        // where it is, if it is anywhere, shows when it is asked for
      }
    }
    return content
  }

  /** Where it may lie: before the store has it, at its upload. */
  #placesOf(content: Content): string[] {
    const source = this.#sources.get(content.sha256)
    return [this.#path(content), ...(source === undefined ? [] : [source.staged, source.published])]
  }

  /** Keeps what was just received and verified, and lies at `staged` until it is published. */
  keep(content: Content, staged: string, published: string): void {
    const { sha256, size } = content
    if (size < smallestBytes || size > this.#upTo) return
    this.#quietly('keep', () => {
      if (this.#sizes.has(sha256) && this.#touch(content)) return
      if (size <= atOnceBytes || this.#clones) {
        if (this.#copyIn(content, staged, size <= atOnceBytes ? COPY_CLONE : CLONE_ONLY)) return
        this.#clones = false
      }
      this.#sources.set(sha256, { sha256, size, staged, published, filled: false })
    })
  }

  /** Nobody can have changed it yet: it is not verified again. */
  #copyIn(content: Content, from: string, how: number): boolean {
    return this.#add(content, (temporary) => {
      try {
        this.#queuer.files.os.copyFileSync(from, temporary, how)
        return true
      } catch (error) {
        if (how === CLONE_ONLY) return false
        throw error
      }
    })
  }

  #add(content: Content, write: (temporary: string) => boolean): boolean {
    const { files, spool } = this.#queuer
    files.makeFolder(spool.store)
    const temporary = join(spool.store, files.temporaryName())
    try {
      if (!write(temporary)) return false
      this.#publish(content, temporary)
      return true
    } catch (error) {
      files.remove(temporary)
      throw error
    }
  }

  #publish(content: Content, temporary: string): void {
    const { os } = this.#queuer.files
    this.#makeRoom(content.size)
    os.chmodSync(temporary, 0o400)
    os.renameSync(temporary, this.#path(content))
    this.#sizes.set(content.sha256, content.size)
  }

  /** Copies, beside other work, what could not be reflinked: its job is published and nobody waits. */
  async fill(): Promise<void> {
    const { files, spool, log } = this.#queuer
    for (const source of [...this.#sources.values()]) {
      if (source.filled) continue
      const temporary = join(spool.store, files.temporaryName())
      try {
        if (!files.exists(source.published)) continue
        source.filled = true
        if (this.#sizes.has(source.sha256)) continue
        files.makeFolder(spool.store)
        const options = { mode: 0o400, sync: false, clone: false, breathe: this.#breathe }
        // its script may run already, and may write into its input
        if ((await copyContent(files, source.published, temporary, source, options)) === 'copied')
          this.#publish(source, temporary)
      } catch (error) {
        log.debug(`cannot fill the store: ${describeError(error)}`)
        this.#quietly('clear', () => files.remove(temporary))
      }
    }
  }

  /** Copies a content into a job's folder, verified and synced; throws NotStored when the site does not have it. */
  async take(content: Content, mode: number, to: string): Promise<void> {
    const { files, log } = this.#queuer
    const { sha256, size } = content
    if (!namePattern.test(`${sha256}.${size}`)) throw new Error(`store: "${sha256}" of ${size} bytes is no content`)
    const clone = this.#clones && size > atOnceBytes
    const options = { mode, sync: true, clone, breathe: this.#breathe }
    const path = this.#path(content)
    for (const from of this.#placesOf(content)) {
      const copied = await copyContent(files, from, to, content, options)
      if (copied === 'copied') {
        if (from === path) this.#quietly('touch', () => this.#touch(content))
        return
      }
      if (from !== path) continue
      this.#sizes.delete(sha256)
      if (copied === 'absent') continue
      log.warn(`${path} is not what it was when it came: it is removed, and asked for anew`)
      this.#quietly('remove', () => files.removeTree(path))
    }
    this.#sources.delete(sha256)
    throw new NotStored(sha256)
  }

  #touch(content: Content): boolean {
    const now = this.#queuer.clock.now() / 1000
    return this.#queuer.files.touch(this.#path(content), now, now)
  }

  /** Removes what was not used for longest, until so much more has its place. Whoever copies from it holds it open. */
  #makeRoom(bytes: number): void {
    let used = this.#bytes
    if (used + bytes <= this.#limitBytes && this.#sizes.size < mostFiles) return
    const oldest = this.#byAge()
    while (oldest.length > 0 && (used + bytes > this.#limitBytes * slack || this.#sizes.size > mostFiles * slack)) {
      const [first] = oldest.splice(0, 1)
      if (first === undefined) return
      this.#drop(first)
      used -= first.size
    }
  }

  #byAge(): (Content & { readonly usedMs: number })[] {
    const found = [...this.#sizes].map(([sha256, size]) => {
      const usedMs = this.#queuer.files.stat(this.#path({ sha256, size }))?.mtimeMs ?? 0
      return { sha256, size, usedMs }
    })
    return found.sort((a, b) => a.usedMs - b.usedMs)
  }

  #drop(content: Content): void {
    this.#queuer.files.removeTree(this.#path(content))
    this.#sizes.delete(content.sha256)
  }

  /** Removes what no job has asked for in two weeks. */
  expire(): void {
    this.#quietly('expire', () => {
      const now = this.#queuer.clock.now()
      for (const content of this.#byAge()) if (now - content.usedMs > unusedMs) this.#drop(content)
    })
  }

  /** The disk or quota is full: the room is for jobs. */
  release(): void {
    this.#limitBytes = 0
    this.#quietly('release', () => this.#makeRoom(0))
  }

  /** For `check`. */
  describe(): { readonly files: number; readonly bytes: number } {
    this.#quietly('list', () => {
      this.#sizes = this.#list()
    })
    return { files: this.#sizes.size, bytes: this.#bytes }
  }

  #quietly(what: string, act: () => unknown): void {
    try {
      act()
    } catch (error) {
      this.#queuer.log.debug(`store: cannot ${what}: ${describeError(error)}`)
    }
  }
}
