/** File systems in memory: inodes, names and descriptors, and what of them has reached the disk (`durable.ts`). Knows no processes. */
import { constants } from 'node:fs'
import { posix } from 'node:path'
import { type Change, note, syncFile, syncFolder, type Volume, writeBackFile } from './durable.ts'
import type { Common, FileNode, FolderNode, LinkNode, Node } from './nodes.ts'

const nothing = Buffer.alloc(0)

export function osError(code: string, call: string, path = ''): Error {
  return Object.assign(new Error(`${code}: ${call} '${path}'`), { code, syscall: call, path })
}

const known = new Map<string, readonly string[]>()

/** The same paths are asked for thousands of times. */
function partsOf(path: string): readonly string[] {
  const found = known.get(path)
  if (found !== undefined) return found
  if (known.size > 20_000) known.clear()
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

export class Disk {
  readonly root: FolderNode
  readonly volumes = new Map<string, Volume>()
  /** Whether its file systems can share blocks between files. */
  clones = true
  #inodes = 0
  /** The story itself writes: no quota stops it. */
  #privileged = false

  constructor() {
    const nowhere: Volume = { dev: 0, wallMs: () => 0, nowMs: () => 0, ordered: true, pending: [], isFull: () => false }
    this.root = this.#folder(nowhere, 0o755)
  }

  /** A file system of its own at `/<name>`. */
  mount(name: string, volume: Volume): void {
    this.volumes.set(name, volume)
    const top = this.#folder(volume, 0o755)
    this.root.entries.set(name, top)
  }

  top(name: string): FolderNode {
    return this.root.entries.get(name) as FolderNode
  }

  #common(volume: Volume, mode: number): Common {
    const now = volume.wallMs()
    this.#inodes += 1
    return { ino: this.#inodes, volume, mode, uid: 1000, atimeMs: now, mtimeMs: now, ctimeMs: now, nlink: 1 }
  }

  #folder(volume: Volume, mode: number): FolderNode {
    return { ...this.#common(volume, mode), kind: 'folder', entries: new Map(), kept: new Map() }
  }

  #touch(node: Node): void {
    node.mtimeMs = node.volume.wallMs()
    node.ctimeMs = node.mtimeMs
  }

  #room(volume: Volume, call: string, path: string): void {
    if (!this.#privileged && volume.isFull()) throw osError(volume.dev % 2 === 0 ? 'EDQUOT' : 'ENOSPC', call, path)
  }

  /** Every change of a name goes through here. */
  #change(change: Change): void {
    const { from, to } = change
    if (from !== undefined) {
      from.folder.entries.delete(from.name)
      this.#touch(from.folder)
    }
    if (to !== undefined) {
      to.folder.entries.set(to.name, to.node)
      this.#touch(to.folder)
    }
    const volume = (to ?? from)?.folder.volume
    if (volume !== undefined) note(volume, change)
  }

  find(path: string, call: string, follow: boolean, depth = 0): Found {
    if (depth > 20) throw osError('ELOOP', call, path)
    const names = partsOf(path)
    let parent = this.root
    for (let i = 0; i < names.length - 1; i++) {
      let next = parent.entries.get(names[i] ?? '')
      if (next?.kind === 'link') next = this.find(this.#targetOf(names, i, next), call, true, depth + 1).node
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
      this.#room(found.parent.volume, 'open', path)
      const kept = { data: nothing, size: 0 }
      const common = this.#common(found.parent.volume, mode)
      node = {
        ...common,
        kind: 'file',
        data: nothing,
        size: 0,
        kept,
        shared: true,
        dirtyMs: undefined,
        writtenMs: 0,
        writer: '',
      }
      this.#change({ to: { folder: found.parent, name: found.name, node } })
    } else if ((flags & constants.O_CREAT) !== 0 && (flags & constants.O_EXCL) !== 0) {
      throw osError('EEXIST', 'open', path)
    }
    if (node.kind === 'link') throw osError('ELOOP', 'open', path)
    if (node.kind !== 'folder' && (flags & constants.O_DIRECTORY) !== 0) throw osError('ENOTDIR', 'open', path)
    if (node.kind === 'folder' && (flags & 3) !== 0) throw osError('EISDIR', 'open', path)
    if (node.kind === 'file' && (flags & constants.O_TRUNC) !== 0) this.truncate(node, 0)
    return { node, path: posix.resolve('/', path), append: (flags & constants.O_APPEND) !== 0, position: 0 }
  }

  #dirty(node: FileNode, writer: string): void {
    node.writtenMs = node.volume.nowMs()
    node.dirtyMs ??= node.writtenMs
    node.writer = writer
    this.#touch(node)
  }

  truncate(node: FileNode, size: number, writer = ''): void {
    if (size === node.size) return
    writeBackFile(node)
    const data = Buffer.alloc(size)
    node.data.copy(data, 0, 0, Math.min(size, node.size))
    node.data = data
    node.shared = false
    node.size = size
    this.#dirty(node, writer)
  }

  read(open: Descriptor, buffer: Uint8Array, offset: number, length: number, position: number | null): number {
    const { node } = open
    if (node.kind !== 'file') throw osError('EISDIR', 'read', open.path)
    const at = position ?? open.position
    const count = Math.max(0, Math.min(length, node.size - at))
    if (count > 0) buffer.set(node.data.subarray(at, at + count), offset)
    if (position === null) open.position += count
    return count
  }

  write(open: Descriptor, bytes: Uint8Array, position: number | null, writer = ''): number {
    const { node } = open
    if (node.kind !== 'file') throw osError('EBADF', 'write', open.path)
    const at = open.append ? node.size : (position ?? open.position)
    const end = at + bytes.length
    writeBackFile(node)
    if (end > node.size) this.#room(node.volume, 'write', open.path)
    if (node.shared || end > node.data.length) {
      const grown = Buffer.alloc(end > node.data.length ? Math.max(end, node.size * 2) : node.data.length)
      node.data.copy(grown, 0, 0, node.size)
      node.data = grown
      node.shared = false
    }
    node.data.set(bytes, at)
    node.size = Math.max(node.size, end)
    if (position === null) open.position = end
    this.#dirty(node, writer)
    return bytes.length
  }

  sync({ node }: Descriptor): void {
    if (node.kind === 'file') syncFile(node)
    else if (node.kind === 'folder') syncFolder(node)
  }

  rename(from: string, to: string): void {
    const source = this.find(from, 'rename', false)
    const target = this.find(to, 'rename', false)
    if (source.node === undefined) throw osError('ENOENT', 'rename', from)
    if (source.node === target.node) return
    if (source.parent.volume !== target.parent.volume) throw osError('EXDEV', 'rename', to)
    if (target.node !== undefined) {
      if (source.node.kind === 'folder') {
        if (target.node.kind !== 'folder') throw osError('ENOTDIR', 'rename', to)
        if (target.node.entries.size > 0) throw osError('ENOTEMPTY', 'rename', to)
      } else if (target.node.kind === 'folder') throw osError('EISDIR', 'rename', to)
      target.node.nlink -= 1
    }
    this.#change({
      from: { folder: source.parent, name: source.name },
      to: { folder: target.parent, name: target.name, node: source.node },
    })
    source.node.ctimeMs = source.node.volume.wallMs()
  }

  unlink(path: string): void {
    const { parent, name, node } = this.find(path, 'unlink', false)
    if (node === undefined) throw osError('ENOENT', 'unlink', path)
    if (node.kind === 'folder') throw osError('EISDIR', 'unlink', path)
    node.nlink -= 1
    this.#change({ from: { folder: parent, name } })
  }

  rmdir(path: string): void {
    const { parent, name, node } = this.find(path, 'rmdir', false)
    if (node === undefined) throw osError('ENOENT', 'rmdir', path)
    if (node.kind !== 'folder') throw osError('ENOTDIR', 'rmdir', path)
    if (node.entries.size > 0) throw osError('ENOTEMPTY', 'rmdir', path)
    this.#change({ from: { folder: parent, name } })
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
      this.#room(parent.volume, 'mkdir', part)
      this.#change({ to: { folder: parent, name, node: this.#folder(parent.volume, mode) } })
    }
  }

  symlink(target: string, path: string): void {
    const { parent, name, node } = this.find(path, 'symlink', false)
    if (node !== undefined) throw osError('EEXIST', 'symlink', path)
    this.#room(parent.volume, 'symlink', path)
    const link: LinkNode = { ...this.#common(parent.volume, 0o777), kind: 'link', target }
    this.#change({ to: { folder: parent, name, node: link } })
  }

  realpath(path: string): string {
    let at = '/'
    for (const name of partsOf(path)) {
      const next = posix.join(at, name)
      const node = this.there(next, 'realpath')
      at = node.kind === 'link' ? this.realpath(posix.resolve(at, node.target)) : next
    }
    return at
  }

  // for the story, its scripts and the judge

  #asStory<T>(act: () => T): T {
    const before = this.#privileged
    this.#privileged = true
    try {
      return act()
    } finally {
      this.#privileged = before
    }
  }

  /** Written by `writer`, and as little on disk as anything it writes. */
  put(path: string, content: string, writer = ''): void {
    this.#asStory(() => {
      this.mkdir(posix.dirname(path), 0o755, true)
      const open = this.open(path, constants.O_CREAT | constants.O_TRUNC | constants.O_WRONLY, 0o644)
      this.write(open, Buffer.from(content), null, writer)
    })
  }

  /** As a careful tool writes: synced, with the names that lead to it. */
  putDurably(path: string, content: string): void {
    this.put(path, content)
    syncFile(this.there(path, 'fsync', true) as FileNode)
    this.syncNames(path)
  }

  syncNames(path: string): void {
    const names = partsOf(path)
    for (let i = 1; i < names.length; i++) syncFolder(this.folder(`/${names.slice(0, i).join('/')}`, 'fsync'))
  }

  /** One write, which a full disk refuses. */
  append(path: string, content: string, writer: string): void {
    const open = this.open(path, constants.O_CREAT | constants.O_APPEND | constants.O_WRONLY, 0o600)
    this.write(open, Buffer.from(content), null, writer)
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
