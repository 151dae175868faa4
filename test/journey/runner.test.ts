/** What an operator and a tool see of the other side: the options of a tick, an upload that is waited for, a script that is killed. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { cli, list, type Result, until, World } from '../support/world.ts'

const world = new World()
after(async () => {
  writeFileSync(join(world.dir, 'go'), '')
  await world.end()
})

const runnerOf = (name: string): string | undefined =>
  / in (\S+):/.exec(world.finished(name).job.history.find((event: Result) => event.state === 'running').note)?.[1]

test('HB-24 P-HB-08: a runner with nothing left to do waits for an upload that goes on, and runs it', async () => {
  world.template('hold', `#!/bin/sh\n: >${world.dir}/started\nwhile [ ! -e ${world.dir}/go ]; do sleep 0.05; done\n`)
  world.template('size', '#!/bin/sh\nwc -c <input/<<from>>\n')
  world.drop('first', 'script: hold\n')
  assert.equal((await world.tick()).code, 0)
  await until('the runner to work', () => existsSync(join(world.dir, 'started')))
  const big = world.input('big', '')
  truncateSync(big, 400 * 1024 * 1024)
  world.drop('big', `script: size\ninput_map: {from: ${big}}\n`)
  const pass = spawn(process.execPath, [cli, 'tick', '--config', world.configFile], { stdio: 'ignore' })
  const staging = join(world.workspace, 'staging')
  await until('the upload to begin', () =>
    list(staging).some((name) => list(join(staging, name, 'job', 'input')).length > 0),
  )
  pass.kill('SIGSTOP')
  writeFileSync(join(world.dir, 'go'), '')
  const done = join(world.workspace, 'done')
  await until('the first job to end', () => list(done).some((gateway) => list(join(done, gateway)).length > 0))
  // a runner that did not wait would be gone within a moment
  await new Promise((resolve) => setTimeout(resolve, 1_500))
  assert.equal(world.runners().length, 1, 'it waits')
  pass.kill('SIGCONT')
  await new Promise((resolve) => pass.once('exit', resolve))
  assert.equal(pass.exitCode, 0)
  await world.drained()
  assert.equal((await world.tick()).code, 0)
  assert.equal(world.finished('big').job.stdout.trim(), String(400 * 1024 * 1024))
  assert.equal(runnerOf('big'), runnerOf('first'))
})

test('HB-25 P-HB-20: a killed script is told as the negative signal, one without #! runs, one that cannot start fails alone', async () => {
  world.template('killed', '#!/bin/sh\necho before\nkill -9 $$\n')
  world.template('term', '#!/bin/sh\nkill -TERM $$\n')
  world.template('bare', 'echo "bare $((1+1))"\n')
  world.template('nowhere', '#!/no/such/interpreter\n')
  world.template('where', '#!/bin/sh\npwd; ls\necho "$HPC_ARG_a"\nexit 137\n')
  for (const name of ['killed', 'term', 'bare', 'nowhere']) world.drop(name, `script: ${name}\n`)
  world.drop('where', "script: where\nargs: {a: 'x $(y)'}\n")
  world.drop('last', 'script: true\n')
  const ran = await world.go()
  assert.equal(ran.code, 0, ran.stderr)
  const told = (name: string) => {
    const { job } = world.finished(name)
    return [job.status, job.rc, job.message]
  }
  assert.deepEqual(told('killed'), ['error', -9, 'Remote command failed with return code -9'])
  assert.equal(world.finished('killed').job.stdout, 'before\n')
  assert.equal(told('term')[1], -15)
  assert.deepEqual([told('bare')[0], world.finished('bare').job.stdout], ['ok', 'bare 2\n'])
  assert.deepEqual([told('nowhere')[0], told('nowhere')[1]], ['error', 127])
  assert.notEqual(world.finished('nowhere').job.stderr, '')
  const { hpc, job } = world.finished('where')
  assert.deepEqual([job.stdout, job.rc], [`${hpc.workspace}\ninput\noutput\nx $(y)\n`, 137])
  assert.equal(told('last')[0], 'ok')
})

test('HB-17 HB-11 HB-25: --nocleanup leaves the job where it ran, --debug tells of both sides', async () => {
  world.drop('stays', 'script: true\n')
  assert.equal((await world.tick('--debug')).code, 0)
  await world.drained()
  const ran = await world.tick('--nocleanup', '--debug')
  assert.equal(ran.code, 0, ran.stderr)
  assert.match(ran.stderr, / debug here: pass \d+ on .*1 done, 0 to send/)
  // lines that come together are one entry of several lines
  assert.match(ran.stderr, / debug here: [\s\S]* debug collect /, 'the other side tells its own')
  const { hpc, job } = world.finished('stays')
  assert.equal(job.status, 'ok')
  assert.deepEqual(list(hpc.workspace).sort(), ['input', 'output'])
  const record = JSON.parse(readFileSync(hpc.finished_file, 'utf8')) as { rc: number; start: string; end: string }
  assert.deepEqual([record.rc, record.start, record.end], [0, job.start, job.end])
  const again = await world.tick()
  assert.equal(again.code, 0, again.stderr)
  assert.ok(existsSync(hpc.workspace), 'a later pass leaves it, too')
})

test('P-HB-24 HB-22: 60 jobs in one runner leave no file behind, here or there', async () => {
  const tmp = join(world.dir, 'tmp')
  mkdirSync(tmp)
  const tick = () => world.cli(['tick', '--config', world.configFile], { env: { ...process.env, TMPDIR: tmp } })
  for (let n = 0; n < 60; n += 1) world.drop(`n${n}`, 'script: true\n')
  assert.equal((await tick()).code, 0)
  await world.drained()
  const ran = await tick()
  assert.equal(ran.code, 0, ran.stderr)
  for (let n = 0; n < 60; n += 1) assert.equal(world.finished(`n${n}`).job.status, 'ok')
  assert.equal(new Set(Array.from({ length: 60 }, (_, n) => runnerOf(`n${n}`))).size, 1)
  assert.deepEqual(list(tmp), [])
  for (const folder of ['staging', 'running', '.trash'])
    assert.deepEqual(list(join(world.workspace, folder)), [], folder)
  assert.deepEqual(
    list(world.dropbox).filter((name) => name.startsWith('.')),
    ['.hpc'],
  )
})
