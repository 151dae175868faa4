/** SHA-256 of files, read through an open descriptor in pieces, so that an event loop beside it keeps turning. */
import { createHash } from 'node:crypto'
import type { Os } from './os.ts'

const pieceBytes = 1024 * 1024

export function sha256(bytes: Uint8Array | string): string {
  return createHash('sha256').update(bytes).digest('hex')
}

/** Digest and size of what is read from `fd`, from its start. Gives way to other work after every piece. */
export async function digestOf(os: Os, fd: number): Promise<{ sha256: string; size: number }> {
  const hash = createHash('sha256')
  const piece = Buffer.allocUnsafe(Math.min(pieceBytes, os.fstatSync(fd).size + 1))
  for (let size = 0; ; ) {
    const count = os.readSync(fd, piece, 0, piece.length, size)
    if (count === 0) return { sha256: hash.digest('hex'), size }
    hash.update(piece.subarray(0, count))
    size += count
    if (count === pieceBytes) await new Promise((resolve) => setImmediate(resolve))
  }
}
