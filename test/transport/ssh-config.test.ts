import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { HpcError } from '../../contract/errors.ts'
import {
  parseConfigLine,
  parseJumps,
  type ResolvedHost,
  resolveSshConfig,
} from '../../submitter/transport/ssh-config.ts'
import { resolveRoute, type SshSettings } from '../../submitter/transport/ssh-route.ts'

function resolve(text: string, host: string, included: Record<string, string> = {}): ResolvedHost {
  return resolveSshConfig(host, {
    files: [{ file: 'config', text }],
    include: (pattern) => (included[pattern] === undefined ? [] : [{ file: pattern, text: included[pattern] }]),
    home: '/home/amp',
    localUser: 'amp',
    environment: { KEYS: '/keys', MY_AGENT: '/run/agent' },
  })
}

test('parseConfigLine() reads key and words as OpenSSH does', () => {
  const words = (line: string) => parseConfigLine(line)?.words
  assert.deepEqual(words('  HostName a.edu  '), ['a.edu'])
  assert.deepEqual(words('HostName=a.edu'), ['a.edu'])
  assert.deepEqual(words('HostName = a.edu\r'), ['a.edu'])
  assert.deepEqual(words('IdentityFile "/a b/key"'), ['/a b/key'])
  assert.deepEqual(words('Host a b # c'), ['a', 'b'])
  assert.equal(words('# Host a'), undefined)
  assert.equal(words(''), undefined)
  assert.equal(words('Host'), undefined)
  assert.equal(parseConfigLine('HOSTNAME a')?.keyword, 'hostname')
})

test('resolveSshConfig() takes the first value of each, adds up IdentityFile, and expands it', () => {
  const found = resolve(
    `
Host carbonate
  HostName %h.uits.iu.edu
  Port 2222
  User amp1
  IdentityFile ~/.ssh/id_%r
  UserKnownHostsFile ~/.ssh/kh /etc/kh
Host *
  User nobody
  Port 22
  IdentityFile \${KEYS}/%h
  IdentityAgent $MY_AGENT
  ServerAliveInterval 30
  HostKeyAlias cluster
  ConnectTimeout 2m
  IdentitiesOnly yes
`,
    'carbonate',
  )
  assert.equal(found.hostName, 'carbonate.uits.iu.edu')
  assert.equal(found.port, 2222)
  assert.equal(found.user, 'amp1')
  assert.deepEqual(found.identityFiles, ['/home/amp/.ssh/id_amp1', '/keys/carbonate.uits.iu.edu'])
  assert.deepEqual(found.userKnownHostsFiles, ['/home/amp/.ssh/kh', '/etc/kh'])
  assert.equal(found.identityAgent, '/run/agent')
  assert.equal(found.serverAliveIntervalMs, 30_000)
  assert.equal(found.connectTimeoutMs, 120_000)
  assert.equal(found.hostKeyAlias, 'cluster')
  assert.equal(found.identitiesOnly, true)
})

test('resolveSshConfig() matches Host patterns, negated ones too', () => {
  const text = 'Host *.edu !bad.edu\n User good\nHost login?\n User nodes'
  assert.equal(resolve(text, 'a.edu').user, 'good')
  assert.equal(resolve(text, 'bad.edu').user, undefined)
  assert.equal(resolve(text, 'login1').user, 'nodes')
  assert.equal(resolve(text, 'login12').user, undefined)
  assert.equal(resolve('User everywhere', 'x').user, 'everywhere')
  assert.equal(resolve('', 'x').hostName, 'x')
})

test('resolveSshConfig() reads Include where it stands, under the condition it stands in', () => {
  const included = {
    'a.conf': 'User a\nHost other\n User o',
    'b.conf': 'Include a.conf',
    'loop.conf': 'Include loop.conf\nPort 7',
  }
  assert.equal(resolve('Include a.conf', 'x', included).user, 'a')
  assert.equal(resolve('Include b.conf', 'x', included).user, 'a')
  assert.equal(resolve('Host y\n Include a.conf\n', 'x', included).user, undefined)
  assert.equal(resolve('Host x\n Include a.conf\n Port 2', 'x', included).port, 2)
  assert.equal(resolve('Host other\n User mine\nHost x\n Include a.conf', 'other', included).user, 'mine')
  assert.equal(resolve('Include missing.conf\nPort 3', 'x', included).port, 3)
  assert.equal(resolve('Include loop.conf', 'x', included).port, 7)
})

test('resolveSshConfig() leaves out a Match block it cannot judge, and never runs anything', () => {
  const after = '\nHost *\n Port 5'
  for (const criterion of ['exec "touch /tmp/pwned"', 'final', 'canonical', 'tagged x', 'host x exec "true"']) {
    const found = resolve(`Match ${criterion}\n User m\n ProxyJump evil${after}`, 'x')
    assert.equal(found.user, undefined, criterion)
    assert.equal(found.proxyJump, undefined, criterion)
    assert.equal(found.port, 5)
    assert.match(found.ignored.join(), /^Match /)
  }
  assert.equal(resolve('Match all\n User m', 'x').user, 'm')
  assert.equal(resolve('Match host x,y\n User m', 'x').user, 'm')
  assert.equal(resolve('Match host z\n User m', 'x').user, undefined)
  assert.equal(resolve('Match !host z\n User m', 'x').user, 'm')
  assert.equal(resolve('Host x\n HostName r.edu\nMatch host r.edu\n User m', 'x').user, 'm')
  assert.equal(resolve('Host x\n HostName r.edu\nMatch originalhost x user amp\n Port 8', 'x').port, 8)
})

test('resolveSshConfig() lets the first of ProxyJump and ProxyCommand win; none means none', () => {
  assert.equal(resolve('ProxyJump a\nProxyCommand nc %h %p', 'x').proxyCommand, undefined)
  assert.equal(resolve('ProxyCommand ssh -W "%h:%p" b\nProxyJump a', 'x').proxyCommand, 'ssh -W "x:22" b')
  assert.equal(resolve('ProxyCommand ssh -W "%h:%p" b\nProxyJump a', 'x').proxyJump, undefined)
  assert.equal(resolve('ProxyJump none\nHost *\n ProxyJump a', 'x').proxyJump, undefined)
  assert.equal(resolve('CertificateFile c', 'x').ignored[0], 'CertificateFile')
})

test('parseJumps() reads chains, users, ports and addresses', () => {
  assert.deepEqual(parseJumps('a'), [{ host: 'a', user: undefined, port: undefined }])
  assert.deepEqual(parseJumps('u@a:2222,b'), [
    { host: 'a', user: 'u', port: 2222 },
    { host: 'b', user: undefined, port: undefined },
  ])
  assert.deepEqual(parseJumps('ssh://u@a:22/')?.[0], { host: 'a', user: 'u', port: 22 })
  assert.deepEqual(parseJumps('[::1]:22')?.[0], { host: '::1', user: undefined, port: 22 })
  assert.deepEqual(parseJumps('fe80::1')?.[0]?.host, 'fe80::1')
  for (const text of ['', 'a,', '-oProxyCommand=x', 'a b', 'a:port', 'a/b'])
    assert.equal(parseJumps(text), undefined, text)
})

function route(config: string, settings: Omit<SshSettings, 'ssh_config'>, environment: Record<string, string> = {}) {
  const folder = mkdtempSync(join(tmpdir(), 'hpc-route-'))
  try {
    mkdirSync(join(folder, '.ssh/conf.d'), { recursive: true })
    writeFileSync(join(folder, '.ssh/config'), config)
    writeFileSync(join(folder, '.ssh/conf.d/10-x.conf'), 'Host included\n HostName inc.edu\n')
    return resolveRoute(settings, { HOME: folder, USER: 'amp', ...environment }, 'site')
  } finally {
    rmSync(folder, { recursive: true })
  }
}
const names = (config: string, settings: Omit<SshSettings, 'ssh_config'>) =>
  route(config, settings).hops.map((hop) => `${hop.user}@${hop.host}:${hop.port}`)

test('resolveRoute() builds the chain of jump hosts, the nearest first', () => {
  const config = `
Include conf.d/*.conf
Host bastion
  HostName bastion.edu
  User jump
  Port 2200
  ProxyJump gate.edu
Host hpc
  HostName hpc.edu
  ProxyJump bastion
Host *.edu
  User all
`
  assert.deepEqual(names(config, { host: 'included' }), ['amp@inc.edu:22'])
  assert.deepEqual(names(config, { host: 'hpc' }), ['all@gate.edu:22', 'jump@bastion.edu:2200', 'amp@hpc.edu:22'])
  assert.deepEqual(names(config, { host: 'hpc', user: 'u', port: 9, proxy_jump: 'none' }), ['u@hpc.edu:9'])
  assert.deepEqual(names(config, { host: 'x', proxy_jump: 'me@j1:1,bastion' }), [
    'me@j1:1',
    'jump@bastion.edu:2200',
    'amp@x:22',
  ])
  assert.deepEqual(names('Host *\n ProxyJump gate', { host: 'x' }), ['amp@gate:22', 'amp@x:22'])
  assert.throws(
    () => names('Host a\n ProxyJump b\nHost b\n ProxyJump a', { host: 'a' }),
    (error) => error instanceof HpcError && error.code === 'config' && /circle/.test(error.message),
  )
  assert.throws(() => names('', { host: 'a', proxy_jump: 'a b' }), { code: 'config' })
})

test('resolveRoute() asks the right files, keys and agent', () => {
  const plain = route('', { host: 'x' }, { SSH_AUTH_SOCK: '/sock' }).hops[0]!
  assert.equal(plain.agent, '/sock')
  assert.equal(plain.keyFiles[0]?.named, false)
  assert.ok(plain.hostKey.files[0]?.endsWith('/.ssh/known_hosts'))
  const named = route('IdentityFile ~/.ssh/other', { host: 'x', key_file: '~/k', known_hosts: '/kh', agent: false })
    .hops[0]!
  assert.equal(named.agent, undefined)
  assert.match(named.keyFiles[0]?.file ?? '', /\/k$/)
  assert.equal(named.keyFiles.length, 1)
  assert.deepEqual(named.hostKey.files, ['/kh'])
  assert.equal(route('IdentityAgent none', { host: 'x' }, { SSH_AUTH_SOCK: '/sock' }).hops[0]?.agent, undefined)
  assert.equal(route('', { host: 'x', agent: '/own' }, { SSH_AUTH_SOCK: '/sock' }).hops[0]?.agent, '/own')
  // the pinned key is the target's, never a jump host's
  const jump = route('', { host: 'x', proxy_jump: 'j', host_key: 'SHA256:x' })
  assert.deepEqual(
    jump.hops.map((hop) => hop.hostKey.pinned),
    [undefined, 'SHA256:x'],
  )
})

test('resolveRoute() tells a missing passphrase source apart, without the secret', () => {
  assert.deepEqual(route('', { host: 'x', passphrase_env: 'P' }, { P: 's3cret' }).passphrase?.text, 's3cret')
  assert.throws(() => route('', { host: 'x', passphrase_env: 'P' }), { code: 'config', message: /"P" is not set/ })
  assert.throws(() => route('', { host: 'x', passphrase_file: '/nowhere' }), { code: 'config' })
})
