/**
 * Parsed configurations, kept for the next pass: zod and js-yaml are half of an idle one. The key covers all that a configuration was made
 * from; the folder is the user's own and nobody else's to write, else it is no cache. Losing it costs a few milliseconds.
 */
import { join } from 'node:path'
import type { Files } from '../system/files.ts'
import type { ConfigCache } from './config-file.ts'

/** Old versions of configurations go; a user with more gateways than this parses some of them anew. */
const kept = 16

export function configCache(files: Files, dir: string, uid: number): ConfigCache {
  const isOurs = (path: string) => {
    const stats = files.stat(path)
    return stats !== undefined && stats.uid === uid && (stats.mode & 0o022) === 0
  }
  const pathOf = (key: string) => join(dir, `config-${key}.json`)
  return {
    get(key) {
      try {
        return isOurs(dir) && isOurs(pathOf(key)) ? files.readText(pathOf(key)) : undefined
      } catch {
        return undefined
      }
    },
    set(key, value) {
      try {
        files.makeFolder(dir)
        if (!isOurs(dir)) return
        files.replace(pathOf(key), value)
        const found = files
          .list(dir)
          .filter((name) => name.startsWith('config-'))
          .map((name) => ({ name, at: files.stat(join(dir, name))?.mtimeMs ?? 0 }))
          .sort((a, b) => b.at - a.at)
        for (const { name } of found.slice(kept)) files.remove(join(dir, name))
      } catch {
        // a home that cannot be written: every pass parses
      }
    },
  }
}

/** `~/.cache/hpc-submitter`, or where the user's own caches lie. */
export function configCacheFolder(home: string, env: Readonly<Record<string, string | undefined>>): string {
  const caches = env.XDG_CACHE_HOME
  return join(caches?.startsWith('/') === true ? caches : join(home, '.cache'), 'hpc-submitter')
}
