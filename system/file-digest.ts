/** The SHA-256 of a large file while it is being sent or written. */
import { createHash } from 'node:crypto'
import type { Os } from './os.ts'

export interface FileDigest {
  /** So many bytes from the file's start are there to be read. */
  reach(bytes: number): void
  /** Of the first `bytes`. Until then the descriptor stays open. */
  end(bytes: number): Promise<string>
  /** What was digested is not needed. */
  stop(): void
}

export type StartDigest = (fd: number) => FileDigest

/** Below this a thread costs more than it saves. */
export const worthAThreadBytes = 64 * 1024 * 1024
export const pieceBytes = 256 * 1024

/** Without a thread, and through the seam: all at the end. */
export function digestHere(os: Os): StartDigest {
  return (fd) => ({
    reach: () => undefined,
    end: async (bytes) => {
      const hash = createHash('sha256')
      const piece = Buffer.allocUnsafe(pieceBytes)
      for (let at = 0; at < bytes; ) {
        const count = os.readSync(fd, piece, 0, Math.min(piece.length, bytes - at), at)
        if (count === 0) throw new Error('the file is shorter than it was')
        hash.update(piece.subarray(0, count))
        at += count
        await new Promise((resolve) => setImmediate(resolve))
      }
      return hash.digest('hex')
    },
    stop: () => undefined,
  })
}
