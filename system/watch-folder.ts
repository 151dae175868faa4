/** The system's own watch on one folder: one descriptor whatever the number of names, no stat of any of them. */
import { watch } from 'node:fs'

export function watchFolder(
  dir: string,
  onName: (name: string) => void,
  onError: (error: Error) => void,
): { close(): Promise<void> } {
  const watcher = watch(dir, { persistent: true }, (_event, name) => {
    if (name !== null) onName(name)
  })
  watcher.on('error', onError)
  return {
    close: async () => {
      watcher.close()
    },
  }
}
