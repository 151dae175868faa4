/** The real file system, remembering what was synced, by name. */
import { type Os, realOs } from '../../system/os.ts'

export function syncingOs(): { readonly os: Os; readonly synced: Set<string> } {
  const synced = new Set<string>()
  const names = new Map<number, string>()
  const os: Os = {
    ...realOs,
    openSync: ((...args: Parameters<Os['openSync']>) => {
      const fd = realOs.openSync(...args)
      names.set(fd, String(args[0]))
      return fd
    }) as Os['openSync'],
    fsyncSync: (fd) => {
      realOs.fsyncSync(fd)
      synced.add(names.get(fd) ?? '')
    },
  }
  return { os, synced }
}
