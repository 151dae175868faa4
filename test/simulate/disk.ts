/** A file system in memory, with inodes and descriptors: what `system/os.ts` offers, and the faults of a network file system on demand. */
import { constants } from 'node:fs'
import { posix } from 'node:path'

interface Common {
  readonly ino: number
  mode: number
  uid: number
  mtimeMs: number
  ctimeMs: number
  nlink: number
}
export interface FileNode extends Common {
  readonly kind: 'file'
  data: Buffer
  size: number
}
export interface FolderNode extends Common {
  readonly kind: 'folder'
  readonly entries: Map<string, Node>
}
export interface LinkNode extends Common {
  readonly kind: 'link'
  readonly target: string
}
export type Node = FileNode | FolderNode | LinkNode

const typeBits = { file: 0o100000, folder: 0o040000, link: 0o120000 } as const

export function osError(code: string, call: string, path = ''): Error {
  return Object.assign(new Error(`${code}: ${call} '${path}'`), { code, syscall: call, path })
}

const known = new Map<string, string[]>()

/** The same paths are asked for thousands of times. */
function partsOf(path: string): string[] {
  const found = known.get(path)
  if (found !== undefined) return found
  if (known.size > 10_000) known.clear()
  const parts = posix
    .resolve('/', path)
    .split('/')
    .filter((name) => name !== '')
  known.set(path, parts)
  return parts
}

interface Found {
  readonly parent: FolderNode
  readonly name: string
  readonly node: Node | undefined
}

export interface Descriptor {
  readonly node: Node
  readonly path: string
  readonly append: boolean
  position: number
}

/** The inodes and names; knows no processes. `now` is the clock of the machine that serves the files. */
export class Disk {
  readonly #now: () => number
  readonly root: FolderNode
  #inodes = 0

  constructor(now: () => number) {
    this.#now = now
    this.root = this.#node({ kind: 'folder', entries: new Map<string, Node>() }, 0o755) as FolderNode
  }

  #node(what: object, mode: number): Node {
    const now = this.#now()
    this.#inodes += 1
    return { ...what, ino: this.#inodes, mode, uid: 1000, mtimeMs: now, ctimeMs: now, nlink: 1 } as Node
  }

  #touch(node: Node): void {
    node.mtimeMs = this.#now()
    node.ctimeMs = node.mtimeMs
  }

  find(path: string, call: string, follow: boolean, depth = 0): Found {
    if (depth > 20) throw osError('ELOOP', call, path)
    const names = partsOf(path)
    let parent = this.root
    for (let i = 0; i < names.length - 1; i++) {
      let next = parent.entries.get(names[i] ?? '')
      if (next?.kind === 'link') {
        next = this.find(this.#targetOf(names, i, next), call, true, depth + 1).node
      }
      if (next === undefined) throw osError('ENOENT', call, path)
      if (next.kind !== 'folder') throw osError('ENOTDIR', call, path)
      parent = next
    }
    const name = names.at(-1)
    if (name === undefined) return { parent: this.root, name: '', node: this.root }
    const node = parent.entries.get(name)
    if (follow && node?.kind === 'link')
      return this.find(this.#targetOf(names, names.length - 1, node), call, true, depth + 1)
    return { parent, name, node }
  }

  #targetOf(names: readonly string[], at: number, link: LinkNode): string {
    return posix.resolve(`/${names.slice(0, at).join('/')}`, link.target)
  }

  there(path: string, call: string, follow = false): Node {
    const { node } = this.find(path, call, follow)
    if (node === undefined) throw osError('ENOENT', call, path)
    return node
  }

  folder(path: string, call: string): FolderNode {
    const node = this.there(path, call, true)
    if (node.kind !== 'folder') throw osError('ENOTDIR', call, path)
    return node
  }

  open(path: string, flags: number, mode: number): Descriptor {
    const found = this.find(path, 'open', (flags & constants.O_NOFOLLOW) === 0 && (flags & constants.O_EXCL) === 0)
    let { node } = found
    if (node === undefined) {
      if ((flags & constants.O_CREAT) === 0) throw osError('ENOENT', 'open', path)
      node = this.#node({ kind: 'file', data: Buffer.alloc(0), size: 0 }, mode)
      found.parent.entries.set(found.name, node)
      this.#touch(found.parent)
    } else if ((flags & constants.O_CREAT) !== 0 && (flags & constants.O_EXCL) !== 0) {
      throw osError('EEXIST', 'open', path)
    }
    if (node.kind === 'link') throw osError('ELOOP', 'open', path)
    if (node.kind !== 'folder' && (flags & constants.O_DIRECTORY) !== 0) throw osError('ENOTDIR', 'open', path)
    if (node.kind === 'folder' && (flags & 3) !== 0) throw osError('EISDIR', 'open', path)
    if (node.kind === 'file' && (flags & constants.O_TRUNC) !== 0) this.truncate(node, 0)
    return { node, path: posix.resolve('/', path), append: (flags & constants.O_APPEND) !== 0, position: 0 }
  }

  truncate(node: FileNode, size: number): void {
    const data = Buffer.alloc(size)
    node.data.copy(data, 0, 0, Math.min(size, node.size))
    node.data = data
    node.size = size
    this.#touch(node)
  }

  read(open: Descriptor, buffer: Uint8Array, offset: number, length: number, position: number | null): number {
    const { node } = open
    if (node.kind !== 'file') throw osError('EISDIR', 'read', open.path)
    const at = position ?? open.position
    const count = Math.max(0, Math.min(length, node.size - at))
    buffer.set(node.data.subarray(at, at + count), offset)
    if (position === null) open.position += count
    return count
  }

  write(open: Descriptor, bytes: Uint8Array, position: number | null): number {
    const { node } = open
    if (node.kind !== 'file') throw osError('EBADF', 'write', open.path)
    const at = open.append ? node.size : (position ?? open.position)
    const end = at + bytes.length
    if (end > node.data.length) {
      const grown = Buffer.alloc(Math.max(end, node.data.length * 2))
      node.data.copy(grown, 0, 0, node.size)
      node.data = grown
    }
    node.data.set(bytes, at)
    node.size = Math.max(node.size, end)
    if (position === null) open.position = end
    this.#touch(node)
    return bytes.length
  }

  rename(from: string, to: string): void {
    const source = this.find(from, 'rename', false)
    const target = this.find(to, 'rename', false)
    if (source.node === undefined) throw osError('ENOENT', 'rename', from)
    if (source.node === target.node) return
    if (target.node !== undefined) {
      if (source.node.kind === 'folder') {
        if (target.node.kind !== 'folder') throw osError('ENOTDIR', 'rename', to)
        if (target.node.entries.size > 0) throw osError('ENOTEMPTY', 'rename', to)
      } else if (target.node.kind === 'folder') throw osError('EISDIR', 'rename', to)
      target.node.nlink -= 1
    }
    source.parent.entries.delete(source.name)
    target.parent.entries.set(target.name, source.node)
    source.node.ctimeMs = this.#now()
    this.#touch(source.parent)
    this.#touch(target.parent)
  }

  unlink(path: string): void {
    const { parent, name, node } = this.find(path, 'unlink', false)
    if (node === undefined) throw osError('ENOENT', 'unlink', path)
    if (node.kind === 'folder') throw osError('EISDIR', 'unlink', path)
    node.nlink -= 1
    parent.entries.delete(name)
    this.#touch(parent)
  }

  rmdir(path: string): void {
    const { parent, name, node } = this.find(path, 'rmdir', false)
    if (node === undefined) throw osError('ENOENT', 'rmdir', path)
    if (node.kind !== 'folder') throw osError('ENOTDIR', 'rmdir', path)
    if (node.entries.size > 0) throw osError('ENOTEMPTY', 'rmdir', path)
    parent.entries.delete(name)
    this.#touch(parent)
  }

  mkdir(path: string, mode: number, recursive: boolean): void {
    const parts = partsOf(path)
    for (let i = recursive ? 1 : parts.length; i <= parts.length; i++) {
      const part = `/${parts.slice(0, i).join('/')}`
      const { parent, name, node } = this.find(part, 'mkdir', recursive)
      if (node !== undefined) {
        if (recursive && node.kind === 'folder') continue
        throw osError('EEXIST', 'mkdir', part)
      }
      parent.entries.set(name, this.#node({ kind: 'folder', entries: new Map<string, Node>() }, mode))
      this.#touch(parent)
    }
  }

  symlink(target: string, path: string): void {
    const { parent, name, node } = this.find(path, 'symlink', false)
    if (node !== undefined) throw osError('EEXIST', 'symlink', path)
    parent.entries.set(name, this.#node({ kind: 'link', target }, 0o777))
    this.#touch(parent)
  }

  realpath(path: string): string {
    let at = '/'
    for (const name of posix.resolve('/', path).split('/')) {
      if (name === '') continue
      const next = posix.join(at, name)
      const node = this.there(next, 'realpath')
      at = node.kind === 'link' ? this.realpath(posix.resolve(at, node.target)) : next
    }
    return at
  }

  stats(node: Node): object {
    const size = node.kind === 'file' ? node.size : node.kind === 'folder' ? 4096 : node.target.length
    const is = (kind: Node['kind']) => () => node.kind === kind
    const never = () => false
    return {
      dev: 1,
      ino: node.ino,
      mode: node.mode | typeBits[node.kind],
      nlink: node.nlink,
      uid: node.uid,
      gid: node.uid,
      size,
      mtimeMs: node.mtimeMs,
      ctimeMs: node.ctimeMs,
      atimeMs: node.mtimeMs,
      mtime: new Date(node.mtimeMs),
      isFile: is('file'),
      isDirectory: is('folder'),
      isSymbolicLink: is('link'),
      isFIFO: never,
      isSocket: never,
      isBlockDevice: never,
      isCharacterDevice: never,
    }
  }

  // for the world and the judge, who are no process

  put(path: string, content: string): void {
    this.mkdir(posix.dirname(path), 0o755, true)
    const open = this.open(path, constants.O_CREAT | constants.O_TRUNC | constants.O_WRONLY, 0o644)
    this.write(open, Buffer.from(content), null)
  }

  append(path: string, content: string): void {
    this.write(
      this.open(path, constants.O_CREAT | constants.O_APPEND | constants.O_WRONLY, 0o600),
      Buffer.from(content),
      null,
    )
  }

  text(path: string): string | undefined {
    try {
      const node = this.there(path, 'read', true)
      return node.kind === 'file' ? node.data.toString('utf8', 0, node.size) : undefined
    } catch {
      return undefined
    }
  }

  names(path: string): string[] {
    try {
      return [...this.folder(path, 'list').entries.keys()].sort()
    } catch {
      return []
    }
  }
}

/** What a process may be told instead of the truth; the world decides when. */
export interface FileFaults {
  /** Before a call; may throw, and then nothing was done. */
  before(call: string, path: string): void
  /** After a call that was done; may throw, and then only its answer is lost. */
  after(call: string, path: string, from?: string): void
  /** An older listing of a folder, where a client's cache would give one. */
  listing(path: string, fresh: string[]): string[]
}

/** `node:fs` as one process sees it. */
export function fsOf(disk: Disk, faults: FileFaults, proc: (path: string) => string | undefined): object {
  const descriptors = new Map<number, Descriptor>()
  let last = 10
  const at = (fd: number, call: string): Descriptor => {
    const open = descriptors.get(fd)
    if (open === undefined) throw osError('EBADF', call)
    return open
  }
  const doing = <T>(call: string, path: string, act: () => T, from?: string): T => {
    faults.before(call, path)
    const value = act()
    faults.after(call, path, from)
    return value
  }
  return {
    constants,
    readFileSync: (path: string) => {
      const told = proc(path)
      if (told === undefined) throw osError('ENOENT', 'open', path)
      return told
    },
    openSync: (path: string, flags: number, mode = 0o666) => {
      const call = (flags & 3) === 0 ? 'openRead' : (flags & constants.O_EXCL) === 0 ? 'openWrite' : 'create'
      const open = doing(call, path, () => disk.open(path, flags, mode))
      last += 1
      descriptors.set(last, open)
      return last
    },
    closeSync: (fd: number) => {
      if (!descriptors.delete(fd)) throw osError('EBADF', 'close')
    },
    readSync: (fd: number, buffer: Uint8Array, offset: number, length: number, position: number | null) => {
      const open = at(fd, 'read')
      return doing('read', open.path, () => disk.read(open, buffer, offset, length, position))
    },
    writeSync: (fd: number, buffer: Uint8Array, offset: number, length: number, position: number | null) => {
      const open = at(fd, 'write')
      return doing('write', open.path, () => disk.write(open, buffer.subarray(offset, offset + length), position))
    },
    fsyncSync: (fd: number) => {
      const open = at(fd, 'fsync')
      doing('fsync', open.path, () => undefined)
    },
    fstatSync: (fd: number) => disk.stats(at(fd, 'fstat').node),
    fchmodSync: (fd: number, mode: number) => {
      at(fd, 'fchmod').node.mode = mode
    },
    fchownSync: () => undefined,
    ftruncateSync: (fd: number, size = 0) => {
      const { node, path } = at(fd, 'ftruncate')
      doing('write', path, () => node.kind === 'file' && disk.truncate(node, size))
    },
    lstatSync: (path: string) => doing('stat', path, () => disk.stats(disk.there(path, 'lstat'))),
    statSync: (path: string) => doing('stat', path, () => disk.stats(disk.there(path, 'stat', true))),
    statfsSync: () => ({ bavail: 1_000_000_000, bsize: 4096, files: 1_000_000_000, ffree: 900_000_000 }),
    readdirSync: (path: string) =>
      doing('list', path, () => faults.listing(path, [...disk.folder(path, 'scandir').entries.keys()])),
    readlinkSync: (path: string) => {
      const fd = /^\/proc\/self\/fd\/(\d+)$/.exec(path)?.[1]
      if (fd !== undefined) return at(Number(fd), 'readlink').path
      const node = disk.there(path, 'readlink')
      if (node.kind !== 'link') throw osError('EINVAL', 'readlink', path)
      return node.target
    },
    realpathSync: (path: string) => disk.realpath(path),
    renameSync: (from: string, to: string) => doing('rename', to, () => disk.rename(from, to), from),
    unlinkSync: (path: string) => doing('unlink', path, () => disk.unlink(path)),
    mkdirSync: (path: string, options: { recursive?: boolean; mode?: number } = {}) =>
      doing('mkdir', path, () => disk.mkdir(path, options.mode ?? 0o777, options.recursive === true)),
    rmdirSync: (path: string) => doing('rmdir', path, () => disk.rmdir(path)),
    symlinkSync: (target: string, path: string) => doing('symlink', path, () => disk.symlink(target, path)),
    chmodSync: (path: string, mode: number) => {
      disk.there(path, 'chmod', true).mode = mode
    },
    utimesSync: (path: string, _: unknown, mtime: Date | number) =>
      doing('utimes', path, () => {
        disk.there(path, 'utimes', true).mtimeMs = typeof mtime === 'number' ? mtime * 1000 : mtime.getTime()
      }),
    accessSync: (path: string) => {
      disk.there(path, 'access', true)
    },
    copyFileSync: (from: string, to: string, mode = 0) => {
      const node = disk.there(from, 'copyfile', true)
      if (node.kind !== 'file') throw osError('EISDIR', 'copyfile', from)
      const exclusive = (mode & constants.COPYFILE_EXCL) === 0 ? 0 : constants.O_EXCL
      doing('create', to, () => {
        const open = disk.open(to, constants.O_CREAT | constants.O_TRUNC | constants.O_WRONLY | exclusive, node.mode)
        disk.write(open, node.data.subarray(0, node.size), null)
      })
    },
  }
}
