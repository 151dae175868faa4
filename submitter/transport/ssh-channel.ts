/** One command on a connection, with the streams of a child process. */
import { Writable } from 'node:stream'
import type { ClientChannel } from 'ssh2'
import { HpcError } from '../../contract/errors.ts'
import type { Borrower } from './read-memory.ts'
import { relay } from './relay.ts'
import type { Channel } from './transport.ts'
import { widenWindow } from './wide-window.ts'

/** How long kill() waits for the server to confirm that the command is gone. */
const killGraceMs = 1000

export interface SshChannel {
  readonly channel: Channel
  /** Something we sent waits for the other side. */
  readonly isWaiting: () => boolean
  /** The connection broke: ends streams and `exited` with this error, at once. */
  fail(error: HpcError): void
}

interface Surroundings {
  readonly roundTripMs?: number
  /** Called with a channel whose reader keeps nothing. */
  readonly borrows?: (borrower: Borrower) => void
}

/** Must be called in the very callback of `client.exec`: the exit status may be in the same packet. */
export function sshChannel(
  ssh: ClientChannel,
  describe: string,
  { roundTripMs = 0, borrows }: Surroundings,
  onGone: (id: number) => void,
): SshChannel {
  let exit: { readonly code: number | null; readonly signal: string | null } | undefined
  let over = false
  let killed = false
  let waiting: ((error?: Error | null) => void) | undefined

  const stdin = new Writable({
    highWaterMark: 1024 * 1024,
    decodeStrings: true,
    write(chunk: Buffer, _encoding, done) {
      if (over) return done(brokenPipe())
      // ssh2 forgets the callback of a write when the channel closes under it: so we keep it
      waiting = done
      ssh.write(chunk, (error) => {
        if (waiting !== done) return
        waiting = undefined
        done(error)
      })
    },
    final(done) {
      if (!over) ssh.end()
      done()
    },
    destroy(error, done) {
      if (!over && !ssh.writableEnded) ssh.end()
      done(error)
    },
  })
  stdin.on('error', () => {})
  ssh.on('error', () => {})

  const id = (ssh as unknown as { incoming?: { id?: number } }).incoming?.id ?? -1
  const stdout = relay(ssh)
  widenWindow(ssh, roundTripMs)
  const stderr = relay(ssh.stderr)
  let settle: (end: { code: number | null; signal: string | null }) => void
  let reject: (error: HpcError) => void
  const exited = new Promise<{ code: number | null; signal: string | null }>((resolvePromise, rejectPromise) => {
    settle = resolvePromise
    reject = rejectPromise
  })
  exited.catch(() => {})

  const release = (why?: Error): void => {
    if (over) return
    over = true
    onGone(id)
    const done = waiting
    waiting = undefined
    // as a pipe whose reader has gone: a write that waits fails, one that comes later too, plain end() does not
    done?.(why ?? brokenPipe())
  }

  ssh.on('exit', (code: number | null, signal?: string) => {
    exit = { code, signal: code === null ? (signal ?? null) : null }
  })
  ssh.on('close', () => {
    release()
    if (killed) return settle(exit ?? { code: null, signal: 'SIGKILL' })
    if (exit === undefined) {
      return reject(
        new HpcError(
          'transient',
          `Lost a command at ${describe}: the server closed its channel without an exit status`,
        ),
      )
    }
    const end = exit
    Promise.all([stdout.through, stderr.through]).then(() => settle(end))
  })

  return {
    channel: {
      stdin,
      stdout: stdout.stream,
      stderr: stderr.stream,
      exited,
      borrow() {
        const holds = () => ssh.readableLength > 0 || stdout.stream.readableLength > 0
        if (id >= 0) borrows?.({ id, holds })
      },
      kill() {
        if (over || killed) return
        killed = true
        sendKill(ssh)
        ssh.close()
        stdin.destroy()
        stdout.stream.destroy()
        stderr.stream.destroy()
        // sshd answers our close when the command has ended, so `exited` means it; but it does not signal the commands of root
        setTimeout(() => settle({ code: null, signal: 'SIGKILL' }), killGraceMs).unref()
      },
    },
    isWaiting: () => waiting !== undefined,
    fail(error) {
      release(error)
      if (killed) settle({ code: null, signal: 'SIGKILL' })
      else reject(error)
      for (const stream of [stdin, stdout.stream, stderr.stream]) stream.destroy(error)
    },
  }
}

function brokenPipe(): Error {
  return Object.assign(new Error('the command has ended and reads no more'), { code: 'EPIPE' })
}

/** `signal()` of ssh2 keeps silent once stdin was ended, though SSH allows it: then the request is written by hand. */
function sendKill(ssh: ClientChannel): void {
  try {
    if (!ssh.writableEnded) return void ssh.signal('KILL')
    const inner = ssh as unknown as {
      outgoing?: { id: number }
      _client?: { _protocol?: { signal?: (id: number, name: string) => void } }
    }
    if (inner.outgoing !== undefined) inner._client?._protocol?.signal?.(inner.outgoing.id, 'KILL')
  } catch {
    // closing the channel must do
  }
}
