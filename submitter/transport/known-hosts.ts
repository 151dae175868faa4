/** What ~/.ssh/known_hosts says of a host, and nothing else: pure, and stricter rather than looser wherever a line is in doubt. */
import { createHash, createHmac, timingSafeEqual } from 'node:crypto'

export interface KnownHost {
  readonly revoked: boolean
  /** As written: `a,b,!c`, `[host]:port` or `|1|salt|hash`. */
  readonly names: string
  readonly algorithm: string
  /** The key blob. */
  readonly key: Buffer
  readonly file: string
  readonly line: number
}

/** Whom we look for: the resolved host name and port, or a HostKeyAlias, which is taken as it stands. */
export interface HostName {
  readonly host: string
  readonly port: number
  readonly alias?: string | undefined
}

export type HostKeyVerdict =
  | { readonly is: 'known'; readonly by: KnownHost }
  | { readonly is: 'unknown' }
  /** Keys of other kinds are known: the server offers none of them any more, or somebody else answers. */
  | { readonly is: 'other kind'; readonly known: readonly KnownHost[] }
  | { readonly is: 'changed'; readonly known: readonly KnownHost[] }
  | { readonly is: 'revoked'; readonly by: KnownHost }

/** Host key algorithms, best first. One kind of key may have several (the RSA ones differ in the hash only). */
const algorithmsOfKind: ReadonlyMap<string, readonly string[]> = new Map([
  ['ssh-ed25519', ['ssh-ed25519']],
  ['ecdsa-sha2-nistp256', ['ecdsa-sha2-nistp256']],
  ['ecdsa-sha2-nistp384', ['ecdsa-sha2-nistp384']],
  ['ecdsa-sha2-nistp521', ['ecdsa-sha2-nistp521']],
  ['ssh-rsa', ['rsa-sha2-512', 'rsa-sha2-256', 'ssh-rsa']],
])

/** The kind of key (`ssh-ed25519`, …) inside a key blob; undefined when it is no key blob. */
export function keyKindOf(key: Buffer): string | undefined {
  if (key.length < 8) return undefined
  const length = key.readUInt32BE(0)
  if (length === 0 || length > 64 || 4 + length >= key.length) return undefined
  const kind = key.toString('latin1', 4, 4 + length)
  return /^[\w@.+-]+$/.test(kind) ? kind : undefined
}

/** `SHA256:…`, as OpenSSH prints it. */
export function fingerprintOf(key: Buffer): string {
  return `SHA256:${createHash('sha256').update(key).digest('base64').replace(/=+$/, '')}`
}

/** `ED25519`, `ECDSA`, `RSA`: what people know a kind of key by. */
export function shortKind(kind: string): string {
  if (kind.startsWith('ecdsa-')) return 'ECDSA'
  return kind.replace(/^ssh-/, '').toUpperCase()
}

/** base64 to a key blob of the kind it claims to be; undefined for anything else. */
export function parseKeyBlob(kind: string, base64: string): Buffer | undefined {
  if (!/^[A-Za-z0-9+/]+={0,2}$/.test(base64)) return undefined
  const key = Buffer.from(base64, 'base64')
  return keyKindOf(key) === kind ? key : undefined
}

/** Lines that say nothing we can use (comments, certificate authorities, unknown marks, broken keys) are left out, as OpenSSH does. */
export function parseKnownHosts(text: string, file: string): KnownHost[] {
  const found: KnownHost[] = []
  for (const [index, raw] of text.split('\n').entries()) {
    const words = raw.trim().split(/[ \t]+/)
    if (words[0] === undefined || words[0] === '' || words[0].startsWith('#')) continue
    let revoked = false
    if (words[0].startsWith('@')) {
      // @cert-authority: ssh2 knows no certificates, and an authority's key is not the host's
      if (words[0] !== '@revoked') continue
      revoked = true
      words.shift()
    }
    const [names, algorithm, base64] = words
    if (names === undefined || algorithm === undefined || base64 === undefined) continue
    const key = parseKeyBlob(algorithm, base64)
    if (key !== undefined) found.push({ revoked, names, algorithm, key, file, line: index + 1 })
  }
  return found
}

/** The name a host has in known_hosts: `host`, or `[host]:port` when the port is not 22. */
export function knownHostsName(name: HostName): string {
  if (name.alias !== undefined) return name.alias.toLowerCase()
  const host = name.host.toLowerCase()
  return name.port === 22 ? host : `[${host}]:${name.port}`
}

/** OpenSSH's patterns: `*` and `?`, nothing else is special. Case does not matter. Takes no longer than both lengths multiplied. */
export function matchesPattern(pattern: string, text: string): boolean {
  const wanted = [...pattern.toLowerCase()]
  const given = [...text.toLowerCase()]
  let at = 0
  let star = -1
  let afterStar = 0
  for (let index = 0; index < given.length; ) {
    if (wanted[at] === '*') {
      star = at
      at += 1
      afterStar = index
    } else if (at < wanted.length && (wanted[at] === '?' || wanted[at] === given[index])) {
      at += 1
      index += 1
    } else if (star >= 0) {
      // the last star takes one more
      afterStar += 1
      index = afterStar
      at = star + 1
    } else return false
  }
  while (wanted[at] === '*') at += 1
  return at === wanted.length
}

/** Any pattern of the list matches, and no negated one (`!pattern`) does. */
export function matchesPatterns(patterns: readonly string[], text: string): boolean {
  let matched = false
  for (const pattern of patterns) {
    if (pattern.startsWith('!')) {
      if (matchesPattern(pattern.slice(1), text)) return false
    } else if (pattern !== '' && matchesPattern(pattern, text)) matched = true
  }
  return matched
}

function isNamed(names: string, name: string): boolean {
  if (!names.startsWith('|')) return matchesPatterns(names.split(','), name)
  const [, scheme, salt, hash] = names.split('|')
  if (scheme !== '1' || salt === undefined || hash === undefined) return false
  const expected = Buffer.from(hash, 'base64')
  const actual = createHmac('sha1', Buffer.from(salt, 'base64')).update(name).digest()
  return expected.length === actual.length && timingSafeEqual(expected, actual)
}

function entriesOf(known: readonly KnownHost[], name: HostName): { sure: KnownHost[]; helpful: KnownHost[] } {
  const full = knownHostsName(name)
  const sure = known.filter((entry) => isNamed(entry.names, full))
  // OpenSSH: a key known for the host without its port is good enough to accept, never to call it changed
  const plain = name.alias === undefined && name.port !== 22 ? name.host.toLowerCase() : undefined
  const helpful =
    plain === undefined ? [] : known.filter((entry) => !sure.includes(entry) && isNamed(entry.names, plain))
  return { sure, helpful }
}

/** What the files say of `key` for this host. */
export function judgeHostKey(known: readonly KnownHost[], name: HostName, key: Buffer): HostKeyVerdict {
  const { sure, helpful } = entriesOf(known, name)
  const same = [...sure, ...helpful].filter((entry) => entry.key.equals(key))
  const revoked = same.find((entry) => entry.revoked)
  if (revoked !== undefined) return { is: 'revoked', by: revoked }
  const sameSure = same.find((entry) => sure.includes(entry))
  if (sameSure !== undefined) return { is: 'known', by: sameSure }
  const pinned = sure.filter((entry) => !entry.revoked)
  if (pinned.length === 0) return same[0] === undefined ? { is: 'unknown' } : { is: 'known', by: same[0] }
  const kind = keyKindOf(key)
  const sameKind = pinned.filter((entry) => entry.algorithm === kind)
  return sameKind.length > 0 ? { is: 'changed', known: sameKind } : { is: 'other kind', known: pinned }
}

/**
 * The algorithms to offer, those of known keys first: a server has several keys and shows the first kind we ask for, so asking for
 * ED25519 while only ECDSA is known would look like a changed key (ssh2 has a fixed order of its own).
 */
export function hostKeyAlgorithmsFor(known: readonly KnownHost[], name: HostName): string[] {
  const { sure, helpful } = entriesOf(known, name)
  const usable = (sure.length > 0 ? sure : helpful).filter((entry) => !entry.revoked)
  return algorithmsByKind(new Set(usable.map((entry) => entry.algorithm)))
}

/** All algorithms we can do, those of `first` in front, none of `without`. */
export function algorithmsByKind(first: ReadonlySet<string>, without: ReadonlySet<string> = new Set()): string[] {
  const kinds = [...algorithmsOfKind.keys()].filter((kind) => !without.has(kind))
  const ordered = [...kinds.filter((kind) => first.has(kind)), ...kinds.filter((kind) => !first.has(kind))]
  return ordered.flatMap((kind) => algorithmsOfKind.get(kind) ?? [])
}

/** The line to add to known_hosts. */
export function knownHostsLine(name: HostName, key: Buffer): string {
  return `${knownHostsName(name)} ${keyKindOf(key) ?? 'unknown'} ${key.toString('base64')}`
}

/** A key pinned in the config: `SHA256:…`, or `ssh-ed25519 AAAA…` (a whole known_hosts line does too); undefined for anything else. */
export function parsePinnedKey(text: string): { readonly fingerprint: string; readonly kind?: string } | undefined {
  const trimmed = text.trim()
  if (/^SHA256:[A-Za-z0-9+/]{43}=?$/.test(trimmed)) return { fingerprint: trimmed.replace(/=$/, '') }
  const words = trimmed.split(/\s+/)
  for (const [index, kind] of words.entries()) {
    const base64 = words[index + 1]
    const key = algorithmsOfKind.has(kind) && base64 !== undefined ? parseKeyBlob(kind, base64) : undefined
    if (key !== undefined) return { fingerprint: fingerprintOf(key), kind }
  }
  return undefined
}
