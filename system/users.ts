/** Local users as the system's own name service knows them, directory services included. */
import { execFileSync } from 'node:child_process'

function ask(...args: string[]): string {
  try {
    return execFileSync('id', args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim()
  } catch {
    return ''
  }
}

export function userName(uid: number): string | undefined {
  return ask('-nu', '--', String(uid)) || undefined
}

/** Group numbers of a user; none when the user is unknown. */
export function groupsOf(uid: number): ReadonlySet<number> {
  const text = ask('-G', '--', userName(uid) ?? String(uid))
  return new Set(text === '' ? [] : text.split(/\s+/).map(Number))
}
