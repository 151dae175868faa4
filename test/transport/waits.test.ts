/** The one thing that decides how long a pass takes over a long line: how often it must wait for an answer before it can go on. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { startCountingProxy } from '../support/counting-proxy.ts'
import { reach, through } from '../support/ssh-site.ts'
import { noSshd, type Sshd, startSshd } from '../support/sshd.ts'
import { cli, list, until, World } from '../support/world.ts'

interface Counted {
  readonly waits: number
  readonly connections: number
  readonly bytes: number
}

describe('dependent waits of a pass over ssh', { skip: noSshd }, () => {
  let sshd: Sshd
  const worlds: World[] = []
  before(async () => {
    sshd = await startSshd()
  })
  after(async () => {
    for (const world of worlds) await world.end()
    await sshd.stop()
  })

  function makeWorld(): World {
    const world = new World()
    worlds.push(world)
    world.template('write', '#!/bin/sh\necho "$HPC_ARG_n" >"<<workspace>>/output/<<out>>"\n')
    return world
  }

  const config = (world: World, port: number) =>
    reach(world, through(sshd, port), { more: '    lanes: {default: {slots: 4}}\n' })

  /** One pass through the proxy. */
  async function counted(world: World): Promise<Counted> {
    const proxy = await startCountingProxy(sshd.port)
    try {
      config(world, proxy.port)
      const ran = await world.tick()
      assert.equal(ran.code, 0, ran.stderr)
      return { waits: proxy.waits, connections: proxy.connections, bytes: proxy.bytes }
    } finally {
      await proxy.stop()
    }
  }

  /** A pass that sends so many jobs, and one that collects at least so many. */
  async function sendAndCollect(jobs: number, results: number): Promise<{ sent: Counted; collected: Counted }> {
    const world = makeWorld()
    // the programs are there already, as on any but the first day
    world.drop('first', 'script: "true"\n')
    await counted(world)
    await world.drained()
    await counted(world)
    for (let n = 0; n < jobs; n++)
      world.drop(
        `j${n}`,
        `script: write\nargs: {n: ${n}}\ninput_map: {in: ${JSON.stringify(world.input(`i${n}`))}}\noutput_map: {out: ${JSON.stringify(world.out(`o${n}`))}}\n`,
      )
    const sent = await counted(world)
    assert.equal(list(world.dropbox).filter((name) => name.endsWith('.submitted')).length, jobs)
    const done = join(world.workspace, 'done')
    await until(
      'the results',
      () => list(done).flatMap((gateway) => list(join(done, gateway))).length >= results,
      180_000,
    )
    const collected = await counted(world)
    const delivered = list(join(world.dir, 'out'))
    assert.ok(delivered.length >= results)
    for (const name of delivered) assert.equal(readFileSync(world.out(name), 'utf8'), `${name.slice(1)}\n`)
    return { sent, collected }
  }

  const most = { sent: 9, collected: 10 }

  /** A process that gets no processor looks as if it waited: such a count is only ever too high, and the lowest of three is taken. */
  async function fewest(jobs: number, results: number): Promise<{ sent: Counted; collected: Counted }> {
    const lower = (a: Counted, b: Counted) => (b.waits < a.waits ? b : a)
    let found = await sendAndCollect(jobs, results)
    for (let more = 2; more > 0; more--) {
      if (found.sent.waits <= most.sent && found.collected.waits <= most.collected) break
      const again = await sendAndCollect(jobs, results)
      found = { sent: lower(found.sent, again.sent), collected: lower(found.collected, again.collected) }
    }
    return found
  }

  it('HB-33: they are as many for hundreds of jobs as for five, on one connection', async (t) => {
    const few = await fewest(5, 5)
    const many = await fewest(500, 100)
    t.diagnostic(JSON.stringify({ few, many }))
    for (const pass of [few.sent, few.collected, many.sent, many.collected]) assert.equal(pass.connections, 1)
    assert.ok(
      many.sent.bytes > 20 * few.sent.bytes && many.collected.bytes > 5 * few.collected.bytes,
      'they did travel',
    )
    assert.equal(many.sent.waits, few.sent.waits)
    assert.equal(many.collected.waits, few.collected.waits)
    // connecting: TCP, who speaks, the keys, the service, the login, the channel, the command; then hello and the last answer
    assert.ok(many.sent.waits <= most.sent, `${many.sent.waits} waits`)
    assert.ok(many.collected.waits <= most.collected, `${many.collected.waits} waits`)
  })

  it('HB-33: a pass on a kept connection waits four times at most, with hundreds of jobs and their results', async (t) => {
    const world = makeWorld()
    const proxy = await startCountingProxy(sshd.port)
    config(world, proxy.port)
    // no pass comes by the clock
    const argv = [cli, 'watch', '--config', world.configFile, '--cron', '0 0 1 1 *']
    const child = spawn(process.execPath, argv, { cwd: world.dir, stdio: ['ignore', 'ignore', 'inherit'] })
    const ended = once(child, 'exit')
    const finished = () => list(world.dropbox).filter((name) => name.endsWith('.finished')).length
    try {
      world.drop('first', 'script: "true"\n')
      await until('the first result', () => finished() === 1, 60_000)
      await world.drained()
      const jobs = 300
      // all are found at once, and what becomes of them meanwhile is heard afterwards
      child.kill('SIGSTOP')
      for (let n = 0; n < jobs; n++)
        world.drop(
          `k${n}`,
          `script: write\nargs: {n: ${n}}\ninput_map: {in: ${JSON.stringify(world.input(`k${n}`))}}\noutput_map: {out: ${JSON.stringify(world.out(`k${n}`))}}\n`,
        )
      const before = proxy.waits
      child.kill('SIGCONT')
      const published = () => list(join(world.workspace, 'control')).length
      await until('the jobs to be there', () => published() >= jobs, 120_000)
      const sent = proxy.waits - before
      await until('all results', () => finished() === jobs + 1, 240_000)
      t.diagnostic(`${sent} waits until the last job was there, ${proxy.waits - before} until the last result was home`)
      assert.ok(sent <= 4, `${sent} waits to send`)
      assert.equal(proxy.connections, 1)
    } finally {
      child.kill('SIGCONT')
      child.kill('SIGTERM')
      await ended
      await proxy.stop()
    }
  })
})
