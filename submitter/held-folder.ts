/**
 * Writing where another user has his say, as root: a folder that was judged is held open and named by its descriptor, so that a link put
 * in its place afterwards leads us nowhere; and what is his is removed with his rights, not with ours.
 */
import { join } from 'node:path'
import { HpcError, quoted } from '../contract/errors.ts'
import { O_DIRECTORY, O_NOFOLLOW, O_RDONLY } from '../system/os.ts'
import type { Owner } from './check-files.ts'
import type { Gateway } from './gateway.ts'

/** Whether somebody else than the gateway's user may swap names under us, and we could do what he could not. */
export function isGuarded(gateway: Gateway, owner: Owner): boolean {
  return gateway.uid === 0 && owner.uid !== 0 && process.getuid?.() === 0
}

/** The path of an open folder, whatever its name leads to by now. */
export function pathOfOpen(fd: number): string {
  return `/proc/self/fd/${fd}`
}

/** A folder that we have just made, held: it must still be ours alone. */
export function holdOwnFolder(gateway: Gateway, path: string): number {
  const { os } = gateway.files
  const fd = os.openSync(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW)
  const { uid, mode } = os.fstatSync(fd)
  if (uid === gateway.uid && (mode & 0o077) === 0) return fd
  os.closeSync(fd)
  throw new HpcError('transient', `${quoted(path)} was replaced by somebody while it was written`)
}

/** Removes a tree that may be half ours, half the owner's, without going anywhere he could not go himself. */
export function removeGuarded(gateway: Gateway, owner: Owner, path: string): void {
  const { files } = gateway
  const found = files.stat(path)
  if (found === undefined) return
  if (!isGuarded(gateway, owner) || !found.isDirectory()) {
    files.removeTree(path)
    return
  }
  if (found.uid === gateway.uid) {
    const fd = holdOwnFolder(gateway, path)
    try {
      // nobody else can get in: what lies here is as we left it
      for (const name of files.list(pathOfOpen(fd))) files.removeTree(join(pathOfOpen(fd), name))
    } finally {
      files.os.closeSync(fd)
    }
    files.removeEmptyFolder(path)
    return
  }
  asOwner(owner, () => files.removeTree(path))
}

/** Synchronous only: all threads of the process have these rights meanwhile. */
function asOwner(owner: Owner, act: () => void): void {
  const { getegid, setegid, seteuid } = process
  if (getegid === undefined || setegid === undefined || seteuid === undefined) return
  const gid = getegid()
  setegid(owner.gid)
  seteuid(owner.uid)
  try {
    act()
  } finally {
    seteuid(0)
    setegid(gid)
  }
}
