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

/**
 * The base name of what wakes: only what a tool writes does, `.job` and `.job.cancel`, and a `.finished` taken away, which may free a
 * name.
 */
function wakes(name: string): string | undefined {
  return /^([^.].*)\.job(?:\.cancel|\.finished)?$/s.exec(name)?.[1]
}

/**
 * `onChange` gets the base name of what came or went, or undefined when all names are to be looked at: in a small folder always, as a
 * listing costs nothing there, and chokidar tells of a burst that something came rather than of each name.
 */
export async function watchDropbox(
  gateway: Gateway,
  onChange: (name: string | undefined) => void,
): Promise<DropboxWatch> {
  const { dropbox } = gateway.config
  const sizeNow = () => gateway.files.count(dropbox, largeFolder + 1)
  const onName = (name: string) => {
    const woken = wakes(name)
    if (woken !== undefined) onChange(woken)
  }
  const onError = (error: unknown) =>
    gateway.log.warn(
      `cannot watch ${dropbox}, it is looked at every minute: ${error instanceof Error ? error.message : String(error)}`,
    )
  const watchAsFolder = () => {
    gateway.log.debug(`${dropbox} holds more than ${largeFolder} files: watched as a folder, not file by file`)
    return watchFolder(dropbox, onName, onError)
  }
  let size = sizeNow()
  if (size > largeFolder) return watchAsFolder()
  const { watch } = await import('chokidar')
  const watcher = watch(dropbox, {
    depth: 0,
    ignoreInitial: true,
    ignored: (path, stats) => path !== dropbox && stats?.isDirectory() === true,
  })
  let current: DropboxWatch = watcher
  watcher.on('all', (event, path) => {
    if (wakes(path.slice(path.lastIndexOf('/') + 1)) !== undefined) onChange(undefined)
    if (event !== 'add' || current !== watcher) return
    size += 1
    if (size > largeFolder) size = sizeNow()
    if (size <= largeFolder) return
    try {
      // the new one sees before the old one is blind
      current = watchAsFolder()
      void watcher.close()
      // what the old one had not told yet
      onChange(undefined)
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
