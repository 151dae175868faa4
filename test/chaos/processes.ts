/** The product's processes of one workspace, as the kernel shows them. */
import { readdirSync, readFileSync } from 'node:fs'

export function pidsWhere(isWanted: (words: readonly string[]) => boolean): number[] {
  return readdirSync('/proc')
    .filter((entry) => /^\d+$/.test(entry))
    .filter((entry) => {
      try {
        return isWanted(readFileSync(`/proc/${entry}/cmdline`, 'utf8').split('\0'))
      } catch {
        return false
      }
    })
    .map(Number)
}

export function childrenOf(pid: number): number[] {
  try {
    return readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ').filter(Boolean).map(Number)
  } catch {
    return []
  }
}

/** False when there is no such process any more. */
export function signal(pid: number, name: NodeJS.Signals): boolean {
  try {
    process.kill(pid, name)
    return true
  } catch {
    return false
  }
}
