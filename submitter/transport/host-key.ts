/** One host's key, judged: pinned in the config, or known in known_hosts, or the connection ends with a message that says what to do. */
import { readFileSync } from 'node:fs'
import { HpcError, quoted } from '../../contract/errors.ts'
import {
  algorithmsByKind,
  fingerprintOf,
  type HostKeyVerdict,
  type HostName,
  hostKeyAlgorithmsFor,
  judgeHostKey,
  type KnownHost,
  keyKindOf,
  knownHostsName,
  parseKnownHosts,
  parsePinnedKey,
  shortKind,
} from './known-hosts.ts'

export interface HostKeyRules {
  readonly name: HostName
  /** The files asked, the one to add to first. */
  readonly files: readonly string[]
  /** From the config: `SHA256:…` or a key. Then only this key will do. */
  readonly pinned?: string | undefined
  /** For messages: the site to name in `hpc-submitter trust`. */
  readonly site: string
}

export interface SeenHostKey {
  readonly key: Buffer
  readonly verdict: HostKeyVerdict
}

export interface HostKeyGuard {
  /** What to offer in the next handshake, best first. */
  algorithms(): string[]
  /** ssh2's hostVerifier. Also asked again at every renewal of the session's keys. */
  accepts(key: Buffer): boolean
  /** Why the last key was not accepted. */
  readonly refusal: HpcError | undefined
  /** The last key seen, and what was made of it. */
  readonly seen: SeenHostKey | undefined
  /** A fingerprint does not say which kind of key it is of: true when another handshake with the kinds not yet seen may find it. */
  readonly mayHaveAnother: boolean
}

export function readKnownHosts(files: readonly string[]): KnownHost[] {
  return files.flatMap((file) => {
    try {
      return parseKnownHosts(readFileSync(file, 'utf8'), file)
    } catch (error) {
      if (['ENOENT', 'ENOTDIR'].includes((error as NodeJS.ErrnoException).code ?? '')) return []
      throw new HpcError('denied', `Cannot read the known host keys in ${quoted(file)}: ${(error as Error).message}`, {
        cause: error,
        concerns: { path: file },
      })
    }
  })
}

export function hostKeyGuard(rules: HostKeyRules): HostKeyGuard {
  const known = readKnownHosts(rules.files)
  const pinned = rules.pinned === undefined ? undefined : parsePinnedKey(rules.pinned)
  if (rules.pinned !== undefined && pinned === undefined) {
    throw new HpcError(
      'config',
      `Cannot use host_key ${quoted(rules.pinned)}: it is no "SHA256:…" fingerprint and no public key`,
    )
  }
  const kindsSeen = new Set<string>()
  const keysSeen: string[] = []
  let refusal: HpcError | undefined
  let seen: SeenHostKey | undefined

  const judge = (key: Buffer): HostKeyVerdict => {
    const verdict = judgeHostKey(known, rules.name, key)
    if (pinned === undefined || verdict.is === 'revoked') return verdict
    const by = { revoked: false, names: '', algorithm: keyKindOf(key) ?? '', key, file: 'host_key', line: 0 }
    return fingerprintOf(key) === pinned.fingerprint ? { is: 'known', by } : { is: 'changed', known: [] }
  }

  return {
    algorithms() {
      if (pinned === undefined) return hostKeyAlgorithmsFor(known, rules.name)
      const likely = known.filter((entry) => fingerprintOf(entry.key) === pinned.fingerprint)
      const first = pinned.kind === undefined ? likely.map((entry) => entry.algorithm) : [pinned.kind]
      return algorithmsByKind(new Set(first), kindsSeen)
    },
    accepts(key) {
      const verdict = judge(key)
      seen = { key, verdict }
      refusal = undefined
      if (verdict.is === 'known') return true
      const kind = keyKindOf(key) ?? 'unknown'
      kindsSeen.add(kind)
      keysSeen.push(`${shortKind(kind)} ${fingerprintOf(key)}`)
      refusal = refuse(rules, verdict, keysSeen, pinned?.fingerprint)
      return false
    },
    get refusal() {
      return refusal
    },
    get seen() {
      return seen
    },
    get mayHaveAnother() {
      return (
        pinned !== undefined &&
        pinned.kind === undefined &&
        seen?.verdict.is === 'changed' &&
        algorithmsByKind(new Set(), kindsSeen).length > 0
      )
    },
  }
}

function refuse(
  rules: HostKeyRules,
  verdict: HostKeyVerdict,
  keysSeen: readonly string[],
  pinned: string | undefined,
): HpcError {
  const host = knownHostsName(rules.name)
  const shown = keysSeen.at(-1) ?? ''
  const file = rules.files[0] ?? 'known_hosts'
  const trust = `run: hpc-submitter trust ${rules.site}`
  const denied = (message: string, hint: string): HpcError =>
    new HpcError('denied', message, { hint, concerns: { site: rules.site, path: file } })
  if (verdict.is === 'revoked') {
    return denied(
      `Cannot trust ${quoted(host)}: its host key ${shown} is marked @revoked in ${at(verdict.by)}`,
      'whoever holds that key is not the host you know; ask the people who run it',
    )
  }
  if (pinned !== undefined) {
    return denied(
      `Cannot trust ${quoted(host)}: THE HOST KEY IS NOT THE PINNED ONE: host_key in the config is ${pinned}, the server shows ${keysSeen.join(', ')}`,
      'somebody may be listening in, or the host was reinstalled: ask the people who run it, and change host_key only when they confirm the new key',
    )
  }
  if (verdict.is === 'changed') {
    const old = verdict.known.map((entry) => `${fingerprintOf(entry.key)} in ${at(entry)}`).join(', ')
    return denied(
      `Cannot trust ${quoted(host)}: THE HOST KEY HAS CHANGED: known is ${old}, the server shows ${shown}`,
      `somebody may be listening in, or the host was reinstalled: ask the people who run it; only when they confirm the new key, remove that line and ${trust}`,
    )
  }
  if (verdict.is === 'other kind') {
    const kinds = verdict.known.map((entry) => `${shortKind(entry.algorithm)} in ${at(entry)}`).join(', ')
    return denied(
      `Cannot trust ${quoted(host)}: its host key ${shown} is not in ${quoted(file)}; a key of another kind is known (${kinds}), which the server does not offer`,
      `compare the fingerprint with what the people who run the host publish, then ${trust}`,
    )
  }
  return denied(
    `Cannot trust ${quoted(host)}: its host key ${shown} is not in ${quoted(file)}`,
    `compare the fingerprint with what the people who run the host publish, then ${trust}`,
  )
}

function at(entry: KnownHost): string {
  return `${quoted(entry.file)} line ${entry.line}`
}
