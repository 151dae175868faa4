/**
 * `ssh_config(5)`, as much of it as a route to a host needs. Pure: included files come through `include`. As in OpenSSH the first value
 * found wins, except IdentityFile, which adds up.
 */
import { matchesPattern, matchesPatterns } from './known-hosts.ts'

export interface ConfigFile {
  readonly file: string
  readonly text: string
}

export interface SshConfigContext {
  /** The user's file before the system's. */
  readonly files: readonly ConfigFile[]
  /** The files an Include names (a glob; relative ones belong to the folder `from` implies). */
  readonly include: (pattern: string, from: string) => readonly ConfigFile[]
  readonly home: string
  readonly localUser: string
  readonly environment: Readonly<Record<string, string | undefined>>
}

export interface ResolvedHost {
  readonly hostName: string
  readonly port: number | undefined
  readonly user: string | undefined
  readonly identityFiles: readonly string[]
  readonly identitiesOnly: boolean
  /** A socket; `none` = no agent at all; undefined = the usual one. */
  readonly identityAgent: string | undefined
  readonly proxyJump: string | undefined
  readonly proxyCommand: string | undefined
  readonly userKnownHostsFiles: readonly string[] | undefined
  readonly globalKnownHostsFiles: readonly string[] | undefined
  readonly hostKeyAlias: string | undefined
  readonly serverAliveIntervalMs: number | undefined
  readonly connectTimeoutMs: number | undefined
  /** Settings that were set and that we cannot honour, for the person who wonders: `CertificateFile`, `Match exec`. */
  readonly ignored: readonly string[]
}

interface Line {
  readonly keyword: string
  readonly words: readonly string[]
  /** All after the keyword, as written. */
  readonly rest: string
}

/** One line into keyword and words: `Key value`, `Key=value`, quotes around values with spaces, `#` comments. */
export function parseConfigLine(raw: string): Line | undefined {
  const match = /^([A-Za-z][A-Za-z0-9]*)(?:\s*=\s*|\s+)(.*)$/.exec(raw.trim())
  if (match?.[1] === undefined || match[2] === undefined) return undefined
  const words: string[] = []
  for (const part of match[2].matchAll(/"([^"]*)"|(#.*$)|([^\s"]+)/g)) {
    if (part[2] !== undefined) break
    words.push(part[1] ?? part[3] ?? '')
  }
  return words.length === 0 ? undefined : { keyword: match[1].toLowerCase(), words, rest: match[2] }
}

const cannotHonour = new Map([
  ['certificatefile', 'CertificateFile'],
  ['pkcs11provider', 'PKCS11Provider'],
  ['securitykeyprovider', 'SecurityKeyProvider'],
])

/** Everything known of `host` (an alias or a real name). What is `given` on our side comes before any file. */
export function resolveSshConfig(
  host: string,
  context: SshConfigContext,
  given: { readonly user?: string | undefined; readonly port?: number | undefined } = {},
): ResolvedHost {
  const values = new Map<string, readonly string[]>()
  if (given.user !== undefined) values.set('user', [given.user])
  if (given.port !== undefined) values.set('port', [String(given.port)])
  const identityFiles: string[] = []
  const ignored: string[] = []

  const matchApplies = (words: readonly string[]): boolean => {
    let applies = true
    for (let index = 0; index < words.length; index += 1) {
      const raw = words[index]!.toLowerCase()
      const negated = raw.startsWith('!')
      const criterion = negated ? raw.slice(1) : raw
      if (criterion === 'all') {
        applies &&= !negated
        continue
      }
      const subject = {
        host: values.get('hostname')?.[0]?.replaceAll('%h', host) ?? host,
        originalhost: host,
        user: values.get('user')?.[0] ?? context.localUser,
        localuser: context.localUser,
      }[criterion]
      if (subject === undefined) {
        // `exec` runs a program, `final` and `canonical` want a second reading, `localnetwork`, `tagged` …: the whole block is left out
        ignored.push(`Match ${criterion}`)
        return false
      }
      index += 1
      applies &&= matchesPatterns((words[index] ?? '').split(','), subject) !== negated
    }
    return applies
  }

  const read = (source: ConfigFile, enclosing: boolean, depth: number): void => {
    let active = enclosing
    for (const raw of source.text.split('\n')) {
      const line = parseConfigLine(raw)
      if (line === undefined) continue
      const { keyword, words } = line
      if (keyword === 'host') active = enclosing && matchesPatterns(words, host)
      else if (keyword === 'match') active = enclosing && matchApplies(words)
      else if (!active) continue
      else if (keyword === 'include') {
        if (depth < 16) {
          for (const pattern of words)
            for (const file of context.include(pattern, source.file)) read(file, active, depth + 1)
        }
      } else if (keyword === 'identityfile') {
        if (!identityFiles.includes(words[0]!)) identityFiles.push(words[0]!)
      } else if (keyword === 'proxyjump' || keyword === 'proxycommand') {
        // whichever comes first switches the other off
        if (!values.has('proxyjump') && !values.has('proxycommand'))
          values.set(keyword, keyword === 'proxycommand' ? [line.rest] : words)
      } else if (!values.has(keyword)) {
        values.set(keyword, words)
        const unable = cannotHonour.get(keyword)
        if (unable !== undefined && !/^no(ne)?$/i.test(words[0]!)) ignored.push(unable)
      }
    }
  }
  for (const file of context.files) read(file, true, 0)

  const first = (keyword: string): string | undefined => values.get(keyword)?.[0]
  const notNone = (value: string | undefined): string | undefined =>
    value === undefined || value.toLowerCase() === 'none' ? undefined : value
  const hostName = (first('hostname') ?? host).replaceAll('%h', host).replaceAll('%%', '%')
  const portText = first('port')
  const port = portText !== undefined && /^\d{1,5}$/.test(portText) ? Number(portText) : undefined
  const user = first('user')
  const expandTokens = (text: string): string => {
    const tokens: Record<string, string> = {
      '%': '%',
      h: hostName,
      n: host,
      p: String(port ?? 22),
      r: user ?? context.localUser,
      u: context.localUser,
      d: context.home,
      k: first('hostkeyalias') ?? host,
    }
    return text.replace(/%(.)/g, (whole, token: string) => tokens[token] ?? whole)
  }
  const expand = (text: string): string =>
    expandTokens(
      text
        .replace(/^~(?=\/|$)/, context.home)
        .replace(/\$\{([A-Za-z_][A-Za-z0-9_]*)\}/g, (whole, name: string) => context.environment[name] ?? whole),
    )
  const proxyCommand = notNone(first('proxycommand'))
  const agent = first('identityagent')
  const secondsToMs = (text: string | undefined): number | undefined => {
    const match = /^(\d{1,6})([smh]?)$/i.exec(text ?? '')
    if (match === null) return undefined
    return Number(match[1]) * ({ m: 60_000, h: 3_600_000 }[match[2]!.toLowerCase()] ?? 1000)
  }
  return {
    hostName,
    port,
    user,
    identityFiles: identityFiles.filter((file) => file.toLowerCase() !== 'none').map(expand),
    identitiesOnly: /^(yes|true)$/i.test(first('identitiesonly') ?? 'no'),
    identityAgent:
      agent === undefined || agent === 'SSH_AUTH_SOCK'
        ? undefined
        : agent.toLowerCase() === 'none'
          ? 'none'
          : agent.startsWith('$') && !agent.startsWith('${')
            ? context.environment[agent.slice(1)]
            : expand(agent),
    proxyJump: notNone(first('proxyjump')),
    proxyCommand: proxyCommand === undefined ? undefined : expandTokens(proxyCommand),
    userKnownHostsFiles: knownHostsFiles(values.get('userknownhostsfile'), expand),
    globalKnownHostsFiles: knownHostsFiles(values.get('globalknownhostsfile'), expand),
    hostKeyAlias: first('hostkeyalias'),
    serverAliveIntervalMs: secondsToMs(first('serveraliveinterval')),
    connectTimeoutMs: secondsToMs(first('connecttimeout')),
    ignored: [...new Set(ignored)],
  }
}

function knownHostsFiles(words: readonly string[] | undefined, expand: (text: string) => string) {
  if (words === undefined) return undefined
  return words.filter((word) => word.toLowerCase() !== 'none' && word !== '/dev/null').map(expand)
}

export interface JumpSpec {
  readonly host: string
  readonly user: string | undefined
  readonly port: number | undefined
}

/** `[user@]host[:port]`, `ssh://…` and `[v6]:port`, several joined by commas, the nearest first; undefined when a part is none of these. */
export function parseJumps(text: string): readonly JumpSpec[] | undefined {
  const jumps: JumpSpec[] = []
  for (const part of text.split(',')) {
    const match =
      /^(?:ssh:\/\/)?(?:([^@\s]+)@)?(?:\[([0-9A-Fa-f:.%\w]+)\]|([^@:\s/[\]]+|[0-9A-Fa-f]*:[0-9A-Fa-f:.]+))(?::(\d{1,5}))?\/?$/.exec(
        part.trim(),
      )
    const host = match?.[2] ?? match?.[3]
    if (match === null || host === undefined || host.startsWith('-')) return undefined
    jumps.push({ host, user: match[1], port: match[4] === undefined ? undefined : Number(match[4]) })
  }
  return jumps
}

/** For the file system's side of Include: does this file name match the glob's last part? */
export function matchesGlob(pattern: string, name: string): boolean {
  return (pattern.startsWith('.') || !name.startsWith('.')) && matchesPattern(pattern, name)
}
