/** The last lines an attempt wrote, for the sentence that ends its job: of stderr, else of stdout. A stream may be larger than memory. */
import type { ControlPaths } from '../contract/spool.ts'
import type { Files } from '../system/files.ts'
import { openRegular } from './outputs.ts'

const tailBytes = 2048
const shownLines = 3
const shownCharacters = 300

function tail(files: Files, path: string): string {
  if (!files.exists(path)) return ''
  const opened = openRegular(files.os, path)
  if (opened === undefined) return ''
  try {
    const piece = Buffer.alloc(Math.min(tailBytes, opened.size))
    const count = files.os.readSync(opened.fd, piece, 0, piece.length, opened.size - piece.length)
    const lines = piece.toString('utf8', 0, count).trim().split('\n')
    return lines.slice(-shownLines).join('\n').slice(-shownCharacters)
  } finally {
    files.os.closeSync(opened.fd)
  }
}

export function lastWords(files: Files, control: ControlPaths, attempt: number): string {
  return tail(files, control.stderr(attempt)) || tail(files, control.stdout(attempt))
}
