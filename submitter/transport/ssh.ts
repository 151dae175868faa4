/**
 * SSH to a site: route, host key, login, hop by hop. Every host key is verified, on every hop, and nothing waits for ever: each step
 * here has its time, and afterwards the watchdog of `ssh-connection.ts` takes over.
 */
import type { Duplex } from 'node:stream'
import type { Client } from 'ssh2'
import type SftpClient from 'ssh2-sftp-client'
import { HpcError, printable, quoted } from '../../contract/errors.ts'
import { type HostKeyGuard, hostKeyGuard, type SeenHostKey } from './host-key.ts'
import { signAtOnce } from './sign-at-once.ts'
import { keepaliveMsOf, sshConnection } from './ssh-connection.ts'
import { type Login, noLogin, prepareLogin } from './ssh-login.ts'
import { describeHop, type Environment, type Hop, type Route, resolveRoute, type SshSettings } from './ssh-route.ts'
import { type Entered, openWire, unreachable } from './ssh-wire.ts'
import type { Transport } from './transport.ts'

export type { SshSettings } from './ssh-route.ts'

/** `environment` is process.env, or what stands for it; `site` is the name to use in "run: hpc-submitter trust …". */
export function sshTransport(settings: SshSettings, environment: Environment, site = 'SITE'): Transport {
  const user = settings.user === undefined ? '' : `${settings.user}@`
  const host = settings.host.includes(':') ? `[${settings.host}]` : settings.host
  const port = settings.port === undefined ? '' : `:${settings.port}`
  return {
    description: `ssh ${user}${host}${port}`,
    async connect(begun) {
      const route = resolveRoute(settings, environment, site)
      return sshConnection(await enterAll(route, undefined, begun), route)
    },
  }
}

async function enterAll(route: Route, peek?: Peek, begun?: () => void): Promise<readonly Entered[]> {
  const entered: Entered[] = []
  try {
    for (const hop of route.hops) {
      entered.push(await enter(hop, route, entered.at(-1), peek, hop === route.hops.at(-1), begun))
    }
    return entered
  } catch (error) {
    for (const each of entered) each.wire.destroy()
    throw error
  }
}

/** The first host on the way whose key would be refused; when there is none, the target. For `trust`: the target is never logged in to. */
export async function lookAtHostKey(route: Route): Promise<{ readonly hop: Hop; readonly seen: SeenHostKey }> {
  const found: { hop: Hop; seen: SeenHostKey }[] = []
  try {
    await enterAll(route, (hop, seen) => found.push({ hop, seen }))
  } catch (error) {
    if (found[0] === undefined) throw error
  }
  return found[0]!
}

type Peek = (hop: Hop, seen: SeenHostKey) => void

async function enter(
  hop: Hop,
  route: Route,
  through: Entered | undefined,
  peek: Peek | undefined,
  isTarget: boolean,
  begun: () => void = () => undefined,
): Promise<Entered> {
  const dial = () => openWire(hop, route.connectTimeoutMs, through)
  // our own socket keeps all for whoever listens first, so it is dialled meanwhile; what a ProxyCommand does at once would be missed
  let early = through === undefined && hop.proxyCommand === undefined ? dial() : undefined
  early?.catch(() => undefined)
  const { Helper, login, keyOnly } = await prepare(hop, route, peek !== undefined && isTarget).catch(
    (error: unknown) => {
      early?.then(({ stream }) => stream.destroy()).catch(() => undefined)
      throw error
    },
  )
  const guard = hostKeyGuard(hop.hostKey)
  for (;;) {
    const seenBefore = guard.seen
    const opening = early ?? dial()
    early = undefined
    begun()
    const wire = await opening
    try {
      const quiet = (): void => {}
      const helper = new Helper('hpc-batch', { error: quiet, end: quiet, close: quiet })
      return await shakeHands({ hop, route, helper, wire: wire.stream, guard, login, keyOnly })
    } catch (error) {
      wire.stream.destroy()
      if (guard.seen !== seenBefore && guard.mayHaveAnother) continue
      if (guard.seen !== undefined && (guard.refusal !== undefined || isTarget)) peek?.(hop, guard.seen)
      if (guard.refusal !== undefined || wire.said() === '') throw guard.refusal ?? error
      throw unreachable(hop, `its ProxyCommand says ${quoted(wire.said(), 500)}`, error)
    }
  }
}

/** Loaded here and not above: a pass without work must not pay for it. */
async function prepare(hop: Hop, route: Route, keyOnly: boolean) {
  const [ssh2, { default: Helper }] = await Promise.all([import('ssh2'), import('ssh2-sftp-client')])
  return { Helper, login: keyOnly ? noLogin : prepareLogin(hop, route.passphrase, ssh2.default), keyOnly }
}

interface Handshake {
  readonly hop: Hop
  readonly route: Route
  readonly helper: SftpClient
  readonly wire: Duplex
  readonly guard: HostKeyGuard
  readonly login: Login
  /** Leave as soon as the host key was seen. */
  readonly keyOnly: boolean
}

function shakeHands({ hop, route, helper, wire, guard, login, keyOnly }: Handshake): Promise<Entered> {
  const { client } = helper as unknown as { client: Client }
  return new Promise((resolve, reject) => {
    const onError = (error: Error & { level?: string }): void => {
      const verdict = guard.refusal ?? judgeTrouble(error, hop, route, login)
      if (verdict !== undefined) reject(verdict)
    }
    client.on('error', onError)
    client.once('close', () => {
      reject(
        unreachable(
          hop,
          login.begun
            ? 'the server closed the connection while we logged in'
            : 'the server closed the connection at once',
        ),
      )
    })
    client.once('ready', () => {
      client.removeListener('error', onError)
      resolve({ hop, helper, client, wire })
    })
    client.connect({
      sock: wire,
      host: hop.host,
      port: hop.port,
      username: hop.user,
      readyTimeout: route.connectTimeoutMs,
      // ssh2 would count unanswered requests, and those queue behind a slow upload: it only asks, the watchdog below judges
      keepaliveInterval: keepaliveMsOf(route),
      keepaliveCountMax: Number.MAX_SAFE_INTEGER,
      hostVerifier: (key: Buffer) => guard.accepts(key) && !keyOnly,
      algorithms: { serverHostKey: guard.algorithms() as never },
      authHandler: login.handler,
    })
    client.setNoDelay(true)
    signAtOnce(client)
  })
}

/** What an error of ssh2 before 'ready' means; undefined: only one of several means failed, ssh2 goes on with the next. */
function judgeTrouble(error: Error & { level?: string }, hop: Hop, route: Route, login: Login): HpcError | undefined {
  const message = printable(error.message)
  // the same level stands for "one key could not sign" and for "nothing is left to try"
  const isNote = error.level === 'agent' || (error.level === 'client-authentication' && !message.startsWith('All conf'))
  if (isNote) {
    login.note(message)
    return undefined
  }
  if (error.level === 'client-authentication') return login.refused()
  if (error.level === 'client-timeout') {
    return unreachable(hop, `it answers, but did not let us in within ${route.connectTimeoutMs / 1000} s`, error)
  }
  if (error.level === 'handshake') {
    const hint = 'docs/ssh.md lists what we can speak'
    return new HpcError('denied', `Cannot talk to ${describeHop(hop)}: ${message}`, { cause: error, hint })
  }
  if (login.begun && /authentication|auth fail/i.test(message)) {
    login.note(`the server said ${quoted(message)}`)
    return login.refused()
  }
  return unreachable(hop, message, error)
}
