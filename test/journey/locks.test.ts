/** Many passes at once, passes that are killed, gateways that share a workspace. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { cli, list, root, run, until, World } from '../support/world.ts'

const world = new World()
after(() => world.end())

test('P-HB-01 HB-14: 20 first passes at once make one gateway, lose no job and run none twice', async () => {
  const counter = join(world.dir, 'counter')
  world.template('count', `#!/bin/sh\necho "<<n>>" >>${counter}\n`)
  for (let n = 0; n < 10; n += 1) world.drop(`n${n}`, `script: count\nargs: {n: ${n}}\n`)
  const ticks = await Promise.all(Array.from({ length: 20 }, () => world.tick()))
  for (const { code, stderr } of ticks) assert.equal(code, 0, stderr)
  for (const { stderr } of ticks)
    assert.match(
      stderr,
      /^$|^another pass is at work \((?:accept|site here): (pid \d+ on .+|a(nother)? pass that .+)\); nothing to do\n$/,
    )
  const uuid = readFileSync(join(world.dropbox, '.hpc', 'uuid'), 'utf8').trim()
  assert.deepEqual(list(join(world.workspace, 'gateways')), [uuid])
  await until('all jobs to be delivered', async () => {
    await Promise.all([world.tick(), world.tick(), world.tick()])
    return list(world.dropbox).filter((name) => name.endsWith('.finished')).length === 10
  })
  assert.deepEqual(readFileSync(counter, 'utf8').trim().split('\n').sort(), '0123456789'.split(''))
  assert.deepEqual(world.jobsLeft(), [])
  assert.deepEqual(
    list(join(world.dropbox, '.hpc')).filter((name) => name.endsWith('.lock')),
    [],
    'no lock is left behind',
  )
})

/** A pass stopped in the middle of its work, all locks taken. */
async function stoppedPass(): Promise<ReturnType<typeof spawn>> {
  const fifo = join(world.dir, 'in', 'slow')
  if (!existsSync(fifo)) writeFileSync(fifo, Buffer.alloc(300 * 1024 * 1024))
  world.dropCopy(`slow${Date.now()}`, fifo)
  const child = spawn(process.execPath, [cli, 'tick', '--config', world.configFile], { stdio: 'ignore' })
  const lock = join(world.dropbox, '.hpc', 'site here.lock', 'holder.json')
  await until(
    'the pass to hold the lock of its site',
    () => existsSync(lock) && readFileSync(lock, 'utf8').includes(`"pid":${child.pid},`),
  )
  await until('its upload to begin', () => list(join(world.workspace, 'staging')).length > 0)
  child.kill('SIGSTOP')
  return child
}

test('HB-14 P-GW-05: while one pass stands still a second takes what is free, and ends with 0', async () => {
  const first = await stoppedPass()
  world.drop('meanwhile', 'script: true\n')
  const second = await world.tick()
  assert.equal(second.code, 0, second.stderr)
  assert.ok(world.has('meanwhile.job.submitted'), 'it accepts, for the accept lock is free')
  first.kill('SIGCONT')
  await new Promise((resolve) => first.once('exit', resolve))
  assert.equal(first.exitCode, 0)
})

test('P-HB-01: after kill -9 in the middle of a pass the next pass goes on at once, and every job ends once', async () => {
  const first = await stoppedPass()
  first.kill('SIGKILL')
  await new Promise((resolve) => first.once('exit', resolve))
  const next = await world.tick()
  assert.equal(next.code, 0, next.stderr)
  assert.match(next.stderr, /taking over the lock .*site here\.lock: its holder, pid \d+ on .* is gone/)
  await world.drained()
  const last = await world.go()
  assert.equal(last.code, 0, last.stderr)
  const names = list(world.dropbox).filter((name) => name.includes('.job'))
  assert.deepEqual(
    names.filter((name) => !name.endsWith('.job.finished')),
    [],
  )
  for (const name of names.filter((one) => /^slow|^meanwhile/.test(one)))
    assert.equal(world.finished(name.replace('.job.finished', '')).job.status, 'ok', name)
  assert.deepEqual(world.jobsLeft(), [])
})

test('HB-34 P-HB-19: two gateways share a workspace: never two runners at work, each job runs once and comes home', async () => {
  const counter = join(world.dir, 'both')
  world.template(
    'alone',
    `#!/bin/sh\nset -C\n: >${world.dir}/busy || { echo "two at once" >&2; exit 9; }\necho <<who>> >>${counter}\nsleep 0.02\nrm ${world.dir}/busy\n`,
  )
  const other = join(world.dir, 'other')
  for (const folder of [other, join(other, 'dropbox')]) mkdirSync(folder)
  writeFileSync(
    join(other, 'c.yml'),
    readFileSync(world.configFile, 'utf8').replace('./templates', join(world.dir, 'templates')),
  )
  for (let n = 0; n < 12; n += 1) {
    world.drop(`g${n}`, `script: alone\nargs: {who: a${n}}\n`)
    writeFileSync(join(other, 'dropbox', `g${n}.job`), `script: alone\nargs: {who: b${n}}\n...\n`)
  }
  const theirs = () => run([process.execPath, cli, 'tick', '--config', join(other, 'c.yml')], { cwd: root })
  const done = (folder: string) => list(folder).filter((name) => /^g\d+\.job\.finished$/.test(name)).length
  for (let round = 0; round < 10; round += 1) {
    // the first round is the rush: twenty passes at once
    const each = Array.from({ length: round === 0 ? 10 : 1 })
    const both = await Promise.all(each.flatMap(() => [world.tick(), theirs()]))
    for (const { code, stderr } of both) assert.equal(code, 0, stderr)
    assert.ok(world.runners().length <= 1, `${world.runners().length} runners`)
    if (done(world.dropbox) === 12 && done(join(other, 'dropbox')) === 12) break
    await world.drained()
  }
  assert.deepEqual([done(world.dropbox), done(join(other, 'dropbox'))], [12, 12])
  const expected = Array.from({ length: 12 }, (_, n) => [`a${n}`, `b${n}`]).flat()
  assert.deepEqual(readFileSync(counter, 'utf8').trim().split('\n').sort(), expected.sort())
  for (let n = 0; n < 12; n += 1) assert.equal(world.finished(`g${n}`).job.status, 'ok')
  assert.deepEqual(world.jobsLeft(), [])
})
