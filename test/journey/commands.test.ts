import assert from 'node:assert/strict'
import { chmodSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { until, World } from '../support/world.ts'

const world = new World()
after(() => world.end())

const description = (name: string, text: string) => {
  const path = join(world.dir, `${name}.job`)
  writeFileSync(path, text)
  return path
}
const with_ = (...args: string[]) => world.cli([...args, '--config', world.configFile])

test('every command has help with an example, and an unknown one is told with the nearest', async () => {
  const help = await world.cli(['--help'])
  assert.equal(help.code, 0)
  for (const command of ['tick', 'watch', 'submit', 'status', 'check', 'render', 'deploy', 'trust', 'report']) {
    assert.match(help.stdout, new RegExp(`hpc-submitter ${command}`))
    const one = await world.cli([command, '--help'])
    assert.equal(one.code, 0, command)
    assert.match(one.stdout, /Examples:/, command)
  }
  const wrong = await world.cli(['statsu'])
  assert.equal(wrong.code, 64)
  assert.match(wrong.stderr, /there is no such command \(did you mean "status"\?\)/)
})

test('HB-35: submit --wait exits 0 for an ok job and 1 for a failed one, with the streams of the job; 124 when the time is out', async () => {
  const stop = { now: false }
  const passes = (async () => {
    while (!stop.now) {
      await world.tick()
      await new Promise((resolve) => setTimeout(resolve, 200))
    }
  })()
  try {
    const ok = await with_('submit', description('fine', 'script: true\n'), '--wait', '--period', '0.1')
    assert.equal(ok.code, 0, ok.stderr)
    assert.match(ok.stderr, /fine: ok: processed OK/)
    assert.equal(world.has('fine.job.finished'), false, 'the result is taken away once it was read')
    const failed = await with_('submit', description('bad', 'script: false\n'), '--wait', '--period', '0.1', '--keep')
    assert.equal(failed.code, 1)
    assert.equal(failed.stdout, 'out\n')
    assert.match(failed.stderr, /^err\n[\s\S]*Remote command failed with return code 3/)
    assert.equal(world.has('bad.job.finished'), true)
    const again = await with_('submit', description('bad', 'script: false\n'))
    assert.equal(again.code, 64)
    assert.match(again.stderr, /bad\.job\.finished" is in the dropbox/)
  } finally {
    stop.now = true
    await passes
  }
  const late = await with_(
    'submit',
    description('late', 'script: true\n'),
    '--wait',
    '--period',
    '0.1',
    '--timeout',
    '0.3',
    '--cancel',
  )
  assert.equal(late.code, 124)
  assert.equal(world.has('late.job.cancel'), true)
  await world.tick()
  assert.equal(world.finished('late').job.state, 'cancelled')
})

test('submit refuses a bad description at once, with 65 and the reason', async () => {
  const ran = await with_('submit', description('wrong', 'script: true\ninput_map: {a: relative/path}\n'))
  assert.equal(ran.code, 65)
  assert.match(ran.stderr, /input_map\.a/)
})

test('HB-03 HB-07: render prints the script that would run, and with --values where each value came from', async () => {
  world.template('levels', '#!/bin/bash\ntool --level=<<level>> --v=<<v>> --z=<<z>> <<name>>\n')
  const file = description('levels', 'script: levels\nargs: {level: 6, v: 6.0, z: 014, name: "a b"}\n')
  const ran = await with_('render', file, '--values')
  assert.equal(ran.code, 0, ran.stderr)
  assert.match(ran.stdout, /^tool --level=6 --v=6\.0 --z=014 "\$\{_v1\}"$/m)
  assert.match(ran.stderr, /z = "014" {2}\(args\.z\)/)
  const json = JSON.parse((await with_('render', file, '--json')).stdout) as {
    script: string
    values: { name: string; origin: string }[]
  }
  assert.equal(json.script, ran.stdout)
  assert.ok(json.values.some(({ name, origin }) => name === 'workspace' && origin === 'built-in'))
  const unknown = await with_('render', description('none', 'script: levels\nargs: {level: 6}\n'))
  assert.equal(unknown.code, 65)
  assert.match(unknown.stderr, /levels\.template:2[\s\S]*"?v"?/)
})

test('status tells what waits and why, what is under way, what is done; and what the sites say', async () => {
  world.template('wait', '#!/bin/bash\nwhile [ ! -e <<scripts_dir>>/go ]; do sleep 0.05; done\n')
  world.drop('running', `script: wait\nargs: {scripts_dir: ${world.dir}}\n`)
  world.drop(`x${'y'.repeat(240)}`.slice(0, 238), 'script: true\n')
  await world.tick()
  await until('the runner to run it', async () => {
    const live = JSON.parse((await with_('status', '--live', '--json')).stdout) as {
      jobs: { name: string; state: string }[]
    }
    return live.jobs.some(({ name, state }) => name === 'running' && state === 'running')
  })
  const text = await with_('status')
  assert.match(text.stdout, /site here: fine/)
  assert.match(text.stdout, /^running +scheduled/m)
  assert.match(text.stdout, /longer than 240 bytes/)
  writeFileSync(join(world.dir, 'go'), '')
  await world.drained()
  await world.tick()
  assert.match((await with_('status', 'running')).stdout, /^running +done +here +ok: processed OK/m)
})

test('HB-33: report tells the jobs of each allocation and the wait that was saved', async () => {
  const ran = await with_('report')
  assert.equal(ran.code, 0, ran.stderr)
  assert.match(ran.stdout, /^ +\d+ jobs {2}waited \S+ +ran \S+ +default-/m)
  assert.match(ran.stdout, /jobs delivered, \d+ of them ok; \d+ allocations/)
  const json = JSON.parse((await with_('report', '--json')).stdout) as { jobs: number; allocations: unknown[] }
  assert.ok(json.jobs > 0 && json.allocations.length > 0)
})

test('check says what is fine with exit 0, and what is not with a hint: 78 for the gateway itself', async () => {
  const fine = await with_('check')
  assert.equal(fine.code, 0, fine.stdout)
  for (const what of [
    'dropbox',
    'template copy',
    'connection',
    'node',
    'workspace',
    'space',
    'scheduler',
    'singularity',
  ]) {
    assert.match(fine.stdout, new RegExp(`${what}: `), what)
  }
  world.template('broken', '#!/bin/bash\necho "<<open\n<<name>>\n')
  const bad = await with_('check')
  assert.equal(bad.code, 78)
  assert.match(bad.stdout, /BAD {2}.*template broken/)
  const unknown = await with_('check', 'nosuch')
  assert.equal(unknown.code, 64)
})

test('check tells with 69 of a site that cannot be reached, a host key nobody vouches for, a Node that does not run', async () => {
  const other = new World(`dropbox: ./dropbox
templates: ./templates
sites:
  far:
    transport: {type: ssh, host: 127.0.0.1, port: 1, user: nobody, ssh_config: false}
    scheduler: {type: slurm}
    hpc_env: {workspace: /nowhere}
  nodeless:
    transport: {type: local}
    scheduler: {type: local}
    node: /no/such/node
    hpc_env: {workspace: "{dir}/workspace"}
`)
  try {
    const ran = await other.cli(['check', '--config', other.configFile])
    assert.equal(ran.code, 69, ran.stdout)
    assert.match(ran.stdout, /site far\n {2}BAD {2}.*connection: .*127\.0\.0\.1/)
    assert.match(ran.stdout, /site nodeless\n[\s\S]*\/no\/such\/node[\s\S]*set node:/)
  } finally {
    await other.end()
  }
})

test('P-GW-08: deploy puts the programs and a Node into the workspace and sees them run; a file that is no Node is told', async () => {
  const other = new World()
  try {
    const ran = await other.cli(['deploy', '--config', other.configFile, '--node'])
    assert.equal(ran.code, 0, ran.stderr)
    assert.match(ran.stdout, /hpc_queuer runs/)
    const version = await other.cli(['check', '--config', other.configFile])
    assert.equal(version.code, 0)
    const fake = join(other.dir, 'fake')
    writeFileSync(fake, '#!/bin/sh\necho v12.0.0\n')
    chmodSync(fake, 0o755)
    const refused = await other.cli(['deploy', '--config', other.configFile, '--node', fake])
    assert.equal(refused.code, 69)
    assert.match(refused.stderr, /18 or newer is needed/)
    const kept = readFileSync(join(other.workspace, 'programs', 'node', 'bin', 'node'))
    assert.ok(kept.length > 1_000_000, 'the Node that runs is still there')
  } finally {
    await other.end()
  }
})

test('HB-16: a config with mistakes is refused with all of them at once, and 78', async () => {
  const file = join(world.dir, 'wrong.yml')
  writeFileSync(
    file,
    'dropbox: ./dropbox\ntemplate: x\nsites: {a: {transport: {type: ssh}, scheduler: {type: slrum}, hpc_env: {}}}\n',
  )
  const ran = await world.cli(['tick', '--config', file])
  assert.equal(ran.code, 78)
  for (const part of ['template', 'sites.a.scheduler', 'workspace', 'wrong.yml'])
    assert.match(ran.stderr, new RegExp(part))
})
