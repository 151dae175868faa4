/** The bytes to one hop: a socket of our own, a channel of the jump host, or a ProxyCommand. One clear message per way to fail. */
import { spawn } from 'node:child_process'
import { connect as connectTcp } from 'node:net'
import { Duplex } from 'node:stream'
import type { Client } from 'ssh2'
import type SftpClient from 'ssh2-sftp-client'
import { HpcError, printable, quoted } from '../../contract/errors.ts'
import { ReadMemory } from './read-memory.ts'
import { describeHop, type Hop } from './ssh-route.ts'

/** A hop we are logged in to. */
export interface Entered {
  readonly hop: Hop
  readonly helper: SftpClient
  readonly client: Client
  readonly wire: Duplex
}

export interface Wire {
  readonly stream: Duplex
  /** What a ProxyCommand had to say. */
  readonly said: () => string
}

export async function openWire(hop: Hop, timeoutMs: number, through: Entered | undefined): Promise<Wire> {
  if (through === undefined && hop.proxyCommand !== undefined) return openProxyCommand(hop.proxyCommand)
  const stream = through === undefined ? openTcp(hop, timeoutMs) : openThrough(hop, timeoutMs, through)
  return { stream: await stream, said: () => '' }
}

/** Our own socket rather than ssh2's: TCP_NODELAY from the first byte, one clear message per cause, and time for each of several addresses. */
function openTcp(hop: Hop, timeoutMs: number): Promise<Duplex> {
  return new Promise((resolve, reject) => {
    const memory = new ReadMemory()
    const socket = connectTcp({
      onread: memory.onread,
      host: hop.host,
      port: hop.port,
      noDelay: true,
      keepAlive: true,
      keepAliveInitialDelay: 15_000,
      // Node's 250 ms would give up on a far host that has both kinds of address
      autoSelectFamilyAttemptTimeout: Math.max(1000, Math.min(5000, Math.floor(timeoutMs / 3))),
    })
    memory.of(socket)
    const fail = (reason: string, cause?: unknown): void => {
      clearTimeout(timer)
      socket.destroy()
      reject(unreachable(hop, reason, cause))
    }
    const timer = setTimeout(() => fail(`no answer within ${timeoutMs / 1000} s`), timeoutMs)
    socket.once('error', (error) => fail(tcpReason(error, hop), error))
    socket.once('connect', () => {
      clearTimeout(timer)
      socket.removeAllListeners('error')
      socket.on('error', () => {})
      // nothing is kept of what is read while nobody listens: ssh2 goes on when it does
      socket.pause()
      resolve(socket)
    })
  })
}

function tcpReason(error: NodeJS.ErrnoException & { errors?: NodeJS.ErrnoException[] }, hop: Hop): string {
  const code = error.code ?? error.errors?.[0]?.code ?? ''
  const reasons: Record<string, string> = {
    ECONNREFUSED: 'connection refused (no sshd listens there, or a firewall says no)',
    ENOTFOUND: `there is no address for ${quoted(hop.host)}`,
    EAI_AGAIN: `the name service does not answer for ${quoted(hop.host)}`,
    EHOSTUNREACH: 'the host is unreachable',
    ENETUNREACH: 'the network is unreachable',
    ETIMEDOUT: 'no answer',
    ECONNRESET: 'the connection was reset',
  }
  return reasons[code] ?? (error.message || code)
}

function openThrough(hop: Hop, timeoutMs: number, through: Entered): Promise<Duplex> {
  return new Promise((resolve, reject) => {
    const via = describeHop(through.hop)
    const timer = setTimeout(
      () => reject(unreachable(hop, `no answer through ${via} within ${timeoutMs / 1000} s`)),
      timeoutMs,
    )
    const fail = (reason: string, cause?: unknown): void => {
      clearTimeout(timer)
      reject(unreachable(hop, reason, cause))
    }
    through.client.once('close', () => fail(`the connection to the jump host, ${via}, ended`))
    try {
      through.client.forwardOut(
        '127.0.0.1',
        0,
        hop.host,
        hop.port,
        (error: (Error & { reason?: unknown }) | undefined, channel) => {
          clearTimeout(timer)
          if (!error) return resolve(channel)
          const why = printable(error.message.replace(/^\(SSH\) Channel open failure: /, ''))
          // 1 = administratively prohibited: AllowTcpForwarding no
          if (error.reason === 1)
            reject(
              new HpcError('denied', `Cannot reach ${describeHop(hop)}: the jump host, ${via}, forbids it (${why})`),
            )
          else fail(`the jump host, ${via}, says ${quoted(why)}`, error)
        },
      )
    } catch (error) {
      fail((error as Error).message, error)
    }
  })
}

function openProxyCommand(command: string): Wire {
  const child = spawn('/bin/sh', ['-c', `exec ${command}`], { stdio: ['pipe', 'pipe', 'pipe'] })
  let said = ''
  for (const emitter of [child, child.stdin, child.stdout, child.stderr]) emitter.on('error', () => {})
  child.stderr.on('data', (chunk: Buffer) => {
    said = (said + chunk.toString()).slice(-2000)
  })
  const stream = Duplex.from({ readable: child.stdout, writable: child.stdin })
  stream.on('error', () => {})
  stream.once('close', () => child.kill())
  return { stream, said: () => said.trim() }
}

export function unreachable(hop: Hop, reason: string, cause?: unknown): HpcError {
  return new HpcError('transient', `Cannot reach ${describeHop(hop)}: ${reason}`, {
    concerns: { site: hop.hostKey.site },
    ...(cause === undefined ? {} : { cause }),
  })
}
