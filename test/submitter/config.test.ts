import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { HpcError } from '../../contract/errors.ts'
import { type Config, parseConfig, type Site } from '../../submitter/config.ts'
import { configSchemaDocs } from '../../submitter/config-docs.ts'
import { laneShape, siteNamed } from '../../submitter/config-file.ts'

const fixtures = join(import.meta.dirname, '../fixtures/config')
const where = { file: '/etc/gw/hpc.yml', mode: 0o100600, dir: '/etc/gw', home: '/home/amp' }
const parse = (text: string, more: { mode?: number; file?: string } = {}) => parseConfig(text, { ...where, ...more })

/** The smallest config, with one site changed. */
const siteYaml = (site: string) => `dropbox: d\nsites:\n  s: ${site}\n`
const local = 'transport: {type: local}, scheduler: {type: local}, hpc_env: {workspace: w}'
const ssh = (transport = '', rest = '') =>
  siteYaml(
    `{transport: {type: ssh, host: h, user: u, key_file: k, ${transport}}, scheduler: {type: slurm}, hpc_env: {workspace: /w}, ${rest}}`,
  )

function site(config: Config, name = 's'): Site {
  const found = siteNamed(config, name)
  assert.ok(found)
  return found
}

/** The problems of a refused config, without the head line and the file. */
function problems(text: string, more: { mode?: number; file?: string } = {}): string[] {
  try {
    parse(text, more)
  } catch (error) {
    assert.ok(error instanceof HpcError, String(error))
    assert.equal(error.code, 'config')
    assert.equal(error.exitCode, 78)
    const [head, ...lines] = error.message.split('\n')
    assert.match(head ?? '', /^Cannot use the configuration "[^"]+": \d+ problems?$/)
    return lines.map((line) => line.replace(more.file ?? where.file, ''))
  }
  assert.fail('the config was accepted')
}

test('HB-16: parseConfig() reads every key there is', () => {
  const { config, warnings } = parse(readFileSync(join(fixtures, 'everything.yml'), 'utf8'))
  assert.deepEqual(warnings, [])
  assert.deepEqual(config, {
    dropbox: '/srv/hpc/dropbox',
    templates: ['/srv/hpc/templates'],
    state: '/var/lib/hpc-submitter',
    paths: { inputs: ['/srv/media'], outputs: ['/srv/media', '/home/amp/out'] },
    owners: { limits: { jobs: 5000 }, trusted: ['galaxy'] },
    execTarget: { Lsf: 'carbonate', Sge: 'here' },
    settleMs: 3000,
    expiryMs: 36 * 3_600_000,
    keepFailedMs: 14 * 86_400_000,
    maxAttempts: 4,
    maxInterruptions: 11,
    streamCapBytes: 2 * 1024 ** 2,
    fileMode: 0o644,
    dirMode: 0o2775,
    sites: {
      carbonate: {
        name: 'carbonate',
        transport: {
          type: 'ssh',
          host: 'hpc.example.edu',
          port: 2222,
          user: 'amp',
          keyFile: '/home/amp/.ssh/id_ed25519',
          passphraseFile: '/etc/gw/secrets/passphrase',
          agent: '/run/agent.sock',
          knownHosts: '/etc/gw/known_hosts',
          hostKey: `SHA256:${'A'.repeat(43)}`,
          proxyJump: 'amp@gate.example.edu:22,[::1]:2022,inner',
          sshConfig: '/etc/gw/ssh_config',
          connectTimeoutMs: 10_000,
          keepaliveMs: 5000,
          stallMs: 120_000,
        },
        scheduler: {
          type: 'slurm',
          queues: { small: 'general', large: 'dl' },
          options: ['--account=amp', '--qos=a b'],
        },
        hpcEnv: {
          workspace: '/N/scratch/amp/workspace',
          scripts: '/N/project/amp/scripts',
          containers: '/N/project/amp/sif',
          v: '1.10',
          zip: '007',
          flag: 'no',
          blank: '',
          model: 'large v2',
        },
        node: 'module load nodejs/20',
        storeBytes: 20 * 1024 ** 3,
        tags: ['gpu'],
        preferredJobs: ['serial'],
        limits: { jobs: 1000, allocations: 4 },
        maxRunners: 2,
        autoLanes: true,
        lanes: {
          default: {
            name: 'default',
            queue: 'dl',
            gres: 'gpu:v100:1',
            memoryBytes: 64 * 1024 ** 3,
            timeMs: 4 * 3_600_000,
            marginMs: 600_000,
            slots: 'auto',
            lingerMs: 30_000,
            preflight: 'nvidia-smi',
            cpus: 8,
            nodes: 1,
            email: 'amp@example.edu',
          },
          plain: {
            name: 'plain',
            memoryBytes: 32 * 1024 ** 3,
            timeMs: 8 * 3_600_000,
            marginMs: 300_000,
            slots: 1,
            lingerMs: 0,
          },
        },
      },
      here: {
        name: 'here',
        transport: { type: 'local' },
        scheduler: { type: 'local', queues: {}, options: [] },
        hpcEnv: { workspace: '/etc/gw/on_hpc/workspace' },
        storeBytes: 10 * 1024 ** 3,
        tags: [],
        preferredJobs: [],
        limits: {},
        maxRunners: 1,
        autoLanes: false,
        lanes: {
          default: { name: 'default', timeMs: 8 * 3_600_000, marginMs: 300_000, slots: 1, lingerMs: 0 },
        },
      },
    },
  })
})

test('HB-16: parseConfig() fills in what is not given', () => {
  const { config } = parse(siteYaml(`{${local}}`))
  const { sites, ...rest } = config
  assert.deepEqual(rest, {
    dropbox: '/etc/gw/d',
    templates: ['/etc/gw/templates'],
    state: '/etc/gw/.hpc-submitter',
    paths: { inputs: [], outputs: [] },
    owners: { limits: {}, trusted: [] },
    execTarget: {},
    settleMs: 2000,
    expiryMs: 86_400_000,
    keepFailedMs: 7 * 86_400_000,
    maxAttempts: 3,
    maxInterruptions: 10,
    streamCapBytes: 1024 ** 2,
  })
  assert.deepEqual(Object.keys(sites), ['s'])
})

test('parseConfig() takes 0 for a store that is switched off, and no number without a unit', () => {
  assert.equal(parse(siteYaml(`{${local}, store: 0}`)).config.sites.s?.storeBytes, 0)
  assert.deepEqual(
    problems(siteYaml(`{${local}, store: 10}`)).map((line) => line.replace(/^:\d+/, '')),
    [': sites.s.store: expected an amount of memory such as "32G" or "512M", or "0", found "10"'],
  )
})

test('HB-16: parseConfig() names every problem at once, with line, key, what is expected and what was found', () => {
  assert.deepEqual(problems(readFileSync(join(fixtures, 'broken.yml'), 'utf8')), [
    ':2: templtes: unknown key (did you mean "templates"?)',
    ':3: settle: expected a duration such as "8h" or "1d2h30m", found "2 seconds"',
    ':4: max_attempts: expected a whole number, 1 or more, found "0"',
    ':5: file_mode: expected file permissions such as "0644", found "rw-r--r--"',
    ':6: exec_target.Lsf: expected the name of a site, found "carbonat" (did you mean "carbonate"?)',
    ':9: sites.carbonate.transport.port: expected a port number, found "99999"',
    ':9: sites.carbonate.transport.key_fle: unknown key (did you mean "key_file"?)',
    ':9: sites.carbonate.transport.user: expected the account at the site, found nothing',
    ':10: sites.carbonate.scheduler.type: expected "slurm" or "local", found "slrum" (did you mean "slurm"?)',
    ':10: sites.carbonate.scheduler.options: expected a list, each item one word of the command line, found "--account=amp"',
    ':11: sites.carbonate.hpc_env.list: expected text, found a list',
    ':11: sites.carbonate.hpc_env.workspace: expected an absolute path at the site, found "~/workspace" (`echo ~` there prints what "~" stands for)',
    ':11: sites.carbonate.hpc_env.site: templates have a value of their own for <<site>>: choose another name',
    ':11: sites.carbonate.hpc_env.a-b: expected a name that templates can use, of letters, digits and "_"',
    ':13: sites.carbonate.lanes.default.memory: expected an amount of memory such as "32G" or "512M", found "32"',
    ':13: sites.carbonate.lanes.default.time: expected a duration such as "8h" or "1d2h30m", more than 0, found "8 hours"',
    ':13: sites.carbonate.lanes.default.slots: expected a whole number, 1 or more, or "auto", found "many"',
    ':14: sites.carbonate.lanes."my lane": expected a name of letters, digits, "_" and "-", found "my lane"',
    ':15: sites.carbonate.lanes.short.margin: expected less than the time of 5m, found "5m"',
    ':17: sites.old.transport.type: expected "ssh" or "local", found "telnet"',
    ':18: sites.old.scheduler.type: expected "slurm" or "local", found "sge", which is not yet supported',
    ':19: sites.old.hpc_env.workspace: expected the path of a folder, found nothing',
    ':20: sites."bad name": expected a name of letters, digits, "_" and "-", found "bad name"',
  ])
})

test('HB-16: parseConfig() refuses what cannot be a config', () => {
  const table: [name: string, text: string, ...expected: string[]][] = [
    ['nothing', '', ': expected a configuration, found an empty file'],
    ['only comments', '# later\n', ': expected a configuration, found an empty file'],
    ['a list', '- a\n', ': expected a mapping, found a list'],
    ['a word', 'word\n', ': expected a mapping, found "word"'],
    ['two documents', `${siteYaml('')}---\n${siteYaml('')}`, ': expected one YAML document, found more'],
    ['a half file', 'dropbox: d\nsites: {s: {', ':2: unexpected end of the stream within a flow collection'],
    ['a key twice', 'dropbox: d\ndropbox: e\n', ':2: duplicated mapping key'],
    ['no site', 'dropbox: d\nsites: {}\n', ':2: sites: expected at least one site, found none'],
    [
      'nothing required',
      'settle: 1s\n',
      ': dropbox: expected a path, found nothing',
      ': sites: expected a mapping of sites, at least one, found nothing',
    ],
    [
      'an empty site',
      'dropbox: d\nsites: {s: }\n',
      ':2: sites.s.transport: expected a mapping such as {type: local}, found nothing',
      ':2: sites.s.scheduler: expected a mapping, found nothing',
      ':2: sites.s.hpc_env: expected a mapping, found nothing',
    ],
    ['__proto__', `__proto__: {a: 1}\n${siteYaml(`{${local}}`)}`, ':1: __proto__: cannot be a key'],
    [
      '__proto__ among names',
      siteYaml(`{${local}, lanes: {__proto__: {time: 1h}}}`),
      ':3: sites.s.lanes.__proto__: expected a name of letters, digits, "_" and "-", found "__proto__"',
      ':3: sites.s.lanes.__proto__: cannot be a key',
    ],
  ]
  for (const [name, text, ...expected] of table) {
    const got = problems(text)
    for (const sentence of expected) assert.ok(got.includes(sentence), `${name}: ${got.join('\n')}`)
  }
})

test('HB-16: parseConfig() refuses tags, aliases and more than 1 MiB', () => {
  assert.deepEqual(problems('dropbox: d\nstate: !secret x\n'), [':2: expected plain YAML, found a tag'])
  assert.deepEqual(problems('state: &a x\ndropbox: *a\n'), [':2: expected plain YAML, found an alias'])
  assert.deepEqual(problems(`# ${'x'.repeat(1024 ** 2)}\n`), [': expected at most 1.0 MB, found 1.0 MB'])
})

test('HB-16: a problem shows control characters escaped', () => {
  assert.deepEqual(
    problems(`dropbox: "a\\nb\\e[31m"\n${siteYaml('').slice(11)}`).at(0),
    ':1: dropbox: expected a path, found "a\\x0ab\\x1b[31m"',
  )
})

test('HB-16: the config is frozen all the way down and survives JSON', () => {
  const { config } = parse(readFileSync(join(fixtures, 'everything.yml'), 'utf8'))
  const frozen = (value: unknown): boolean =>
    typeof value !== 'object' || value === null || (Object.isFrozen(value) && Object.values(value).every(frozen))
  assert.ok(frozen(config))
  assert.deepEqual(JSON.parse(JSON.stringify(config)), config)
})

test('HB-16: a known key with nothing behind it is not given', () => {
  const { config } = parse(
    `dropbox: d\npaths:\nstate:\nsites:\n  s:\n    ${local.replaceAll('}, ', '}\n    ')}\n    node:\n    lanes:\n      long:\n        queue:\n`,
  )
  assert.equal(config.state, '/etc/gw/.hpc-submitter')
  assert.deepEqual(config.paths, { inputs: [], outputs: [] })
  assert.equal(site(config).node, undefined)
  assert.deepEqual(Object.keys(site(config).lanes), ['long'])
  assert.ok(!('queue' in (site(config).lanes.long ?? {})))
})

test('HB-16: paths start at the home or at the folder of the file', () => {
  const dropbox = (path: string) => parse(siteYaml(`{${local}}`).replace('d\n', `${path}\n`)).config.dropbox
  assert.equal(dropbox('~/box'), '/home/amp/box')
  assert.equal(dropbox('~'), '/home/amp')
  assert.equal(dropbox('../box/'), '/etc/box')
  assert.equal(dropbox('/a//b'), '/a/b')
  assert.deepEqual(problems(siteYaml(`{${local}}`).replace('d\n', '~root/box\n')), [
    ':1: dropbox: expected a path, found "~root/box"',
  ])
})

test('HB-39: the workspace of an ssh site is absolute, of a local site relative to the file if need be', () => {
  const workspace = (yaml: string) => site(parse(yaml).config).hpcEnv.workspace
  assert.equal(workspace(siteYaml(`{${local}}`)), '/etc/gw/w')
  assert.equal(workspace(siteYaml(`{${local}}`).replace('workspace: w', 'workspace: ~/w')), '/home/amp/w')
  assert.equal(workspace(ssh().replace('workspace: /w', 'workspace: /a//b/../w/')), '/a/w')
  assert.match(problems(ssh().replace('workspace: /w', 'workspace: hpc/w'))[0] ?? '', /expected an absolute path/)
  assert.match(problems(ssh().replace('workspace: /w', 'workspace: /'))[0] ?? '', /expected a folder of its own/)
})

test('HB-09: values of hpc_env are the text that was written', () => {
  const { config } = parse(
    siteYaml(
      `{${local.replace('workspace: w', 'workspace: w, a: 1.10, b: 0x1F, c: ~, d: 12:30, e: "", Foo: yes, constructor: x')}}`,
    ),
  )
  assert.deepEqual(site(config).hpcEnv, {
    workspace: '/etc/gw/w',
    a: '1.10',
    b: '0x1F',
    c: '~',
    d: '12:30',
    e: '',
    Foo: 'yes',
    constructor: 'x',
  })
})

test('HB-15: a passphrase may come from a file, the environment or the config, but only from one', () => {
  const transport = (yaml: string) => site(parse(yaml).config).transport
  assert.deepEqual(problems(ssh('passphrase: a, passphrase_env: B')), [
    ':3: sites.s.transport.passphrase_env: expected one passphrase, found passphrase and passphrase_env',
  ])
  const { type, ...rest } = transport(ssh('passphrase_env: B'))
  assert.equal(type, 'ssh')
  assert.deepEqual(rest, {
    host: 'h',
    user: 'u',
    keyFile: '/etc/gw/k',
    passphraseEnv: 'B',
    stallMs: 60_000,
  })
})

test('HB-15: a file with a passphrase in it that others can read is refused', () => {
  const yaml = ssh('passphrase: hush')
  for (const mode of [0o600, 0o400, 0o100600]) assert.doesNotThrow(() => parse(yaml, { mode }))
  for (const mode of [0o640, 0o604, 0o100644]) {
    const [problem = ''] = problems(yaml, { mode })
    assert.match(problem, /^:3: sites\.s\.transport\.passphrase: .* has mode 06\d\d: chmod 600 it$/)
    assert.ok(!problem.includes('hush'))
  }
  assert.doesNotThrow(() => parse(ssh('passphrase:'), { mode: 0o644 }))
  assert.doesNotThrow(() => parse(ssh('passphrase_file: p'), { mode: 0o644 }))
})

test('HB-15: no message quotes a passphrase', () => {
  for (const text of [
    ssh('passphrase: hush').slice(0, -3),
    ssh('passphrase: [hush]'),
    ssh('passphrase: *hush'),
    ssh('passphrase: !x hush'),
    ssh('passphrase hush'),
    ssh('passphrase_env: "hush!"'),
    'dropbox: d\npassphrase: "hush\n',
  ])
    assert.ok(!problems(text).join().includes('hush'), problems(text).join())
})

test('HB-15: a host key is pinned as a fingerprint or a public key', () => {
  for (const key of [`SHA256:${'b'.repeat(43)}`, 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA== amp@x']) {
    const { transport } = site(parse(ssh(`host_key: ${key}`)).config)
    assert.equal(transport.type === 'ssh' && transport.hostKey, key)
  }
  assert.match(problems(ssh('host_key: MD5:aa:bb'))[0] ?? '', /host_key: expected a fingerprint/)
})

test('HB-15: what is not said is left to the ssh config; without one the account must be said', () => {
  const bare = (more: string) => ssh().replace('user: u, key_file: k, ', more)
  assert.deepEqual(site(parse(bare('')).config).transport, { type: 'ssh', host: 'h', stallMs: 60_000 })
  assert.deepEqual(problems(bare('ssh_config: false')), [
    ':3: sites.s.transport.user: expected the account at the site, found nothing',
  ])
  const { transport } = site(parse(bare('ssh_config: false, user: u, agent: true, keepalive: 0s')).config)
  assert.deepEqual(transport, {
    type: 'ssh',
    host: 'h',
    user: 'u',
    agent: true,
    sshConfig: false,
    keepaliveMs: 0,
    stallMs: 60_000,
  })
})

test('HB-17: a lane may name whom the scheduler mails', () => {
  assert.equal(
    site(parse(ssh('', 'lanes: {a: {email: a.b+c@example.edu}}')).config).lanes.a?.email,
    'a.b+c@example.edu',
  )
  assert.match(problems(ssh('', 'lanes: {a: {email: "a;touch /tmp/x"}}'))[0] ?? '', /email: expected a mail address/)
})

test('HB-20: a lane without a word is 32G for 8 hours on slurm, and asks no memory without a scheduler', () => {
  const shape = { timeMs: 8 * 3_600_000, options: [] }
  assert.deepEqual(laneShape(site(parse(ssh()).config), 'default'), {
    scheduler: 'slurm',
    memoryBytes: 32 * 1024 ** 3,
    ...shape,
  })
  assert.deepEqual(laneShape(site(parse(siteYaml(`{${local}}`)).config), 'default'), { scheduler: 'local', ...shape })
})

test('HB-20: laneShape() is what defines an allocation, and nothing else', () => {
  const lane = (text: string) => laneShape(site(parse(ssh('', `lanes: {a: {${text}}}`)).config), 'a')
  const plain = lane('')
  assert.deepEqual(lane('margin: 1m, slots: 4, linger: 9s, preflight: "true", email: a@b'), plain)
  for (const other of ['queue: q', 'gres: g', 'memory: 1G', 'time: 1h', 'cpus: 2', 'nodes: 2'])
    assert.notDeepEqual(lane(other), plain, other)
  assert.equal(laneShape(site(parse(ssh()).config), 'constructor'), undefined)
  assert.equal(JSON.stringify(lane('queue: q, cpus: 2')), JSON.stringify(lane('cpus: 2, queue: q')))
})

test('HB-20: a site without lanes has one, also when it makes lanes by itself', () => {
  for (const [lanes, names] of [
    ['', ['default']],
    ['lanes: {}', ['default']],
    ['lanes: ', ['default']],
    ['lanes: {auto: true}', ['default']],
    ['lanes: {auto: false, big: {}}', ['big']],
  ] as const) {
    const { config } = parse(ssh('', lanes))
    assert.deepEqual(Object.keys(site(config).lanes), names)
    assert.equal(site(config).autoLanes, lanes.includes('true'))
  }
})

test('MI-01: exec_target sends a target to a site, and to nothing that is not there', () => {
  const yaml = `exec_target: {Lsf: s, Sge: s}\n${siteYaml(`{${local}}`)}`
  assert.deepEqual(parse(yaml).config.execTarget, { Lsf: 's', Sge: 's' })
  assert.deepEqual(problems(yaml.replace('Sge: s', 'Sge: constructor')), [
    ':1: exec_target.Sge: expected the name of a site, found "constructor"',
  ])
})

test('MI-02: each site has its own queues by size', () => {
  const yaml = ssh().replace('{type: slurm}', '{type: slurm, queues: {small: general, xlarge: dl}}')
  assert.deepEqual(site(parse(yaml).config).scheduler.queues, { small: 'general', xlarge: 'dl' })
  assert.match(problems(yaml.replace('dl', '"-p x"'))[0] ?? '', /queues\.xlarge: expected one word/)
})

test('HB-16: names that objects are born with are names like others', () => {
  const { config } = parse(`dropbox: d\nsites:\n  constructor: {${local}, lanes: {toString: {}}}\n`)
  assert.equal(siteNamed(config, 'constructor')?.name, 'constructor')
  assert.equal(siteNamed(config, 'toString'), undefined)
  assert.deepEqual(Object.keys(site(config, 'constructor').lanes), ['toString'])
  assert.deepEqual(problems(`valueOf: x\n${siteYaml(`{${local}}`)}`), [':1: valueOf: unknown key'])
  assert.match(problems(siteYaml(`{${local}, lanes: {auto: constructor}}`))[0] ?? '', /lanes\.auto: expected "true"/)
})

test('HB-16: a file that anyone can change is a warning', () => {
  assert.deepEqual(parse(siteYaml(`{${local}}`), { mode: 0o666 }).warnings, [
    'anyone on this machine can change the file: chmod o-w it',
  ])
  assert.deepEqual(parse(siteYaml(`{${local}}`), { mode: 0o664 }).warnings, [])
})

test('several nodes are refused where one machine starts everything', () => {
  const withNodes = (nodes: number) => siteYaml(`{${local}, lanes: {big: {nodes: ${nodes}, slots: 2}}}`)
  assert.deepEqual(problems(withNodes(2)), [
    ':3: sites.s.lanes.big.nodes: expected 1, as the scheduler "local" starts everything on one machine, found "2"',
  ])
  assert.equal(site(parse(withNodes(1)).config).lanes.big?.nodes, 1)
})

test('HB-16: docs/configuration.md says of every key what the schema says', () => {
  const page = readFileSync(join(import.meta.dirname, '../../docs/configuration.md'), 'utf8')
  assert.equal(page.split(/^<!-- .*\n\n/m)[1]?.trim(), configSchemaDocs().trim())
})

test('HB-16: the example of docs/configuration.md is a config', () => {
  const page = readFileSync(join(import.meta.dirname, '../../docs/configuration.md'), 'utf8')
  const [yaml = '', ini = ''] = [...page.matchAll(/(?:^ {4}.*\n|^\n(?= {4}))+/gm)].map(([block]) =>
    block.replace(/^ {4}/gm, ''),
  )
  assert.deepEqual(Object.keys(parse(yaml).config.sites), ['carbonate'])
  assert.deepEqual(Object.keys(parse(ini, { file: 'hpc_submitter.ini' }).config.sites), ['hpc'])
})
