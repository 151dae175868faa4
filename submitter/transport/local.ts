/** The site is this machine: commands are child processes, files are copied. The same behaviour as over ssh, without keys or network. */
import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdir, open, rename, unlink } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { HpcError, quoted } from '../../contract/errors.ts'
import { relay } from './relay.ts'
import type { Channel, Connection, Transport } from './transport.ts'

/** How long a command may take to end after its stdin was closed by `close()`, before TERM and then KILL. */
const graceMs = 2000

export function localTransport(): Transport {
  return { description: 'local', connect: () => Promise.resolve(localConnection()) }
}

interface Running {
  readonly channel: Channel
  readonly gone: Promise<unknown>
  signal(name: NodeJS.Signals): void
}

function localConnection(): Connection {
  const running = new Set<Running>()
  let closed = false

  return {
    broken: new Promise<never>(() => {}),
    roundTripMs: 0,
    async exec(commandLine) {
      if (closed) throw new HpcError('transient', 'Cannot start a command: the local connection is closed')
      const command = await start(commandLine)
      running.add(command)
      command.gone.finally(() => running.delete(command))
      return command.channel
    },
    async putFile(localPath, remotePath, mode, onBytes) {
      if (closed) throw new HpcError('transient', `Cannot put ${quoted(remotePath)}: the local connection is closed`)
      await copyFile(localPath, remotePath, mode, onBytes)
    },
    async close() {
      closed = true
      const all = [...running]
      for (const command of all) command.channel.stdin.end()
      const gone = Promise.all(all.map((command) => command.gone))
      for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
        if (await within(gone, graceMs)) return
        for (const command of running) command.signal(signal)
      }
      for (const command of running) command.channel.kill()
    },
  }
}

function start(commandLine: string): Promise<Running> {
  return new Promise((resolve, reject) => {
    // its own process group, so that kill() reaches what the command started
    const child = spawn('/bin/sh', ['-c', commandLine], { detached: true, stdio: ['pipe', 'pipe', 'pipe'] })
    child.stdin.on('error', () => {})
    const stdout = relay(child.stdout, () => child.stdout.destroy())
    const stderr = relay(child.stderr, () => child.stderr.destroy())
    const signal = (name: NodeJS.Signals): void => {
      if (child.pid === undefined) return
      try {
        process.kill(-child.pid, name)
      } catch {
        // nobody left in the group
      }
    }
    const gone = new Promise<{ code: number | null; signal: string | null }>((resolveGone) => {
      child.once('close', (code, name) => resolveGone({ code, signal: name }))
    })
    const exited = gone.then(async (end) => {
      await Promise.all([stdout.through, stderr.through])
      return end
    })
    const channel: Channel = {
      stdin: child.stdin,
      stdout: stdout.stream,
      stderr: stderr.stream,
      exited,
      kill() {
        signal('SIGKILL')
        child.stdin.destroy()
        // a grandchild in another group may hold the pipes open for as long as it likes
        stdout.stream.destroy()
        stderr.stream.destroy()
      },
    }
    child.once('error', (error) => {
      reject(new HpcError('transient', `Cannot start a command: ${error.message}`, { cause: error }))
    })
    child.once('spawn', () => resolve({ channel, gone, signal }))
  })
}

/** Beside, flushed, renamed, folder flushed. */
async function copyFile(from: string, to: string, mode: number, onBytes?: (sent: number) => void): Promise<void> {
  const folder = dirname(to)
  const temporary = join(folder, `.${randomBytes(9).toString('hex')}.part`)
  try {
    const source = await open(from, 'r')
    try {
      if (!(await source.stat()).isFile()) throw new Error('it is no file')
      const target = await open(temporary, 'wx', 0o600).catch(async (error: NodeJS.ErrnoException) => {
        if (error.code !== 'ENOENT') throw error
        await mkdir(folder, { recursive: true, mode: 0o700 })
        return open(temporary, 'wx', 0o600)
      })
      try {
        const block = Buffer.allocUnsafe(1 << 20)
        let sent = 0
        for (;;) {
          const { bytesRead } = await source.read(block, 0, block.length, null)
          if (bytesRead === 0) break
          for (let written = 0; written < bytesRead; ) {
            written += (await target.write(block, written, bytesRead - written)).bytesWritten
          }
          sent += bytesRead
          onBytes?.(sent)
        }
        await target.chmod(mode)
        await target.sync()
      } finally {
        await target.close()
      }
      await rename(temporary, to)
    } catch (error) {
      await unlink(temporary).catch(() => {})
      throw error
    } finally {
      await source.close()
    }
    const handle = await open(folder, 'r')
    await handle.sync().finally(() => handle.close())
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    const denied = code !== undefined && ['EACCES', 'EPERM', 'EROFS'].includes(code)
    throw new HpcError(
      denied ? 'denied' : 'transient',
      `Cannot put ${quoted(basename(from))} as ${quoted(to)}: ${message}`,
      {
        cause: error,
        concerns: { path: to },
      },
    )
  }
}

async function within(promise: Promise<unknown>, ms: number): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<false>((resolve) => {
    timer = setTimeout(() => resolve(false), ms)
  })
  return Promise.race([promise.then(() => true), late]).finally(() => clearTimeout(timer))
}
