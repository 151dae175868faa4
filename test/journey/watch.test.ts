import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { type AddressInfo, createServer } from 'node:net'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { setTimeout } from 'node:timers/promises'
import { cli, list, until, World } from '../support/world.ts'

const worlds: World[] = []
const watchers: ChildProcess[] = []
after(async () => {
  for (const child of watchers) child.kill('SIGKILL')
  for (const world of worlds) await world.end()
})

interface Watcher {
  readonly child: ChildProcess
  readonly log: () => string
}

/** Starts `watch`; it is ready when its first pass is over and the dropbox is watched. */
async function start(world: World, ...args: string[]): Promise<Watcher> {
  worlds.push(world)
  const child = spawn(process.execPath, [cli, 'watch', '--config', world.configFile, '--debug', ...args], {
    cwd: world.dir,
  })
  watchers.push(child)
  let log = ''
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (chunk: Buffer) => {
      log += chunk.toString('utf8')
    })
  const watcher = { child, log: () => log }
  await until('watch to make its state folder', () => world.has('.hpc'))
  return watcher
}

async function stop({ child, log }: Watcher): Promise<void> {
  const ended = new Promise<number | null>((resolve) => child.once('exit', (code) => resolve(code)))
  child.kill('SIGTERM')
  assert.equal(await ended, 0, log())
}

test('HB-38: watch is woken by a dropped file and by its result, keeps serving, and ends cleanly on SIGTERM', async () => {
  const world = new World()
  // no pass comes by the clock in this test: whatever happens was woken
  const watcher = await start(world, '--cron', '0 0 1 1 *')
  const input = world.input('in.txt', 'watched')
  for (const name of ['one', 'two', 'three']) {
    world.dropCopy(name, input)
    await until(`the result of ${name}`, () => world.has(`${name}.job.finished`))
    assert.equal(world.finished(name).job.status, 'ok')
  }
  await stop(watcher)
  assert.deepEqual(world.jobsLeft(), [])
})

test('HB-38: passes come by the cron expression without any event, one after the other', async () => {
  const world = new World()
  const watcher = await start(world, '--cron', '*/1 * * * * *')
  world.drop('quiet', `script: wait\n`)
  world.template('wait', `#!/bin/sh\nwhile [ ! -e ${world.dir}/go ]; do sleep 0.05; done\n`)
  const passes = () => [...watcher.log().matchAll(/here: pass (\d+) on /g)].map((found) => Number(found[1]))
  await until('four passes by the clock', () => passes().length >= 4)
  writeFileSync(join(world.dir, 'go'), '')
  await until('the result', () => world.has('quiet.job.finished'))
  await stop(watcher)
  const numbers = passes()
  // a pass that began beside another of this gateway would have taken its number, or found its lock
  assert.deepEqual(
    numbers,
    numbers.map((_, index) => (numbers[0] ?? 0) + index),
  )
  assert.doesNotMatch(watcher.log(), /another pass holds/)
})

test('P-GW-07: a pass whose time came while watch stood still is made up for, without a word of the clock’s own', async () => {
  const world = new World()
  world.template('wait', `#!/bin/sh\nwhile [ ! -e ${world.dir}/go ]; do sleep 0.05; done\n`)
  const due = new Date(Math.ceil(Date.now() / 1000) * 1000 + 8_000)
  const at = [due.getSeconds(), due.getMinutes(), due.getHours(), due.getDate(), due.getMonth() + 1, '*'].join(' ')
  const watcher = await start(world, '--cron', at)
  world.drop('quiet', 'script: wait\n')
  const passes = () => [...watcher.log().matchAll(/here: pass \d+ on /g)].length
  await until('the job to run', () => list(join(world.workspace, 'running')).length > 0)
  watcher.child.kill('SIGSTOP')
  const before = passes()
  await until('its time to be over', () => Date.now() > due.getTime() + 2_000)
  watcher.child.kill('SIGCONT')
  await until('another pass', () => passes() > before)
  writeFileSync(join(world.dir, 'go'), '')
  await until('the result', () => world.has('quiet.job.finished'))
  await stop(watcher)
  assert.doesNotMatch(watcher.log(), /NODE-CRON/i)
})

test('P-GW-07: a file that takes long to be written in place is served by watch without another event', async () => {
  const world = new World()
  const watcher = await start(world, '--cron', '0 0 1 1 *')
  // no document end: two looks, settle apart, decide
  writeFileSync(join(world.dropbox, 'slow.job'), 'script: true\n')
  await until('the result', () => world.has('slow.job.finished'))
  assert.equal(world.finished('slow').job.status, 'ok')
  await stop(watcher)
})

test('P-GW-07: a file that waits until a result is taken away makes no passes, and is served when it is', async () => {
  const world = new World()
  const watcher = await start(world, '--cron', '0 0 1 1 *')
  const input = world.input('in.txt', 'twice')
  world.dropCopy('one', input)
  await until('the first result', () => world.has('one.job.finished'))
  const passes = () => watcher.log().match(/\d accepted, /g)?.length ?? 0
  world.dropCopy('one', input)
  await setTimeout(3_000)
  const before = passes()
  await setTimeout(5_000)
  assert.ok(passes() <= before, `${passes() - before} passes for a file that waits`)
  rmSync(join(world.dropbox, 'one.job.finished'), { recursive: true })
  await until('the second result', () => world.has('one.job.finished'))
  await stop(watcher)
})

test('MI-03: watch uses a changed config from the next pass on, and goes on with the old one when the new is wrong', async () => {
  const world = new World()
  const watcher = await start(world, '--cron', '*/1 * * * * *')
  const good = readFileSync(world.configFile, 'utf8')
  writeFileSync(world.configFile, `${good}nonsense: 1\n`)
  await until('the refusal', () => /the changed config is not used/.test(watcher.log()))
  world.drop('still', 'script: true\n')
  await until('the result under the old config', () => world.has('still.job.finished'))
  writeFileSync(world.configFile, good.replace('templates: ./templates', 'templates: ./elsewhere'))
  await until('the reload', () => /the config has changed and is in force/.test(watcher.log()))
  world.drop('moved', 'script: true\n')
  await until('the result under the new config', () => world.has('moved.job.finished'))
  assert.match(world.finished('moved').job.message, /elsewhere/)
  await stop(watcher)
})

test('AR-28: a site that takes the connection and says nothing delays neither another site nor the end of watch', async () => {
  const mute = createServer()
  await new Promise<void>((resolve) => mute.listen(0, '127.0.0.1', () => resolve()))
  const { port } = mute.address() as AddressInfo
  const world = new World(`dropbox: ./dropbox
templates: ./templates
state: ./state
sites:
  here:
    transport: {type: local}
    scheduler: {type: local}
    hpc_env: {workspace: "{dir}/workspace"}
  mute:
    transport: {type: ssh, host: 127.0.0.1, port: ${port}, user: nobody, ssh_config: false}
    scheduler: {type: slurm}
    hpc_env: {workspace: /nowhere}
`)
  try {
    const watcher = await start(world, '--cron', '0 0 1 1 *')
    world.drop('silent', 'script: true\nsite: mute\n')
    await until('the first to be accepted', () => world.has('silent.job.submitted'))
    const began = Date.now()
    world.drop('fine', 'script: true\nsite: here\n')
    await until('the result at the other site', () => world.has('fine.job.finished'))
    // the connection to the mute site is given up after 20 s at the earliest
    assert.ok(Date.now() - began < 15_000, `${Date.now() - began} ms`)
    await stop(watcher)
    assert.ok(Date.now() - began < 19_000, `${Date.now() - began} ms`)
    rmSync(join(world.dropbox, 'silent.job.submitted'))
  } finally {
    mute.close()
  }
})

test('AR-28: a site that cannot be reached does not end watch, nor stop the other site', async () => {
  const dead = `dropbox: ./dropbox
templates: ./templates
state: ./state
sites:
  here:
    transport: {type: local}
    scheduler: {type: local}
    hpc_env: {workspace: "{dir}/workspace"}
  gone:
    transport: {type: ssh, host: 127.0.0.1, port: 1, user: nobody, ssh_config: false}
    scheduler: {type: slurm}
    hpc_env: {workspace: /nowhere}
`
  const world = new World(dead)
  const watcher = await start(world, '--cron', '*/1 * * * * *')
  world.drop('lost', 'script: true\nsite: gone\n')
  world.drop('fine', 'script: true\nsite: here\n')
  await until('the result at the living site', () => world.has('fine.job.finished'))
  await until('the dead site to be told of', () => /gone/.test(watcher.log()))
  assert.equal(world.has('lost.job.submitted'), true)
  await stop(watcher)
  rmSync(join(world.dropbox, 'lost.job.submitted'))
})
