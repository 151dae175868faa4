/** A Unix socket that nobody but our own account can reach: it lies in a new folder of its own. */
import { lstatSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
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

/** The folder says whose it is, so that one whose process was killed can be taken away by a later one. */
const folder = (pid: number | string) => `hpc-batch-socket-${pid}-`

/** Undefined where none can be made. */
export async function listenPrivately(take: (socket: Socket) => void): Promise<PrivateSocket | undefined> {
  for (const base of new Set([tmpdir(), '/tmp'])) {
    if (join(base, `${folder(process.pid)}XXXXXX`, 'socket').length > longestPath) continue
    sweep(base)
    const opened = await listenIn(base, take)
    if (opened !== undefined) return opened
  }
  return undefined
}

async function listenIn(base: string, take: (socket: Socket) => void): Promise<PrivateSocket | undefined> {
  let dir: string | undefined
  try {
    // with mode 0700
    dir = mkdtempSync(join(base, folder(process.pid)))
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

/** Takes away what our own processes left that were killed. Those of others are left alone, and so is what cannot be looked at. */
function sweep(base: string): void {
  const pattern = new RegExp(`^${folder('(\\d+)')}[^-]+$`)
  try {
    for (const name of readdirSync(base)) {
      const pid = pattern.exec(name)?.[1]
      if (pid === undefined || isAlive(Number(pid))) continue
      const path = join(base, name)
      if (lstatSync(path).uid === process.getuid?.()) rmSync(path, { recursive: true, force: true })
    }
  } catch {
    // they are empty, and the system's own cleaner comes by
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== 'ESRCH'
  }
}
