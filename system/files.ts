/**
 * The few file operations all programs share. Publishing is write beside, flush, close, rename, flush the folder: a file present under
 * its final name is complete. On shared file systems an answer can be lost, so an error is believed only after a look at the target.
 */
import { randomBytes } from 'node:crypto'
import { dirname, join } from 'node:path'
import { digestHere, type StartDigest } from './file-digest.ts'
import {
  type Dir,
  type Dirent,
  errno,
  O_CREAT,
  O_DIRECTORY,
  O_EXCL,
  O_NOFOLLOW,
  O_NONBLOCK,
  O_RDONLY,
  O_WRONLY,
  type Os,
  type Stats,
} from './os.ts'

export type Content = string | Uint8Array

/** Far below the 4096 bytes a path may have. */
const deepestPath = 1500

const temporaryPattern = /^\.(?:[0-9a-f]{12}\.\d+|[0-9a-f]{18}\.part)$/

/** Names that we give to what is not finished, to probes, and to programs on their way to a site: left behind only by a crash. */
export function isTemporary(name: string): boolean {
  return temporaryPattern.test(name)
}

const small = Buffer.alloc(16 * 1024)
const largeBytes = 1024 * 1024

const namesAtOnce = 1024

/** So often an answer may be lost in a row before it counts as an error. */
const temporaryTries = 5

export class Files {
  readonly os: Os
  /** Of a large file, beside other work. */
  readonly startDigest: StartDigest
  /** Temporary names are ours alone: never built from a name that came from outside. */
  readonly #prefix = `.${randomBytes(6).toString('hex')}`
  #count = 0

  constructor(os: Os, startDigest = digestHere(os)) {
    this.os = os
    this.startDigest = startDigest
  }

  temporaryName(): string {
    this.#count += 1
    return `${this.#prefix}.${this.#count}`
  }

  /** Names in a folder; a folder that is not there has none. */
  list(dir: string): string[] {
    try {
      return this.os.readdirSync(dir)
    } catch (error) {
      if (errno(error) === 'ENOENT' || errno(error) === 'ENOTDIR') return []
      throw error
    }
  }

  /** The same one by one: an array of 100,000 names takes 15 MB. */
  *names(dir: string): Generator<string> {
    let open: Dir
    try {
      open = this.os.opendirSync(dir, { bufferSize: namesAtOnce })
    } catch (error) {
      if (errno(error) === 'ENOENT' || errno(error) === 'ENOTDIR') return
      throw error
    }
    try {
      for (let entry = open.readSync(); entry !== null; entry = open.readSync()) yield entry.name
    } finally {
      open.closeSync()
    }
  }

  /** How many names a folder holds, counted no further than `most`. */
  count(dir: string, most: number): number {
    const names = this.names(dir)
    let count = 0
    while (count < most && names.next().done !== true) count += 1
    names.return(undefined)
    return count
  }

  /**
   * As `list`, but no cached listing: creating and removing a name makes a network file system's client read the folder anew.
   * For the moments when an empty answer decides something.
   */
  listFresh(dir: string): string[] {
    const probe = join(dir, this.temporaryName())
    try {
      this.os.closeSync(this.os.openSync(probe, O_CREAT | O_EXCL | O_WRONLY, 0o600))
    } catch (error) {
      if (errno(error) === 'ENOENT') return []
      // a full disk is no reason to see nothing: a cached listing is better than none. The name is ours alone: when it is there, we made it
      if (!['ENOSPC', 'EDQUOT', 'EEXIST'].includes(errno(error) ?? '')) throw error
    }
    this.remove(probe)
    return this.list(dir)
  }

  /** What is there, links not followed; undefined when nothing is. */
  stat(path: string): Stats | undefined {
    try {
      // an error made and caught would cost more than the call itself
      return this.os.lstatSync(path, { throwIfNoEntry: false })
    } catch (error) {
      if (errno(error) === 'ENOENT' || errno(error) === 'ENOTDIR') return undefined
      throw error
    }
  }

  /** Size of what a path leads to, links followed; 0 when it leads nowhere. */
  sizeOf(path: string): number {
    try {
      return this.os.statSync(path).size
    } catch {
      return 0
    }
  }

  exists(path: string): boolean {
    return this.stat(path) !== undefined
  }

  /** A whole regular file, links not followed; undefined when nothing is there. */
  read(path: string): Buffer | undefined {
    let fd: number
    try {
      fd = this.os.openSync(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK)
    } catch (error) {
      if (errno(error) === 'ENOENT' || errno(error) === 'ENOTDIR') return undefined
      throw error
    }
    try {
      return this.readAll(fd)
    } finally {
      this.os.closeSync(fd)
    }
  }

  readText(path: string): string | undefined {
    return this.read(path)?.toString('utf8')
  }

  /** JSON of a file of our own; undefined when it is absent or, after a crash of its writer, not whole. */
  readJson<T>(path: string): T | undefined {
    const text = this.readText(path)
    if (text === undefined || text === '') return undefined
    try {
      return JSON.parse(text) as T
    } catch {
      return undefined
    }
  }

  /** Most files of ours are small, and read in one call without asking for their size first. */
  readAll(fd: number): Buffer {
    const first = this.os.readSync(fd, small, 0, small.length, null)
    const chunks = [Buffer.from(small.subarray(0, first))]
    for (let more = first; more > 0; ) {
      const chunk = first < small.length ? small : Buffer.allocUnsafe(largeBytes)
      more = this.os.readSync(fd, chunk, 0, chunk.length, null)
      if (more > 0) chunks.push(chunk === small ? Buffer.from(small.subarray(0, more)) : chunk.subarray(0, more))
    }
    return chunks.length === 1 && chunks[0] !== undefined ? chunks[0] : Buffer.concat(chunks)
  }

  writeAll(fd: number, content: Content): void {
    const bytes = typeof content === 'string' ? Buffer.from(content) : content
    for (let done = 0; done < bytes.length; ) done += this.os.writeSync(fd, bytes, done, bytes.length - done, null)
  }

  /** Replaces `path` as a whole and makes it durable. `later`: the caller syncs the folder once for many. */
  publish(path: string, content: Content, mode = 0o600, folder: 'now' | 'later' = 'now'): void {
    const temporary = join(dirname(path), this.temporaryName())
    try {
      this.#writeTemporary(temporary, content, mode)
    } catch (error) {
      this.remove(temporary)
      throw error
    }
    this.#moveOver(temporary, path)
    if (folder === 'now') this.syncFolder(dirname(path))
  }

  /** Writes, durably but for the name, a file that nobody else can have made: its folder is ours alone. */
  writeOwn(path: string, content: Content, mode = 0o600): void {
    this.#writeTemporary(path, content, mode)
  }

  /** As `publish`, whole or not at all, but not yet durable: for what can be made again. */
  replace(path: string, content: Content, mode = 0o600): void {
    const temporary = join(dirname(path), this.temporaryName())
    try {
      this.#writeTemporary(temporary, content, mode, 'unsynced')
    } catch (error) {
      this.remove(temporary)
      throw error
    }
    this.#moveOver(temporary, path)
  }

  /** The temporary name is ours alone: when it is gone and the target is there, an error was only a lost answer. */
  #moveOver(temporary: string, path: string): void {
    try {
      this.os.renameSync(temporary, path)
    } catch (error) {
      if (!this.exists(temporary) && this.exists(path)) return
      this.remove(temporary)
      throw error
    }
  }

  /**
   * Creates `path` with this content only if nothing has that name; false when something has. Durable when it returns true. A crash in
   * between can leave the name with less than the content: readers of such files know what an empty one means. `later`: the name is
   * synced with what follows, or needs not outlive its machine.
   */
  createExclusive(path: string, content: Content, mode = 0o600, folder: 'now' | 'later' = 'now'): boolean {
    try {
      this.#writeNew(path, content, mode)
    } catch (error) {
      if (errno(error) === 'EEXIST') return false
      throw error
    }
    if (folder === 'now') this.syncFolder(dirname(path))
    return true
  }

  /** Creates `path` if nothing has that name, its folder too, not durable: for what can be made again. */
  createHint(path: string, content: Content, mode = 0o600): boolean {
    for (let tries = 1; ; tries++) {
      try {
        this.#writeNew(path, content, mode, 'unsynced')
        return true
      } catch (error) {
        if (errno(error) === 'EEXIST') return false
        if (errno(error) !== 'ENOENT' || tries > 1) throw error
        this.makeFolder(dirname(path))
      }
    }
  }

  /** The name is ours alone: one that is there was made by a call of ours whose answer was lost. */
  #writeTemporary(path: string, content: Content, mode: number, sync: 'synced' | 'unsynced' = 'synced'): void {
    for (let tries = 1; ; tries++) {
      try {
        this.#writeNew(path, content, mode, sync)
        return
      } catch (error) {
        if (errno(error) !== 'EEXIST' || tries === temporaryTries) throw error
        this.remove(path)
      }
    }
  }

  #writeNew(path: string, content: Content, mode: number, sync: 'synced' | 'unsynced' = 'synced'): void {
    const fd = this.os.openSync(path, O_CREAT | O_EXCL | O_WRONLY | O_NOFOLLOW, mode)
    try {
      this.writeAll(fd, content)
      if (sync === 'synced') this.os.fsyncSync(fd)
    } finally {
      this.os.closeSync(fd)
    }
  }

  /**
   * Moves a name that is unique in the tree (a key, a job folder). False when it is not at `from` and did not get to `to` either;
   * true also when an earlier call had moved it and only the answer was lost.
   */
  move(from: string, to: string): boolean {
    try {
      this.os.renameSync(from, to)
      return true
    } catch (error) {
      if (this.exists(to) && !this.exists(from)) return true
      if (errno(error) === 'ENOENT') return false
      throw error
    }
  }

  /** Creates the folder and its parents; fine when it is there. */
  makeFolder(path: string, mode = 0o700): void {
    this.os.mkdirSync(path, { recursive: true, mode })
  }

  /** Sets the times of reading and change, in seconds; false when it has gone, or is not ours to touch. */
  touch(path: string, atime: number, mtime: number): boolean {
    try {
      this.os.utimesSync(path, atime, mtime)
      return true
    } catch (error) {
      if (errno(error) === 'ENOENT' || errno(error) === 'EPERM') return false
      throw error
    }
  }

  /** Removes a file or link; false when there was none. */
  remove(path: string): boolean {
    try {
      this.os.unlinkSync(path)
      return true
    } catch (error) {
      if (errno(error) === 'ENOENT') return false
      throw error
    }
  }

  /** Removes an empty folder; false when it is not empty, or none. */
  removeEmptyFolder(path: string): boolean {
    try {
      this.os.rmdirSync(path)
      return true
    } catch (error) {
      if (['ENOENT', 'ENOTEMPTY', 'EEXIST'].includes(errno(error) ?? '')) return false
      throw error
    }
  }

  /**
   * Gives us our own rights on a folder a job may have left without any: needed to list it, and to move it to another parent. `found`: what
   * a look at it told.
   */
  openRights(path: string, found = this.stat(path)): void {
    if (found?.isDirectory() !== true || (found.mode & 0o700) === 0o700) return
    try {
      this.os.chmodSync(path, 0o700)
    } catch (error) {
      if (errno(error) !== 'ENOENT') throw error
    }
  }

  /**
   * Removes whatever is at `path`, links not followed, folders without rights opened first. Another process may remove the same tree
   * at the same time. What lies deeper than a path can name is moved up first.
   */
  removeTree(path: string): void {
    this.#removeTree(path, path)
  }

  #removeTree(path: string, root: string): void {
    const found = this.stat(path)
    if (found === undefined) return
    if (!found.isDirectory()) {
      this.remove(path)
      return
    }
    this.openRights(path, found)
    if (path.length > root.length + deepestPath) {
      const higher = join(dirname(root), this.temporaryName())
      if (this.move(path, higher)) this.#removeTree(higher, higher)
      return
    }
    // the listing tells what is no folder: a look at each file would double the calls
    for (const entry of this.#entries(path)) {
      const inside = join(path, entry.name)
      if (entry.isDirectory()) this.#removeTree(inside, root)
      else this.remove(inside)
    }
    if (!this.removeEmptyFolder(path)) this.#removeOddNames(path, root)
  }

  #entries(path: string): Dirent[] {
    try {
      return this.os.readdirSync(path, { withFileTypes: true })
    } catch (error) {
      if (errno(error) === 'ENOENT') return []
      throw error
    }
  }

  /** A name that is no UTF-8 is not listed as what it is, and so not found: it gets one that is. */
  #removeOddNames(path: string, root: string): void {
    const odd: Buffer[] = []
    try {
      odd.push(...this.os.readdirSync(path, 'buffer').filter((name) => !Buffer.from(`${name}`).equals(name)))
    } catch (error) {
      if (errno(error) !== 'ENOENT') throw error
    }
    for (const name of odd) {
      const plain = join(path, this.temporaryName())
      this.os.renameSync(Buffer.concat([Buffer.from(`${path}/`), name]), plain)
      this.#removeTree(plain, root)
    }
    if (odd.length > 0) this.removeEmptyFolder(path)
  }

  /** Makes a regular file's content durable, whoever wrote it. */
  syncFile(path: string): void {
    const fd = this.os.openSync(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK)
    try {
      this.os.fsyncSync(fd)
    } finally {
      this.os.closeSync(fd)
    }
  }

  /** Makes the names in a folder durable. Some network file systems refuse to sync folders: their renames are synchronous. */
  syncFolder(path: string): void {
    const fd = this.os.openSync(path, O_RDONLY | O_DIRECTORY)
    try {
      this.os.fsyncSync(fd)
    } catch (error) {
      if (errno(error) !== 'EINVAL' && errno(error) !== 'ENOTSUP') throw error
    } finally {
      this.os.closeSync(fd)
    }
  }

  /** Room where `path` lies; undefined where the system does not tell. inodes is Infinity where it has no such limit. */
  space(path: string): { bytes: number; inodes: number } | undefined {
    try {
      const found = this.os.statfsSync(path)
      return {
        bytes: Number(found.bavail) * Number(found.bsize),
        inodes: Number(found.files) === 0 ? Number.POSITIVE_INFINITY : Number(found.ffree),
      }
    } catch {
      return undefined
    }
  }
}
