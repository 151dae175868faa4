/** `node:fs` as one process of one machine sees it: the calls `system/os.ts` offers, with that machine's faults. */
import { constants } from 'node:fs'
import { type Descriptor, type Disk, osError } from './disk.ts'
import { SimulatedStats } from './nodes.ts'

/** What a process may be told instead of the truth; the world decides when. */
export interface FileFaults {
  /** Before a call; may throw, and then nothing was done. */
  before(call: string, path: string): void
  /** After a call that was done; may throw, and then only its answer is lost. */
  after(call: string, path: string, from?: string): void
  /** An older listing of a folder, where a client's cache would give one. */
  listing(path: string, fresh: string[]): string[]
}

/** Whose calls they are. */
export interface FsContext {
  readonly disk: Disk
  readonly machine: string
  readonly faults: FileFaults
  readonly descriptors: Map<number, Descriptor>
  last: number
}

export function fsOf(current: () => FsContext, proc: (path: string) => string | undefined) {
  const at = (fd: number, call: string): Descriptor => {
    const open = current().descriptors.get(fd)
    if (open === undefined) throw osError('EBADF', call)
    return open
  }
  const doing = <T>(call: string, path: string, act: () => T, from?: string): T => {
    const { faults } = current()
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
      const open = doing(call, path, () => current().disk.open(path, flags, mode))
      const context = current()
      context.last += 1
      context.descriptors.set(context.last, open)
      return context.last
    },
    closeSync: (fd: number) => {
      if (!current().descriptors.delete(fd)) throw osError('EBADF', 'close')
    },
    readSync: (fd: number, buffer: Uint8Array, offset: number, length: number, position: number | null) => {
      const open = at(fd, 'read')
      return doing('read', open.path, () => current().disk.read(open, buffer, offset, length, position))
    },
    writeSync: (fd: number, buffer: Uint8Array, offset: number, length: number, position: number | null) => {
      const open = at(fd, 'write')
      const bytes = buffer.subarray(offset, offset + length)
      return doing('write', open.path, () => current().disk.write(open, bytes, position, current().machine))
    },
    fsyncSync: (fd: number) => {
      const open = at(fd, 'fsync')
      doing('fsync', open.path, () => current().disk.sync(open))
    },
    fstatSync: (fd: number) => new SimulatedStats(at(fd, 'fstat').node),
    fchmodSync: (fd: number, mode: number) => {
      at(fd, 'fchmod').node.mode = mode
    },
    fchownSync: () => undefined,
    ftruncateSync: (fd: number, size = 0) => {
      const { node, path } = at(fd, 'ftruncate')
      doing('write', path, () => node.kind === 'file' && current().disk.truncate(node, size, current().machine))
    },
    lstatSync: (path: string) => doing('stat', path, () => new SimulatedStats(current().disk.there(path, 'lstat'))),
    statSync: (path: string) => doing('stat', path, () => new SimulatedStats(current().disk.there(path, 'stat', true))),
    statfsSync: () => ({ bavail: 1_000_000_000, bsize: 4096, files: 1_000_000_000, ffree: 900_000_000 }),
    readdirSync: (path: string, how?: 'buffer' | { withFileTypes: true }) =>
      doing('list', path, () => {
        const { entries } = current().disk.folder(path, 'scandir')
        const names = current().faults.listing(path, [...entries.keys()])
        if (how === undefined) return names
        if (how === 'buffer') return names.map((name) => Buffer.from(name))
        return names.map((name) => ({ name, isDirectory: () => entries.get(name)?.kind === 'folder' }))
      }),
    opendirSync: (path: string) =>
      doing('list', path, () => {
        const names = current().faults.listing(path, [...current().disk.folder(path, 'scandir').entries.keys()])
        return {
          readSync: () => {
            const name = names.shift()
            return name === undefined ? null : { name }
          },
          closeSync: () => undefined,
        }
      }),
    readlinkSync: (path: string) => {
      const fd = /^\/proc\/self\/fd\/(\d+)$/.exec(path)?.[1]
      if (fd !== undefined) return at(Number(fd), 'readlink').path
      const node = current().disk.there(path, 'readlink')
      if (node.kind !== 'link') throw osError('EINVAL', 'readlink', path)
      return node.target
    },
    realpathSync: (path: string) => current().disk.realpath(path),
    renameSync: (from: string, to: string) => doing('rename', to, () => current().disk.rename(from, to), from),
    unlinkSync: (path: string) => doing('unlink', path, () => current().disk.unlink(path)),
    mkdirSync: (path: string, options: { recursive?: boolean; mode?: number } = {}) =>
      doing('mkdir', path, () => current().disk.mkdir(path, options.mode ?? 0o777, options.recursive === true)),
    rmdirSync: (path: string) => doing('rmdir', path, () => current().disk.rmdir(path)),
    symlinkSync: (target: string, path: string) => doing('symlink', path, () => current().disk.symlink(target, path)),
    chmodSync: (path: string, mode: number) => {
      current().disk.there(path, 'chmod', true).mode = mode
    },
    utimesSync: (path: string, atime: Date | number, mtime: Date | number) =>
      doing('utimes', path, () => {
        const ms = (time: Date | number) => (typeof time === 'number' ? time * 1000 : time.getTime())
        const node = current().disk.there(path, 'utimes', true)
        node.atimeMs = ms(atime)
        node.mtimeMs = ms(mtime)
        node.ctimeMs = node.volume.wallMs()
      }),
    accessSync: (path: string) => {
      current().disk.there(path, 'access', true)
    },
    copyFileSync: (from: string, to: string, mode = 0) => {
      if ((mode & constants.COPYFILE_FICLONE_FORCE) !== 0 && !current().disk.clones)
        throw osError('ENOTSUP', 'copyfile', to)
      const node = current().disk.there(from, 'copyfile', true)
      if (node.kind !== 'file') throw osError('EISDIR', 'copyfile', from)
      const exclusive = (mode & constants.COPYFILE_EXCL) === 0 ? 0 : constants.O_EXCL
      doing('create', to, () => {
        const open = current().disk.open(
          to,
          constants.O_CREAT | constants.O_TRUNC | constants.O_WRONLY | exclusive,
          node.mode,
        )
        current().disk.write(open, node.data.subarray(0, node.size), null, current().machine)
      })
    },
  }
}
