/** What operators write: our YAML, hpc_batch's ini, and OpenSSH's own files. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseConfig } from '../../../submitter/config.ts'
import {
  hostKeyAlgorithmsFor,
  judgeHostKey,
  keyKindOf,
  knownHostsLine,
  parseKnownHosts,
  parsePinnedKey,
} from '../../../submitter/transport/known-hosts.ts'
import { parseJumps, resolveSshConfig } from '../../../submitter/transport/ssh-config.ts'
import { inis, yamls } from '../../hostile/configs.ts'
import { root } from '../../support/world.ts'
import { refusalOf, type Target } from '../target.ts'

const fixture = (name: string) => readFileSync(join(root, 'test', 'fixtures', 'config', name), 'utf8')
const small = (table: typeof yamls) =>
  Object.values(table)
    .map(([text]) => text)
    .filter((text) => text.length < 2_000)
const base = { mode: 0o600, dir: '/etc/hpc', home: '/home/u' }

function parsed(text: string, kind: 'yaml' | 'ini'): string {
  return refusalOf(() => {
    const { config, warnings } = parseConfig(text, { file: `c.${kind}`, kind, ...base })
    assert.ok(Object.isFrozen(config) && Object.keys(config.sites).length > 0)
    for (const site of Object.values(config.sites)) {
      assert.match(site.name, /^[A-Za-z0-9][A-Za-z0-9_-]*$/)
      assert.ok(site.hpcEnv.workspace.startsWith('/') && site.hpcEnv.workspace !== '/', site.hpcEnv.workspace)
    }
    for (const warning of warnings) assert.ok(!/[\u0000-\u0008\u000b-\u001f]/.test(warning))
  })
}

export const configYaml: Target = {
  name: 'config-yaml',
  seeds: [fixture('everything.yml'), fixture('broken.yml'), ...small(yamls)],
  words: [
    ...'dropbox templates state paths inputs outputs owners limits jobs trusted exec_target sites transport type ssh local'.split(
      ' ',
    ),
    ...'host port user key_file passphrase passphrase_file known_hosts host_key scheduler slurm queues options hpc_env'.split(
      ' ',
    ),
    ...'workspace scripts containers tags lanes queue gres memory time margin slots auto linger preflight node max_runners'.split(
      ' ',
    ),
    ...[
      '8h',
      '32G',
      'gpu:v100:1',
      '0644',
      '/w',
      '~/w',
      '../',
      '__proto__',
      '&a ',
      '*a',
      '!x ',
      '---',
      '{',
      '}',
      '[',
      ']',
      ': ',
      '\n  ',
      '- ',
    ],
  ],
  run: (bytes) => parsed(bytes.toString('utf8'), 'yaml'),
}

export const configIni: Target = {
  name: 'config-ini',
  seeds: [fixture('hpc_submitter.ini'), ...small(inis)],
  words: [
    ...[
      '[remote]',
      '[hpc]',
      '[cronjob]',
      '[hpc_env]',
      '[DEFAULT]',
      'workspace',
      'dropbox',
      'host',
      'port',
      'user',
      'key_file',
      'passphrase',
    ],
    ...[
      'partition',
      'gres',
      'memory',
      'lockfile',
      ' = ',
      ': ',
      '%(workspace)s',
      '%%',
      '%(',
      '\n  ',
      ';',
      '#',
      '__proto__',
      '\n',
    ],
  ],
  run: (bytes) => parsed(bytes.toString('utf8'), 'ini'),
}

const key = 'AAAAC3NzaC1lZDI1NTE5AAAAIIBEc2VydmVyIGtleSBvZiBub2JvZHkgaW4gcGFydGljdWxhcg'
/** Long and of one letter: what a pattern with many stars is slow with. */
const host = `hpc-${'a'.repeat(60)}`
const name = { host: 'hpc.example.edu', port: 2222 }
const long = { host, port: 22 }

export const sshConfig: Target = {
  name: 'ssh-config',
  seeds: [
    'Host hpc *.edu !bad\n  HostName %h.example.edu\n  User amp\n  Port 2222\n  IdentityFile "~/a b"\n  ProxyJump u@[::1]:22,j\n',
    'Match host hpc user amp exec "true"\nInclude conf.d/*\nMatch all\nUserKnownHostsFile a b none\nServerAliveInterval 10m\n',
    'IdentityAgent ${SSH}\nProxyCommand ssh -W %h:%p j\nHostKeyAlias=x\nConnectTimeout 5\nCertificateFile c\n',
  ],
  words: [
    ...'Host HostName User Port IdentityFile IdentitiesOnly IdentityAgent ProxyJump ProxyCommand Include Match all host exec none'.split(
      ' ',
    ),
    ...[
      '%h',
      '%%',
      '%d',
      '${HOME}',
      '~/',
      '*',
      '?',
      '!',
      '"',
      '=',
      '#',
      '\n',
      ' ',
      '*a*a*a*a*a*a*a*a*b',
      'ssh://',
      '[',
      ']:',
    ],
  ],
  run: (bytes) => {
    const text = bytes.toString('utf8')
    const found = resolveSshConfig(host, {
      files: [{ file: 'config', text }],
      include: (pattern, from) => (pattern.length > 3 && from === 'config' ? [{ file: 'other', text }] : []),
      home: '/home/u',
      localUser: 'u',
      environment: { HOME: '/home/u' },
    })
    assert.ok(found.port === undefined || (Number.isInteger(found.port) && found.port <= 99_999))
    for (const { host } of parseJumps(found.proxyJump ?? 'x') ?? []) assert.ok(!host.startsWith('-') && host !== '')
    return ''
  },
}

export const knownHosts: Target = {
  name: 'known-hosts',
  seeds: [
    `hpc.example.edu,192.0.2.1 ssh-ed25519 ${key}\n@revoked * ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAAgQ==\n`,
    `|1|AAECAwQFBgcICQoLDA0ODxAREhM=|AAECAwQFBgcICQoLDA0ODxAREhM= ssh-ed25519 ${key}\n# c\n@cert-authority *.edu ssh-ed25519 ${key}\n`,
    `[hpc.example.edu]:2222,!bad,*.edu ssh-ed25519 ${key} comment\n`,
  ],
  words: [
    'hpc.example.edu',
    '[hpc.example.edu]:2222',
    '*',
    '?',
    '!',
    ',',
    '|1|',
    '@revoked ',
    'ssh-ed25519 ',
    key,
    'SHA256:',
    '\n',
    '*a*a*a*a*a*a*a*a*b',
  ],
  run: (bytes) => {
    const text = bytes.toString('utf8')
    const found = parseKnownHosts(text, 'known_hosts')
    const asked = Buffer.from(key, 'base64')
    const verdict = judgeHostKey(found, name, asked)
    // nobody is let in whose very key does not stand there
    if (verdict.is === 'known') assert.ok(verdict.by.key.equals(asked) && !verdict.by.revoked)
    assert.ok(hostKeyAlgorithmsFor(found, name).length > 0 && hostKeyAlgorithmsFor(found, long).length > 0)
    for (const one of found) {
      assert.equal(keyKindOf(one.key), one.algorithm)
      const [again] = parseKnownHosts(knownHostsLine(name, one.key), 'f')
      assert.ok(again?.key.equals(one.key) === true, 'a line of ours is not read back')
    }
    const pinned = parsePinnedKey(text)
    assert.ok(pinned === undefined || pinned.fingerprint.startsWith('SHA256:'))
    return verdict.is
  },
}
