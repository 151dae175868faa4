import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { HpcError } from '../../contract/errors.ts'
import { parseConfig, type Site } from '../../submitter/config.ts'
import { looksLikeIni } from '../../submitter/config-ini.ts'

const sample = readFileSync(join(import.meta.dirname, '../fixtures/config/hpc_submitter.ini'), 'utf8')
const where = { file: '/opt/hpc_batch/hpc_submitter.ini', mode: 0o600, dir: '/opt/hpc_batch', home: '/home/amp' }

function hpc(text: string): Site {
  const { hpc } = parseConfig(text, where).config.sites
  assert.ok(hpc)
  return hpc
}

function problems(text: string, mode = 0o600): string[] {
  try {
    parseConfig(text, { ...where, mode })
  } catch (error) {
    assert.ok(error instanceof HpcError, String(error))
    return error.message.split('\n').slice(1)
  }
  assert.fail('the ini was accepted')
}

test('HB-16: an ini of hpc_batch is one site, slurm over ssh, with one lane', () => {
  const { config, warnings } = parseConfig(sample, where)
  assert.equal(config.dropbox, '/srv/hpc/dropbox')
  assert.deepEqual(config.templates, ['/opt/hpc_batch/templates', '/opt/hpc_batch/tools'])
  assert.equal(config.state, '/opt/hpc_batch/.hpc-submitter')
  assert.deepEqual(Object.keys(config.sites), ['hpc'])
  const { transport, scheduler, lanes, hpcEnv } = hpc(sample)
  assert.deepEqual(transport, {
    type: 'ssh',
    host: 'hpc.example.edu',
    port: 22,
    user: 'amp',
    keyFile: '/home/amp/.ssh/hpc_id_rsa',
    passphrase: '5%0 "of" #f; 100%',
    sshConfig: false,
    stallMs: 60_000,
  })
  assert.deepEqual(scheduler, { type: 'slurm', queues: {}, options: [] })
  assert.deepEqual(lanes, {
    default: {
      name: 'default',
      queue: 'dl',
      gres: 'gpu:v100:1',
      memoryBytes: 32 * 1024 ** 3,
      timeMs: 480 * 60_000,
      marginMs: 300_000,
      slots: 1,
      lingerMs: 0,
    },
  })
  assert.deepEqual(hpcEnv, {
    workspace: '/N/u/amp/hpc_batch/on_hpc/workspace',
    scripts: '/N/u/amp/hpc_batch/on_hpc/scripts',
    containers: '/N/u/amp/containers',
    model: 'one\ntwo\n\nthree',
  })
  assert.deepEqual(warnings, ['line 13: [hpc] gpuram is not used'])
})

test('HB-20: memory of an ini is a number of GB, and empty keys are not given', () => {
  const withHpc = (lines: string) => sample.replace(/partition[\s\S]*gpuram = 16/, lines)
  const lane = (lines: string) => hpc(withHpc(lines)).lanes.default
  assert.equal(lane('memory = 64')?.memoryBytes, 64 * 1024 ** 3)
  assert.equal(lane('memory = 500M')?.memoryBytes, 500 * 1024 ** 2)
  assert.equal(lane('memory =')?.memoryBytes, 32 * 1024 ** 3)
  assert.deepEqual(
    Object.keys(lane('gres =\npartition =') ?? {}).filter((key) => ['gres', 'queue'].includes(key)),
    [],
  )
  assert.deepEqual(problems(withHpc('memory = lots')), [
    `${where.file}:11: [hpc] memory: expected an amount of memory such as "32G" or "512M", found "lots"`,
  ])
})

test('HB-16: problems of an ini name its own sections, keys and lines', () => {
  assert.deepEqual(problems('[remote]\nport = x\n[hpc_env]\nworkspace = hpc_batch\n'), [
    `${where.file}: dropbox: expected a path, found nothing`.replace('dropbox', '[cronjob] dropbox'),
    `${where.file}: [remote] host: expected one word that does not begin with "-", found nothing`,
    `${where.file}: [remote] user: expected the account at the site, found nothing`,
    `${where.file}:2: [remote] port: expected a port number, found "x"`,
    `${where.file}:4: [hpc_env] workspace: expected an absolute path at the site, found "hpc_batch" (\`echo ~\` there prints what "~" stands for)`,
  ])
})

test('HB-16: an ini that configparser would refuse is refused, and no value quoted', () => {
  assert.deepEqual(problems('host = x\n[remote]\nhush\nhost = a\nHOST = b\n[remote]\n= hush\n'), [
    `${where.file}:1: expected a [section] first`,
    `${where.file}:3: expected "key = value" or a [section]`,
    `${where.file}:5: "host" stands here a second time`,
    `${where.file}:6: [remote] stands here a second time`,
    `${where.file}:7: expected "key = value" or a [section]`,
  ])
})

test('HB-15: an ini with a passphrase that others can read is refused', () => {
  assert.match(problems(sample, 0o644)[0] ?? '', /:7: \[remote\] passphrase: .*chmod 600/)
  assert.doesNotThrow(() => parseConfig(sample.replace(/passphrase = .*/, 'passphrase ='), { ...where, mode: 0o644 }))
})

test('HB-16: values are read as configparser reads them, only that a lone % is itself', () => {
  const table: [written: string, value: string][] = [
    ['a = %', '%'],
    ['a = %d', '%d'],
    ['a = 100%%', '100%'],
    ['a = %(b)s/x\nb = y%(c)s\nc = z', 'yz/x'],
    ['a = %(B)s\nb = 1', '1'],
    ['a = %(none)s', '%(none)s'],
    ['a = %(shared)s', 'from DEFAULT'],
    ['a: b = c', 'b = c'],
    ['a = "quoted"', '"quoted"'],
    ['a = x # y ; z', 'x # y ; z'],
    ['A=1', '1'],
    ['a =\n  one\n  # not this\n\n   two\n', '\none\n\ntwo'],
    ['a = 1\r', '1'],
  ]
  for (const [written, value] of table) {
    const text = `[DEFAULT]\nshared = from DEFAULT\n${sample}\n${written}\n`
    assert.equal(hpc(text).hpcEnv.a, value, written)
  }
  const loop = hpc(`${sample}\na = %(b)s\nb = %(a)s\n`).hpcEnv.a ?? ''
  assert.ok(loop.startsWith('%('))
})

test('HB-09: names in [hpc_env] that no template can use are a warning, not an error', () => {
  const { config, warnings } = parseConfig(
    `${sample}\nfoo-bar = 1\nsite = x\nconstructor = c\n__proto__ = p\n[Extra]\n`,
    where,
  )
  assert.equal(config.sites.hpc?.hpcEnv.constructor, 'c')
  assert.ok(!('foo-bar' in (config.sites.hpc?.hpcEnv ?? {})))
  assert.deepEqual(
    warnings.map((warning) => warning.replace(/^line \d+: /, '')),
    [
      '[hpc] gpuram is not used',
      '[hpc_env] foo-bar cannot be named by a template',
      '[hpc_env] site is not used: templates have a value of their own by that name',
      '[hpc_env] __proto__ is not used: templates have a value of their own by that name',
      '[Extra] is not used',
    ],
  )
})

test('HB-16: looksLikeIni() goes by the name, else by the first line that says something', () => {
  const table: [file: string, text: string, ini: boolean][] = [
    ['hpc.ini', 'dropbox: d', true],
    ['hpc.INI', '', true],
    ['hpc.yml', 'dropbox: d', false],
    ['hpc.conf', '# c\n\n; d\n[remote]\nhost = x', true],
    ['hpc.conf', '[remote]\r\nhost = x', true],
    ['hpc.yml', '', false],
    ['hpc.yml', '# [remote]\ndropbox: d', false],
    ['hpc.yml', '[a, b]: c', false],
  ]
  for (const [file, text, ini] of table) assert.equal(looksLikeIni(file, text), ini, `${file} ${text}`)
})

test('HB-16: an ini takes no longer for its blanks, nor for values that double each other', () => {
  const doubling = Array.from({ length: 26 }, (_, n) => `v${n} = ${n === 0 ? 'x' : `%(v${n - 1})s`.repeat(4)}\n`).join(
    '',
  )
  const began = performance.now()
  assert.equal(problems(`${sample}\na${' '.repeat(900_000)}b\n`).length, 1)
  assert.ok(parseConfig(`${sample}\n[hpc_env]\n`.replace(/\n\[hpc_env\]\n$/, `\n[DEFAULT]\n${doubling}`), where))
  assert.ok(performance.now() - began < 5_000)
})
