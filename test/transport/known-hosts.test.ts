import assert from 'node:assert/strict'
import { createHmac } from 'node:crypto'
import { test } from 'node:test'
import {
  fingerprintOf,
  hostKeyAlgorithmsFor,
  judgeHostKey,
  keyKindOf,
  knownHostsLine,
  matchesPatterns,
  parseKnownHosts,
  parsePinnedKey,
} from '../../submitter/transport/known-hosts.ts'

function blob(kind: string, body: string): Buffer {
  const length = Buffer.alloc(4)
  length.writeUInt32BE(kind.length)
  return Buffer.concat([length, Buffer.from(kind), Buffer.from(body)])
}
const ed1 = blob('ssh-ed25519', 'one')
const ed2 = blob('ssh-ed25519', 'two')
const ec1 = blob('ecdsa-sha2-nistp256', 'one')
const rsa1 = blob('ssh-rsa', 'one')
const line = (names: string, key: Buffer): string => `${names} ${keyKindOf(key)} ${key.toString('base64')}`
const known = (...lines: string[]) => parseKnownHosts(lines.join('\n'), 'kh')
const hashed = (name: string): string => {
  const salt = Buffer.from('0123456789abcdefghij')
  return `|1|${salt.toString('base64')}|${createHmac('sha1', salt).update(name).digest('base64')}`
}
const host = (name: string, port = 22, alias?: string) => ({ host: name, port, alias })

test('HB-15: judgeHostKey() knows a host by name, by list, by hash, by [host]:port and by pattern', () => {
  const table: [string, ReturnType<typeof host>, string][] = [
    ['a.edu', host('a.edu'), 'known'],
    ['a.edu', host('A.EDU'), 'known'],
    ['A.edu,10.0.0.1', host('a.edu'), 'known'],
    ['a.edu,10.0.0.1', host('10.0.0.1'), 'known'],
    ['a.edu', host('b.edu'), 'unknown'],
    ['a.edu', host('xa.edu'), 'unknown'],
    ['a-edu', host('a.edu'), 'unknown'],
    [hashed('a.edu'), host('a.edu'), 'known'],
    [hashed('a.edu'), host('b.edu'), 'unknown'],
    [hashed('[a.edu]:2222'), host('a.edu', 2222), 'known'],
    [hashed('[a.edu]:2222'), host('a.edu'), 'unknown'],
    ['[a.edu]:2222', host('a.edu', 2222), 'known'],
    ['[a.edu]:2222', host('a.edu', 2223), 'unknown'],
    ['[a.edu]:2222', host('a.edu'), 'unknown'],
    ['[::1]:2222', host('::1', 2222), 'known'],
    ['*.edu', host('a.edu'), 'known'],
    ['*.edu,!a.edu', host('a.edu'), 'unknown'],
    ['!a.edu,*.edu', host('b.edu'), 'known'],
    ['?.edu', host('a.edu'), 'known'],
    ['?.edu', host('ab.edu'), 'unknown'],
    ['[*.edu]:2222', host('a.edu', 2222), 'known'],
    ['cluster', host('a.edu', 2222, 'Cluster'), 'known'],
    ['[a.edu]:2222', host('a.edu', 2222, 'cluster'), 'unknown'],
    // as OpenSSH: the key known without a port is good for any port
    ['a.edu', host('a.edu', 2222), 'known'],
  ]
  for (const [names, name, expected] of table) {
    assert.equal(
      judgeHostKey(known(line(names, ed1)), name, ed1).is,
      expected,
      `${names} for ${name.host}:${name.port}`,
    )
  }
})

test('P-GW-01: judgeHostKey() says changed only for a key of the same kind', () => {
  const entries = known(line('a.edu', ec1), line('a.edu', rsa1))
  assert.equal(judgeHostKey(entries, host('a.edu'), ed1).is, 'other kind')
  assert.equal(judgeHostKey(known(line('a.edu', ed2)), host('a.edu'), ed1).is, 'changed')
  assert.equal(judgeHostKey(known(line('a.edu', ed2), line('a.edu', ed1)), host('a.edu'), ed1).is, 'known')
  // the key known without a port says nothing of another one on port 2222
  assert.equal(judgeHostKey(known(line('a.edu', ed2)), host('a.edu', 2222), ed1).is, 'unknown')
})

test('HB-15: judgeHostKey() refuses a revoked key even where it is listed as known, and an authority is no host key', () => {
  const entries = known(line('a.edu', ed1), line('@revoked *', ed1))
  const verdict = judgeHostKey(entries, host('a.edu'), ed1)
  assert.equal(verdict.is === 'revoked' && verdict.by.line, 2)
  assert.equal(judgeHostKey(entries, host('a.edu'), ed2).is, 'changed')
  assert.equal(judgeHostKey(known(line('@revoked a.edu', ed1)), host('a.edu', 2222), ed1).is, 'revoked')
  assert.equal(judgeHostKey(known(line('@revoked a.edu', ed1)), host('a.edu'), ed2).is, 'unknown')
  assert.equal(judgeHostKey(known(line('@cert-authority *', ed1)), host('a.edu'), ed1).is, 'unknown')
})

test('parseKnownHosts() passes over what it cannot use', () => {
  const text = [
    '# a comment',
    '',
    '   ',
    'a.edu',
    'a.edu ssh-ed25519',
    'a.edu ssh-ed25519 !!!!',
    `a.edu ssh-rsa ${ed1.toString('base64')}`,
    `@unheard-of ${line('a.edu', ed1)}`,
    `|2|x|y ssh-ed25519 ${ed1.toString('base64')}`,
    '|1|only ssh-ed25519 AAAA',
    `  a.edu\tssh-ed25519  ${ed1.toString('base64')} comment with words\r`,
  ].join('\n')
  const entries = parseKnownHosts(text, 'kh')
  assert.deepEqual(
    entries.map((entry) => entry.line),
    [9, 11],
  )
  assert.equal(judgeHostKey(entries, host('a.edu'), ed1).is, 'known')
  assert.equal(parseKnownHosts('', 'kh').length, 0)
})

test('P-GW-01: hostKeyAlgorithmsFor() asks first for the kinds that are known', () => {
  const all = hostKeyAlgorithmsFor([], host('a.edu'))
  assert.equal(all[0], 'ssh-ed25519')
  assert.equal(hostKeyAlgorithmsFor(known(line('a.edu', ec1)), host('a.edu'))[0], 'ecdsa-sha2-nistp256')
  assert.deepEqual(hostKeyAlgorithmsFor(known(line('a.edu', rsa1)), host('a.edu')).slice(0, 2), [
    'rsa-sha2-512',
    'rsa-sha2-256',
  ])
  assert.equal(hostKeyAlgorithmsFor(known(line('@revoked a.edu', rsa1)), host('a.edu'))[0], 'ssh-ed25519')
  assert.equal(hostKeyAlgorithmsFor(known(line('b.edu', rsa1)), host('a.edu'))[0], 'ssh-ed25519')
  assert.equal(hostKeyAlgorithmsFor(known(line('a.edu', rsa1)), host('a.edu', 2222))[0], 'rsa-sha2-512')
  assert.deepEqual(hostKeyAlgorithmsFor(known(line('a.edu', rsa1)), host('a.edu')).toSorted(), all.toSorted())
})

test('knownHostsLine() writes what judgeHostKey() finds again', () => {
  for (const name of [host('a.edu'), host('A.edu', 2222), host('::1', 22), host('a.edu', 2222, 'cluster')]) {
    assert.equal(judgeHostKey(known(knownHostsLine(name, ed1)), name, ed1).is, 'known')
  }
})

test('parsePinnedKey() takes a fingerprint, a public key or a whole known_hosts line, nothing else', () => {
  const fingerprint = fingerprintOf(ed1)
  assert.deepEqual(parsePinnedKey(` ${fingerprint} `), { fingerprint })
  assert.deepEqual(parsePinnedKey(`ssh-ed25519 ${ed1.toString('base64')} a comment`), {
    fingerprint,
    kind: 'ssh-ed25519',
  })
  assert.deepEqual(parsePinnedKey(line('[a.edu]:2222', ed1)), { fingerprint, kind: 'ssh-ed25519' })
  for (const text of [
    '',
    'SHA256:',
    'MD5:aa:bb',
    'sha256:x',
    'ssh-ed25519',
    `ssh-rsa ${ed1.toString('base64')}`,
    'yes',
  ]) {
    assert.equal(parsePinnedKey(text), undefined, text)
  }
})

test('keyKindOf() survives any bytes', () => {
  for (const bytes of [[], [0, 0, 0, 1], [255, 255, 255, 255, 1, 2, 3, 4, 5], [0, 0, 0, 3, 1, 2, 3, 4, 5]]) {
    assert.equal(keyKindOf(Buffer.from(bytes)), undefined)
  }
})

test('matchesPatterns() knows * and ?, and takes no time that doubles with each star', () => {
  for (const [pattern, text, matches] of [
    ['*', '', true],
    ['?', '', false],
    ['a*', 'a', true],
    ['*a*b*', 'xaxxbx', true],
    ['*ab', 'aab', true],
    ['*.edu', 'a.edu.com', false],
    ['a?c*', 'abcd', true],
    ['**', 'x', true],
    ['HPC.*', 'hpc.edu', true],
  ] as const)
    assert.equal(matchesPatterns([pattern], text), matches, `${pattern} ${text}`)
  // with backtracking this would outlive us all
  assert.equal(matchesPatterns([`${'*a'.repeat(500)}b`], 'a'.repeat(2_000)), false)
})

test('matchesPatterns() with regular expression characters in it stays literal', () => {
  assert.equal(matchesPatterns(['a.e+(du)'], 'a.e+(du)'), true)
  assert.equal(matchesPatterns(['a.edu'], 'axedu'), false)
  assert.equal(matchesPatterns([], 'a'), false)
  assert.equal(matchesPatterns(['!b'], 'a'), false)
})
