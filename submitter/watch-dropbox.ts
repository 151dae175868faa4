/**
 * Waking on new files. chokidar serves folders of a common size; it keeps a stat of every name, which takes seconds and hundreds of
 * megabytes at 100,000 names, so above `largeFolder` the system's own watch on the one folder is used (docs/performance.md).
 */
import { watchFolder } from '../system/watch-folder.ts'
import type { Gateway } from './gateway.ts'

const largeFolder = 2_000

export interface DropboxWatch {
  close(): Promise<void>
}

/** Only what a tool writes wakes: `.job` and `.job.cancel`, and a `.finished` taken away, which may free a name. */
function wakes(name: string): boolean {
  return name.endsWith('.job') || name.endsWith('.job.cancel') || name.endsWith('.job.finished')
}

export async function watchDropbox(gateway: Gateway, onChange: () => void): Promise<DropboxWatch> {
  const { dropbox } = gateway.config
  const onName = (name: string) => {
    if (!name.startsWith('.') && wakes(name)) onChange()
  }
  const size = gateway.files.list(dropbox).length
  if (size > largeFolder) {
    gateway.log.debug(`${dropbox} holds ${size} files: watched as a folder, not file by file`)
    return watchFolder(dropbox, onName, (error) =>
      gateway.log.warn(`cannot watch ${dropbox}, it is looked at every minute: ${error.message}`),
    )
  }
  const { watch } = await import('chokidar')
  const watcher = watch(dropbox, {
    depth: 0,
    ignoreInitial: true,
    ignored: (path, stats) => path !== dropbox && stats?.isDirectory() === true,
  })
  watcher.on('all', (_event, path) => onName(path.slice(path.lastIndexOf('/') + 1)))
  watcher.on('error', (error) =>
    gateway.log.warn(`cannot watch ${dropbox}, it is looked at every minute: ${String(error)}`),
  )
  await new Promise<void>((resolve) => {
    watcher.once('ready', () => resolve())
    watcher.once('error', () => resolve())
  })
  return watcher
}
