/** A whole text file with its permission bits, for files of the operator's: links are followed. */
import { readFileSync, statSync } from 'node:fs'
import { errno } from './os.ts'

/** Undefined when there is none; throws when it cannot be read. */
export function readTextAndMode(path: string): { text: string; mode: number } | undefined {
  try {
    return { text: readFileSync(path, 'utf8'), mode: statSync(path).mode & 0o777 }
  } catch (error) {
    if (errno(error) === 'ENOENT' || errno(error) === 'ENOTDIR') return undefined
    throw error
  }
}
