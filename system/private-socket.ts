/** A Unix socket that nobody but our own account can reach: it lies in a new folder of its own. */
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'

/** What the address of a socket has room for on every system, less a little. */
const longestPath = 100

export interface PrivateSocket {
  readonly path: string
  /** Ends all that came by it, and takes it away. */
  close(): Promise<void>
}

/** Undefined where none can be made. */
export async function listenPrivately(take: (socket: Socket) => void): Promise<PrivateSocket | undefined> {
  for (const base of new Set([tmpdir(), '/tmp'])) {
    if (join(base, 'hpc-batch-XXXXXX', 'socket').length > longestPath) continue
    const opened = await listenIn(base, take)
    if (opened !== undefined) return opened
  }
  return undefined
}

async function listenIn(base: string, take: (socket: Socket) => void): Promise<PrivateSocket | undefined> {
  let dir: string | undefined
  try {
    // with mode 0700
    dir = mkdtempSync(join(base, 'hpc-batch-'))
    const path = join(dir, 'socket')
    const open = new Set<Socket>()
    const server = createServer((socket) => {
      open.add(socket)
      socket.once('close', () => open.delete(socket))
      socket.on('error', () => undefined)
      take(socket)
    })
    await new Promise<void>((resolve, reject) => server.once('error', reject).listen(path, resolve))
    return {
      path,
      async close() {
        const closed = new Promise((resolve) => server.close(resolve))
        for (const socket of open) socket.destroy()
        await closed
        rmSync(dirname(path), { recursive: true, force: true })
      },
    }
  } catch {
    if (dir !== undefined) rmSync(dir, { recursive: true, force: true })
    return undefined
  }
}
