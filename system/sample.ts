/**
 * A sample of a file: the digest of what lies in its middle. Two files of one size that differ there differ; where they do not, only their
 * whole digests tell. The middle, because what one program writes often begins and ends alike.
 */
import { sha256 } from './digest.ts'
import type { Os } from './os.ts'

const sampleBytes = 64 * 1024

export function sampleOf(os: Os, fd: number, size: number): string {
  const piece = Buffer.allocUnsafe(Math.min(sampleBytes, size))
  const from = Math.floor((size - piece.length) / 2)
  let filled = 0
  while (filled < piece.length) {
    const count = os.readSync(fd, piece, filled, piece.length - filled, from + filled)
    if (count === 0) throw new Error('the file is shorter than it was')
    filled += count
  }
  return sha256(piece)
}
