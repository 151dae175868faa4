/** From settings and ~/.ssh/config to the hops of a connection, the nearest first. Reads files, opens no connection. */
import { readdirSync, readFileSync } from 'node:fs'
import { homedir, userInfo } from 'node:os'
import { basename, dirname, isAbsolute, join } from 'node:path'
import { HpcError, quoted } from '../../contract/errors.ts'
import type { HostKeyRules } from './host-key.ts'
import {
  type ConfigFile,
  type JumpSpec,
  matchesGlob,
  parseJumps,
  type ResolvedHost,
  resolveSshConfig,
} from './ssh-config.ts'

/** A site's `transport: {type: ssh, …}`. Durations in milliseconds; paths may begin with `~/`. */
export interface SshSettings {
  /** A name, an address, or a `Host` alias of ~/.ssh/config. */
  readonly host: string
  readonly port?: number | undefined
  readonly user?: string | undefined
  readonly key_file?: string | undefined
  readonly passphrase?: string | undefined
  /** A file whose first line is the passphrase. */
  readonly passphrase_file?: string | undefined
  /** The name of an environment variable that holds the passphrase. */
  readonly passphrase_env?: string | undefined
  /** false: never; true or absent: SSH_AUTH_SOCK (or IdentityAgent); else the agent's socket. */
  readonly agent?: boolean | string | undefined
  readonly known_hosts?: string | undefined
  /** The only host key to accept: `SHA256:…`, or `ssh-ed25519 AAAA…`. */
  readonly host_key?: string | undefined
  /** `[user@]host[:port]`, several joined by commas; `none` switches a ProxyJump of ~/.ssh/config off. */
  readonly proxy_jump?: string | undefined
  /** false: none; a path: this one only; absent: ~/.ssh/config, then /etc/ssh/ssh_config. */
  readonly ssh_config?: string | false | undefined
  /** For each hop: until the server answers, and again until it lets us in. Default 20 s. */
  readonly connect_timeout?: number | undefined
  /** Between signs of life we ask for. Default 15 s; 0 = never. */
  readonly keepalive?: number | undefined
  /** Without a single byte for this long, the connection is given up. Default 60 s. */
  readonly stall?: number | undefined
}

export type Environment = Readonly<Record<string, string | undefined>>

export interface KeyFile {
  readonly file: string
  /** Named in the site's settings: then it is an error when it cannot be used. */
  readonly named: boolean
}

export interface Hop {
  readonly host: string
  readonly port: number
  readonly user: string
  readonly keyFiles: readonly KeyFile[]
  readonly agent: string | undefined
  /** Of the agent's keys, only those that belong to `keyFiles`. */
  readonly identitiesOnly: boolean
  readonly hostKey: HostKeyRules
  readonly proxyCommand: string | undefined
  readonly ignored: readonly string[]
}

export interface Route {
  readonly hops: readonly Hop[]
  readonly passphrase: { readonly text: string; readonly from: string } | undefined
  readonly connectTimeoutMs: number
  readonly keepaliveMs: number
  readonly stallMs: number
}

export function describeHop(hop: Pick<Hop, 'user' | 'host' | 'port'>): string {
  return `ssh ${hop.user}@${hop.host.includes(':') ? `[${hop.host}]` : hop.host}:${hop.port}`
}

export function resolveRoute(settings: SshSettings, environment: Environment, site: string): Route {
  const home = environment.HOME ?? homedir()
  const localUser = environment.USER ?? environment.LOGNAME ?? userInfo().username
  const atHome = (path: string): string => path.replace(/^~(?=\/|$)/, home)
  const files = configFiles(settings.ssh_config, home)
  const lookUp = (spec: JumpSpec): ResolvedHost => {
    const sources = { files, include: (pattern: string, from: string) => include(pattern, from, home) }
    return resolveSshConfig(spec.host, { ...sources, home, localUser, environment }, spec)
  }

  const knownHostsOf = (found: ResolvedHost): string[] => {
    if (settings.known_hosts !== undefined) return [atHome(settings.known_hosts)]
    return [
      ...(found.userKnownHostsFiles ?? [join(home, '.ssh/known_hosts'), join(home, '.ssh/known_hosts2')]),
      ...(found.globalKnownHostsFiles ?? ['/etc/ssh/ssh_known_hosts', '/etc/ssh/ssh_known_hosts2']),
    ]
  }
  const agentOf = (found: ResolvedHost): string | undefined => {
    if (settings.agent === false) return undefined
    if (typeof settings.agent === 'string') return atHome(settings.agent)
    if (found.identityAgent === 'none') return undefined
    const socket = found.identityAgent ?? environment.SSH_AUTH_SOCK
    return socket === '' ? undefined : socket
  }
  const named = settings.key_file === undefined ? undefined : atHome(settings.key_file)
  const keyFilesOf = (found: ResolvedHost, isTarget: boolean): KeyFile[] => {
    if (named !== undefined && isTarget) return [{ file: named, named: true }]
    const usual = ['id_ed25519', 'id_ecdsa', 'id_rsa'].map((name) => join(home, '.ssh', name))
    const configured = found.identityFiles.length > 0 ? found.identityFiles : named !== undefined ? [named] : usual
    return configured.map((file) => ({ file, named: false }))
  }
  const hopTo = (found: ResolvedHost, isTarget: boolean): Hop => {
    const port = found.port ?? 22
    return {
      host: found.hostName,
      port,
      user: found.user ?? localUser,
      keyFiles: keyFilesOf(found, isTarget),
      agent: agentOf(found),
      identitiesOnly: found.identitiesOnly,
      hostKey: {
        name: { host: found.hostName, port, alias: found.hostKeyAlias },
        files: knownHostsOf(found),
        pinned: isTarget ? settings.host_key : undefined,
        site,
      },
      proxyCommand: found.proxyCommand,
      ignored: found.ignored,
    }
  }
  const hopsTo = (spec: JumpSpec, jump: string | undefined, isTarget: boolean, depth: number): Hop[] => {
    const found = lookUp(spec)
    const hop = hopTo(found, isTarget)
    const via = jump ?? found.proxyJump
    if (via === undefined || via.toLowerCase() === 'none') {
      return [jump === undefined ? hop : { ...hop, proxyCommand: undefined }]
    }
    const jumps = parseJumps(via)
    if (jumps === undefined) {
      throw new HpcError(
        'config',
        `Cannot use the jump host ${quoted(via)}: expected [user@]host[:port], several joined by commas`,
      )
    }
    if (depth > 8)
      throw new HpcError(
        'config',
        `Cannot reach ${quoted(spec.host)}: its jump hosts lead in a circle (${quoted(via)})`,
      )
    // `Host *` with a ProxyJump applies to the jump host as well: nobody is reached through himself
    const others = jumps.filter((each) => {
      const other = lookUp(each)
      return other.hostName !== hop.host || (other.port ?? 22) !== hop.port
    })
    const before = others.flatMap((each, index) => hopsTo(each, index === 0 ? undefined : 'none', false, depth + 1))
    return [...before, { ...hop, proxyCommand: undefined }]
  }

  const target: JumpSpec = { host: settings.host, user: settings.user, port: settings.port }
  const found = lookUp(target)
  return {
    hops: hopsTo(target, settings.proxy_jump, true, 0),
    passphrase: readPassphrase(settings, environment, atHome),
    connectTimeoutMs: settings.connect_timeout ?? found.connectTimeoutMs ?? 20_000,
    keepaliveMs: settings.keepalive ?? (found.serverAliveIntervalMs || 15_000),
    stallMs: settings.stall ?? 60_000,
  }
}

function readPassphrase(
  settings: SshSettings,
  environment: Environment,
  atHome: (path: string) => string,
): Route['passphrase'] {
  if (settings.passphrase !== undefined) return { text: settings.passphrase, from: 'passphrase' }
  if (settings.passphrase_env !== undefined) {
    const text = environment[settings.passphrase_env]
    if (text === undefined || text === '') {
      throw new HpcError(
        'config',
        `Cannot read the passphrase: environment variable ${quoted(settings.passphrase_env)} is not set`,
      )
    }
    return { text, from: `passphrase_env ${settings.passphrase_env}` }
  }
  if (settings.passphrase_file === undefined) return undefined
  const file = atHome(settings.passphrase_file)
  try {
    const text = readFileSync(file, 'utf8').split(/\r?\n/)[0] ?? ''
    return { text, from: `passphrase_file ${quoted(file)}` }
  } catch (error) {
    throw new HpcError('config', `Cannot read the passphrase: ${(error as Error).message}`, {
      cause: error,
      concerns: { path: file },
    })
  }
}

function configFiles(wanted: string | false | undefined, home: string): ConfigFile[] {
  if (wanted === false) return []
  if (wanted === undefined) {
    return [join(home, '.ssh/config'), '/etc/ssh/ssh_config'].flatMap((file) => readOptional(file))
  }
  const file = wanted.replace(/^~(?=\/|$)/, home)
  try {
    return [{ file, text: readFileSync(file, 'utf8') }]
  } catch (error) {
    throw new HpcError('config', `Cannot read ssh_config: ${(error as Error).message}`, {
      cause: error,
      concerns: { path: file },
    })
  }
}

function readOptional(file: string): ConfigFile[] {
  try {
    return [{ file, text: readFileSync(file, 'utf8') }]
  } catch {
    return []
  }
}

/** Relative names belong to ~/.ssh, or to /etc/ssh for the system's file; wildcards in any part of the path. */
function include(pattern: string, from: string, home: string): ConfigFile[] {
  const expanded = pattern.replace(/^~(?=\/|$)/, home)
  const base = from.startsWith('/etc/ssh/') ? '/etc/ssh' : join(home, '.ssh')
  const full = isAbsolute(expanded) ? expanded : join(base, expanded)
  return glob(full).flatMap((file) => readOptional(file))
}

function glob(pattern: string): string[] {
  if (!/[*?]/.test(pattern)) return [pattern]
  const last = basename(pattern)
  return glob(dirname(pattern)).flatMap((folder) => {
    try {
      const names = /[*?]/.test(last)
        ? readdirSync(folder)
            .filter((name) => matchesGlob(last, name))
            .sort()
        : [last]
      return names.map((name) => join(folder, name))
    } catch {
      return []
    }
  })
}
