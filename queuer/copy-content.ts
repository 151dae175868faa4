/** Copying a content whose digest is known: what arrives under the new name is exactly that, or nothing. */
import { createHash } from 'node:crypto'
import type { Content } from '../contract/protocol.ts'
import { openRegular } from '../spool/outputs.ts'
import type { Files } from '../system/files.ts'
import { CLONE_ONLY, errno, O_CREAT, O_EXCL, O_NOFOLLOW, O_RDONLY, O_RDWR, type Os } from '../system/os.ts'

/** `altered`: what lies there is another content, or cannot be read. */
export type Copied = 'copied' | 'absent' | 'altered'

export interface CopyOptions {
  readonly mode: number
  /** What nobody counts on after a crash needs no sync. */
  readonly sync: boolean
  /** Tried first: a reflink shares the blocks and is verified by one reading. */
  readonly clone: boolean
  /** Called now and then. */
  readonly breathe: () => Promise<void>
}

const pieceBytes = 1024 * 1024
const breathEvery = 256 * 1024 * 1024

/** Throws what keeps `to` from being written; then and after `altered` nothing is left there. */
export async function copyContent(
  files: Files,
  from: string,
  to: string,
  wanted: Content,
  options: CopyOptions,
): Promise<Copied> {
  let source: { fd: number; size: number } | undefined
  try {
    source = openRegular(files.os, from)
  } catch (error) {
    return errno(error) === 'ENOENT' ? 'absent' : 'altered'
  }
  if (source === undefined) return 'altered'
  let whole = false
  try {
    if (source.size !== wanted.size) return 'altered'
    files.remove(to)
    whole = await write(files, source.fd, to, wanted, options, options.clone && clone(files, from, to))
    return whole ? 'copied' : 'altered'
  } finally {
    files.os.closeSync(source.fd)
    if (!whole) files.remove(to)
  }
}

/** Where the file system shares no blocks, or the name has just gone, a copy serves. */
function clone({ os }: Files, from: string, to: string): boolean {
  try {
    os.copyFileSync(from, to, CLONE_ONLY)
    return true
  } catch {
    return false
  }
}

async function write(
  files: Files,
  source: number,
  to: string,
  { size, sha256 }: Content,
  { mode, sync, breathe }: CopyOptions,
  isCloned: boolean,
): Promise<boolean> {
  const { os } = files
  // a clone has the rights of its source, which nobody may write
  const target = os.openSync(to, isCloned ? O_RDONLY | O_NOFOLLOW : O_CREAT | O_EXCL | O_RDWR | O_NOFOLLOW, 0o600)
  try {
    const hash = createHash('sha256')
    const memory = Buffer.allocUnsafe(Math.min(pieceBytes, size))
    for (let at = 0; at < size; ) {
      const piece = readPiece(os, isCloned ? target : source, memory.subarray(0, size - at), at)
      hash.update(piece)
      if (piece.length === 0) return false
      if (!isCloned) writePiece(os, target, piece, at)
      at += piece.length
      if (at % breathEvery < piece.length) await breathe()
      if (at < size) await new Promise((resolve) => setImmediate(resolve))
    }
    if (hash.digest('hex') !== sha256 || (isCloned && os.fstatSync(target).size !== size)) return false
    os.fchmodSync(target, mode)
    if (sync) os.fsyncSync(target)
    return true
  } finally {
    os.closeSync(target)
  }
}

/** What cannot be read is not there. */
function readPiece(os: Os, fd: number, memory: Buffer, at: number): Buffer {
  try {
    return memory.subarray(0, os.readSync(fd, memory, 0, memory.length, at))
  } catch {
    return memory.subarray(0, 0)
  }
}

function writePiece(os: Os, fd: number, piece: Buffer, at: number): void {
  for (let done = 0; done < piece.length; ) done += os.writeSync(fd, piece, done, piece.length - done, at + done)
}
