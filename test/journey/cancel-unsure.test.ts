/** Cancelling a job that an earlier pass may have sent: whoever holds its site's lock finds out, and the result tells the truth. */
import assert from 'node:assert/strict'
import { existsSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { list, until, World } from '../support/world.ts'

const worlds: World[] = []
after(async () => {
  for (const world of worlds) await world.end()
})
function made(config?: string): World {
  const world = new World(config)
  worlds.push(world)
  world.template('wait', `#!/bin/sh\n: >${world.dir}/started\nwhile [ ! -e ${world.dir}/go ]; do sleep 0.05; done\n`)
  return world
}
const cancel = (world: World) => writeFileSync(join(world.dropbox, 'a.job.cancel'), '')

test('HB-30: a job that runs, and of which no pass remembers that it was sent, is ended there, and its result tells of its start', async () => {
  const world = made()
  world.drop('a', 'script: wait\n')
  await world.tick()
  await until('its start', () => existsSync(join(world.dir, 'started')))
  // as after a pass that died before it could note what it had sent
  rmSync(join(world.dir, 'state', 'pending.json'))
  cancel(world)
  await until('the result', async () => {
    await world.tick()
    return world.has('a.job.finished')
  })
  const { job } = world.finished('a')
  assert.deepEqual([job.state, job.attempts, job.message], ['cancelled', 1, 'The job was cancelled on request'])
  assert.ok(job.history.some(({ state }: { state: string }) => state === 'running'))
  await world.drained()
  await world.tick()
  assert.deepEqual(world.jobsLeft(), [])
})

test('HB-30: one that its site does not have was never sent, and its result says so', async () => {
  const world = made()
  world.drop('a', 'script: wait\n')
  // nobody asks the site: the job is accepted, and noted as one that may have been sent
  const text = `dropbox: ./dropbox\ntemplates: ./templates\nstate: ./state\nsites: {here: {transport: {type: local}, scheduler: {type: local}, hpc_env: {workspace: ${world.workspace}}}}\n`
  writeFileSync(
    world.configFile,
    text.replace('{type: local}, scheduler', '{type: ssh, host: 127.0.0.1, port: 1, user: nobody}, scheduler'),
  )
  assert.notEqual((await world.tick()).code, 0)
  assert.ok(world.has('a.job.submitted'))
  writeFileSync(world.configFile, text)
  // the site rests after its failure; its state forgotten, it is asked at once
  rmSync(join(world.dir, 'state', 'sites'), { recursive: true })
  cancel(world)
  await world.tick()
  const { job } = world.finished('a')
  assert.deepEqual([job.state, job.attempts, job.message], ['cancelled', 0, 'The job was cancelled before it was sent'])
  assert.deepEqual(list(join(world.dir, 'state', 'reserved')), [])
  assert.ok(!world.has('a.job.cancel'))
})

test('HB-30: where the site does not answer the job ends at once, and the result says that the site is to be told', async () => {
  const world = made(
    'dropbox: ./dropbox\ntemplates: ./templates\nstate: ./state\nsites: {far: {transport: {type: ssh, host: 127.0.0.1, port: 1, user: nobody}, scheduler: {type: slurm}, hpc_env: {workspace: /nowhere}}}\n',
  )
  world.drop('a', 'script: wait\n')
  assert.notEqual((await world.tick()).code, 0)
  cancel(world)
  await world.tick()
  const { job } = world.finished('a')
  assert.equal(job.state, 'cancelled')
  assert.match(
    job.message,
    /^The job was cancelled; its site "far" does not answer and is to be told, as it may have been sent$/,
  )
  assert.equal(list(join(world.dir, 'state', 'withdraw', 'far')).length, 1)
  assert.ok(!world.has('a.job.cancel'))
})
