/** Those who call: the Python clients, an old crontab, a folder without a config, other places, times and networks. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { cpSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { makeKey } from '../support/sshd.ts'
import { cli, list, type Ran, root, run, until, World } from '../support/world.ts'

const world = new World()
after(() => world.end())

/** Passes one after the other, as cron would start them, while `caller` waits. */
async function served(caller: Promise<Ran>): Promise<Ran> {
  let ended = false
  const ran = caller.finally(() => {
    ended = true
  })
  while (!ended) {
    const pass = await world.tick()
    assert.equal(pass.code, 0, pass.stderr)
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
  return ran
}

test('HB-35: the original client, which writes in place and knows only five fields, gets its results', async () => {
  const good = join(world.dir, 'good.yml')
  const bad = join(world.dir, 'bad.yml')
  writeFileSync(
    good,
    `script: copy\nargs: {level: 6}\ninput_map: {from: ${world.input('i', 'hello')}}\noutput_map: {to: ${world.out('o')}}\n`,
  )
  writeFileSync(bad, 'script: false\nargs: {}\ninput_map: {}\noutput_map: {}\n')
  const client = join(root, 'test', 'support', 'original_client.py')
  const call = (job: string) => run(['python3', client, world.dropbox, job, '0.1'])
  const both = Promise.all([call(good), call(bad)])
  await served(both.then(([first]) => first))
  const [first, second] = await both
  assert.deepEqual([first.code, first.stdout], [0, 'ok\n'], first.stderr)
  assert.deepEqual([second.code, second.stdout], [1, 'error\n'], second.stderr)
  assert.equal(readFileSync(world.out('o'), 'utf8'), 'hello')
  assert.deepEqual(
    list(world.dropbox).filter((name) => name !== '.hpc'),
    [],
    'results are taken away by who waits for them',
  )
})

test('HB-35: our Python client against the real gateway: status, message, streams, and a refusal', async () => {
  const script = `
import json, sys
sys.path.insert(0, sys.argv[2])
import hpc_batch
ok = hpc_batch.submit_and_wait(sys.argv[1], {"script": "true", "note": [1, "2"]}, period=0.1, timeout=60)
bad = hpc_batch.submit_and_wait(sys.argv[1], {"script": "false"}, period=0.1, timeout=60)
none = hpc_batch.submit_and_wait(sys.argv[1], {"script": "none"}, period=0.1, timeout=60)
print(json.dumps([ok["job"]["message"], ok["note"], bad["job"]["rc"], bad["job"]["stderr"], none["job"]["status"]]))
`
  const ran = await served(run(['python3', '-c', script, world.dropbox, join(root, 'clients', 'python')]))
  assert.equal(ran.code, 0, ran.stderr)
  assert.deepEqual(JSON.parse(ran.stdout), ['processed OK', [1, '2'], 3, 'err\n', 'error'])
})

test('HB-16 HB-32: an hpc_batch crontab line with its ini: jobs are accepted and wait while the host does not answer', async () => {
  const dropbox = join(world.dir, 'ini-dropbox')
  mkdirSync(dropbox)
  const ini = join(world.dir, 'hpc_submitter.ini')
  const key = makeKey(join(world.dir, 'key'), 'ed25519', '5%0')
  writeFileSync(
    ini,
    `[remote]\nhost = 127.0.0.1\nport = 1\nuser = amp\nkey_file = ${key}\npassphrase = 5%0\n[hpc]\npartition = dl\ngres = gpu:v100:1\n[cronjob]\ndropbox: ${dropbox}\nlockfile: ${join(world.dir, 'pid')}\n[hpc_env]\nworkspace = /scratch/amp/workspace\nscripts = /s\ncontainers = /c\n`,
    { mode: 0o600 },
  )
  writeFileSync(join(dropbox, 'a.job'), 'script: true\n...\n')
  const ran = await world.cli(['tick', ini], { env: { ...process.env, HOME: world.dir } })
  assert.equal(ran.code, 75, ran.stderr)
  assert.match(ran.stderr, /127\.0\.0\.1:1: connection refused/)
  assert.ok(existsSync(join(dropbox, 'a.job.submitted')), ran.stderr)
  assert.doesNotMatch(ran.stderr, /5%0/, 'no secret on a terminal')
})

test('HB-12: jobs that hpc_batch had in flight when it was replaced get a result that says so, and keep their text', async () => {
  const other = new World()
  try {
    writeFileSync(
      join(other.dropbox, 'old.job.submitted'),
      "args: {level: 6}\nhpc:\n  finished_file: /scratch/ws/host-1-2.3/finished.out\n  input_map: {}\n  output_map: {}\n  workspace: /scratch/ws/host-1-2.3\ninput_map: {}\noutput_map: {}\nscript: 'true'\n",
    )
    const ran = await other.go()
    assert.equal(ran.code, 0, ran.stderr)
    const { job, args } = other.finished('old')
    assert.match(job.message, /was sent by hpc_batch.* lies in "\/scratch\/ws\/host-1-2\.3".*drop it again/)
    assert.deepEqual([job.status, args.level], ['error', 6])
  } finally {
    await other.end()
  }
})

test('P-HB-30: a clock that jumps between passes costs nothing: not a lock, not a runner, not a job', async (t) => {
  const library = ['x86_64', 'aarch64']
    .map((cpu) => `/usr/lib/${cpu}-linux-gnu/faketime/libfaketimeMT.so.1`)
    .find(existsSync)
  if (library === undefined) {
    assert.notEqual(process.env.CI_NO_SKIP, '1', 'libfaketime is missing')
    t.skip('no libfaketime here: apt install libfaketime')
    return
  }
  const tick = (by: string) =>
    world.cli(['tick', '--config', world.configFile], {
      env: { ...process.env, LD_PRELOAD: library, FAKETIME: by, FAKETIME_DONT_FAKE_MONOTONIC: '1' },
    })
  world.drop('jumps', 'script: true\n')
  writeFileSync(join(world.dropbox, 'settles.job'), 'script: true\n')
  const ahead = await tick('+1d')
  assert.equal(ahead.code, 0, ahead.stderr)
  assert.ok(!world.has('settles.job'), 'settling is measured by a clock that only goes forward')
  await world.drained()
  const behind = await tick('-1d')
  assert.deepEqual([behind.code, behind.stderr], [0, ''])
  for (const name of ['jumps', 'settles']) assert.equal(world.finished(name).job.status, 'ok')
  assert.deepEqual(world.jobsLeft(), [])
})

test('AR-01 HB-39 HB-18: a folder with dropbox/ and templates/ and no config is served as it stands, without a network', async (t) => {
  const place = join(world.dir, 'check.submitted', 'out')
  mkdirSync(join(place, 'dropbox'), { recursive: true })
  mkdirSync(join(place, 'templates'))
  cpSync(join(world.templates, 'copy.template'), join(place, 'templates', 'copy.template'))
  const env = { ...process.env, HOME: place, HPC_SUBMITTER_CONFIG: '' }
  const lonely = spawnSync('unshare', ['-n', 'true']).status === 0
  if (!lonely) t.diagnostic('no rights to leave the network here: run with the network in place')
  const prefix: readonly [string, ...string[]] = lonely ? ['unshare', '-n', '--'] : ['env']
  const tick = () => run([...prefix, process.execPath, cli, 'tick'], { cwd: place, env })
  const idle = await tick()
  assert.deepEqual([idle.code, idle.stderr], [0, ''])
  assert.equal(
    existsSync(join(place, 'on_hpc', 'workspace', 'lanes')),
    false,
    'nothing is started for an empty dropbox',
  )
  writeFileSync(
    join(place, 'dropbox', 'a.job'),
    `script: copy\ninput_map: {from: ${world.input('c', 'c')}}\noutput_map: {to: ${join(place, 'copied')}}\n...\n`,
  )
  const finished = join(place, 'dropbox', 'a.job.finished')
  await until('the result', async () => {
    const ran = await tick()
    assert.equal(ran.code, 0, ran.stderr)
    return existsSync(finished)
  })
  // P-HB-16: names of ours in the path of the dropbox mean nothing
  assert.match(readFileSync(finished, 'utf8'), /processed OK/)
  assert.equal(readFileSync(join(place, 'copied'), 'utf8'), 'c')
})

test('P-HB-30: time zones do not matter: a job sent in one and collected in another is told in UTC', async () => {
  world.template('date', '#!/bin/sh\ndate -u +%Y-%m-%dT%H\n')
  world.drop('zones', 'script: date\n')
  const tick = (TZ: string) => world.cli(['tick', '--config', world.configFile], { env: { ...process.env, TZ } })
  assert.equal((await tick('Pacific/Kiritimati')).code, 0)
  await world.drained()
  assert.equal((await tick('Pacific/Pago_Pago')).code, 0)
  const { job } = world.finished('zones')
  const [start, end] = [new Date(job.start).getTime(), new Date(job.end).getTime()]
  assert.ok(end >= start && end - start < 60_000)
  assert.ok(Math.abs(Date.now() - end) < 60_000)
  assert.equal(new Date(job.start).toISOString().slice(0, 13), (job.stdout as string).trim())
})

test('HB-27: the result of a failed script says where its files are kept, and until when', async () => {
  const failing = new World()
  try {
    failing.drop('f', 'script: false\n')
    await failing.go()
    const { kept } = failing.finished('f').job
    assert.match(kept.until, /^\d{4}-\d{2}-\d{2}$/)
    assert.equal(readFileSync(join(kept.path, 'control', 'attempts', '1.stdout'), 'utf8'), 'out\n')
  } finally {
    await failing.end()
  }
})
