/**
 * Waking on new files. chokidar serves small folders; it looks at every name on every change, half a millisecond a job with some thousand
 * of them and seconds to begin with 100,000 (docs/performance.md). Above `largeFolder` names the system's own watch on the one folder is
 * used, also when the folder grows so large while it is watched.
 */
import { watchFolder } from '../system/watch-folder.ts'
import type { Gateway } from './gateway.ts'

const largeFolder = 100

export interface DropboxWatch {
  close(): Promise<void>
}

/** Only what a tool writes wakes: `.job` and `.job.cancel`, and a `.finished` taken away, which may free a name. */
function wakes(name: string): boolean {
  return name.endsWith('.job') || name.endsWith('.job.cancel') || name.endsWith('.job.finished')
}

export async function watchDropbox(gateway: Gateway, onChange: () => void): Promise<DropboxWatch> {
  const { dropbox } = gateway.config
  const sizeNow = () => gateway.files.list(dropbox).length
  const onName = (name: string) => {
    if (!name.startsWith('.') && wakes(name)) onChange()
  }
  const onError = (error: unknown) =>
    gateway.log.warn(
      `cannot watch ${dropbox}, it is looked at every minute: ${error instanceof Error ? error.message : String(error)}`,
    )
  const watchAsFolder = (size: number) => {
    gateway.log.debug(`${dropbox} holds ${size} files: watched as a folder, not file by file`)
    return watchFolder(dropbox, onName, onError)
  }
  let size = sizeNow()
  if (size > largeFolder) return watchAsFolder(size)
  const { watch } = await import('chokidar')
  const watcher = watch(dropbox, {
    depth: 0,
    ignoreInitial: true,
    ignored: (path, stats) => path !== dropbox && stats?.isDirectory() === true,
  })
  let current: DropboxWatch = watcher
  watcher.on('all', (event, path) => {
    onName(path.slice(path.lastIndexOf('/') + 1))
    if (event !== 'add' || current !== watcher) return
    size += 1
    if (size > largeFolder) size = sizeNow()
    if (size <= largeFolder) return
    try {
      // the new one sees before the old one is blind
      current = watchAsFolder(size)
      void watcher.close()
    } catch (error) {
      // no watches left to be had: the old one goes on, and the next new file tries again
      gateway.log.debug(`${dropbox} goes on being watched file by file: ${String(error)}`)
    }
  })
  watcher.on('error', onError)
  await new Promise<void>((resolve) => {
    watcher.once('ready', () => resolve())
    watcher.once('error', () => resolve())
  })
  return { close: () => current.close() }
}
