import assert from 'node:assert/strict'
import { test } from 'node:test'
import { HpcError } from '../../contract/errors.ts'
import { loadConfig, type Surroundings } from '../../submitter/config-file.ts'

const yaml = (dropbox: string, more = '') =>
  `dropbox: ${dropbox}\n${more}sites: {s: {transport: {type: local}, scheduler: {type: local}, hpc_env: {workspace: w}}}\n`

/** A disk that holds these files. */
function around(files: Record<string, string>, more: Partial<Surroundings> = {}): Surroundings {
  const readFile = (path: string) => (files[path] === undefined ? undefined : { text: files[path], mode: 0o100600 })
  return { env: {}, cwd: '/here', home: '/home/amp', packageDir: '/opt/hpc-batch', readFile, ...more }
}

test('HB-16: loadConfig() takes the first config there is', async () => {
  const files: Record<string, string> = {
    '/given.yml': yaml('given'),
    '/env.yml': yaml('env'),
    '/here/hpc-submitter.yml': yaml('here'),
    '/home/amp/.config/hpc-submitter/config.yml': yaml('home'),
    '/etc/hpc-submitter.yml': yaml('etc'),
  }
  const env = { HPC_SUBMITTER_CONFIG: '/env.yml' }
  const order = [
    ['/given.yml', '/given', { explicit: '/given.yml', env }],
    ['/env.yml', '/env', { env }],
    ['/here/hpc-submitter.yml', '/here/here', {}],
    ['/home/amp/.config/hpc-submitter/config.yml', '/home/amp/.config/hpc-submitter/home', {}],
    ['/etc/hpc-submitter.yml', '/etc/etc', {}],
  ] as const
  for (const [source, dropbox, more] of order) {
    const loaded = await loadConfig(around(files, more))
    assert.equal(loaded.source, source)
    assert.equal(loaded.config.dropbox, dropbox)
    delete files[source]
  }
  assert.equal((await loadConfig(around({}))).source, 'built-in defaults')
})

test('HB-16: a config named in words must be there', async () => {
  const files = { '/here/hpc-submitter.yml': yaml('here') }
  for (const [more, hint] of [
    [{ explicit: 'gone.yml' }, /named on the command line/],
    [{ env: { HPC_SUBMITTER_CONFIG: 'gone.yml' } }, /\$HPC_SUBMITTER_CONFIG/],
  ] as const) {
    await assert.rejects(loadConfig(around(files, more)), (error) => {
      assert.ok(error instanceof HpcError)
      assert.equal(error.exitCode, 78)
      assert.equal(error.message, 'Cannot read the configuration "/here/gone.yml": there is no such file')
      assert.match(error.hint ?? '', hint)
      return true
    })
  }
  assert.equal((await loadConfig(around(files, { env: { HPC_SUBMITTER_CONFIG: '' } }))).config.dropbox, '/here/here')
})

test('HB-16: a config that is there but cannot be read is not passed over', async () => {
  const readFile = () => {
    throw new Error('EACCES: permission denied')
  }
  await assert.rejects(loadConfig(around({}, { readFile })), {
    code: 'config',
    message: 'Cannot read the configuration "/here/hpc-submitter.yml": EACCES: permission denied',
  })
})

test('HB-17: a positional ini of hpc_batch is found from the current folder, and its neighbours from its own', async () => {
  const ini = '[remote]\nhost = h\nuser = u\nkey_file = k\n[cronjob]\ndropbox = d\n[hpc_env]\nworkspace = /w\n'
  for (const explicit of ['sub/hpc_submitter.ini', '/here/sub/hpc_submitter.ini', 'sub/hpc.conf']) {
    const { config, source } = await loadConfig(
      around({ '/here/sub/hpc_submitter.ini': ini, '/here/sub/hpc.conf': ini }, { explicit }),
    )
    assert.ok(source.startsWith('/here/sub/'))
    assert.equal(config.dropbox, '/here/sub/d')
    assert.deepEqual(config.templates, ['/here/sub/templates', '/here/sub/tools'])
  }
})

test('HB-16: without any config this machine serves the current folder', async () => {
  const { config, warnings } = await loadConfig(around({}))
  assert.deepEqual(warnings, [])
  assert.equal(config.dropbox, '/here/dropbox')
  assert.deepEqual(config.templates, ['/here/templates', '/opt/hpc-batch/templates'])
  assert.equal(config.state, '/here/.hpc-submitter')
  assert.deepEqual(config.sites.local?.transport, { type: 'local' })
  assert.equal(config.sites.local?.scheduler.type, 'local')
  assert.equal(config.sites.local?.hpcEnv.workspace, '/here/on_hpc/workspace')
  assert.equal(config.sites.local?.lanes.default?.slots, 1)
})

test('HB-16: the built-in defaults hold in folders with any name', async () => {
  const packageDir = '/a "b" {c}: #d'
  const { config } = await loadConfig(around({}, { packageDir, cwd: '/e $& f' }))
  assert.deepEqual(config.templates, ['/e $& f/templates', `${packageDir}/templates`])
})

test('HB-16: the cache gives the same config until anything it depends on changes', async () => {
  const kept = new Map<string, string>()
  const cache = { get: (key: string) => kept.get(key), set: (key: string, value: string) => void kept.set(key, value) }
  const load = (text: string, more: object = {}) =>
    loadConfig({ ...around({ '/here/hpc-submitter.yml': text }), cache, version: '1', ...more })
  const first = await load(yaml('a'))
  const again = await load(yaml('a'))
  assert.deepEqual(again, first)
  assert.ok(Object.isFrozen(again.config.sites.s?.lanes.default))
  assert.equal(kept.size, 1)
  await load(yaml('b'))
  await load(yaml('a'), { version: '2' })
  await load(yaml('a'), { home: '/home/other' })
  assert.equal(kept.size, 4)
  for (const key of kept.keys()) kept.set(key, '{"config"')
  assert.deepEqual(await load(yaml('a')), first)
})

test('HB-15: a config with a passphrase in it is never cached', async () => {
  const secret = yaml('a')
    .replace('{type: local},', '{type: ssh, host: h, user: u, key_file: k, passphrase: hush},')
    .replace('workspace: w', 'workspace: /w')
  const set = () => assert.fail('cached')
  await loadConfig({ ...around({ '/here/hpc-submitter.yml': secret }), cache: { get: () => undefined, set } })
})
