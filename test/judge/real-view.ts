/** The judge's view of real folders. Symbolic links, pipes and devices have no text: an output is never one. */
import { lstatSync, readdirSync, readFileSync } from 'node:fs'
import type { View } from './evidence.ts'

export const realView: View = {
  names: (dir) => unlessAbsent(() => (lstatSync(dir).isDirectory() ? readdirSync(dir) : [])) ?? [],
  text: (path) => unlessAbsent(() => (lstatSync(path).isFile() ? readFileSync(path, 'utf8') : undefined)),
}

function unlessAbsent<T>(read: () => T): T | undefined {
  try {
    return read()
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined
    throw error
  }
}
