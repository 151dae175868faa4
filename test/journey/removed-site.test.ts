/** A site that holds jobs leaves the config: it is said, nothing waits for ever, and nothing is lost when it comes back. */
import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { list, until, World } from '../support/world.ts'

const site = (name: string) =>
  `  ${name}: {transport: {type: local}, scheduler: {type: local}, hpc_env: {workspace: "{dir}/workspace/${name}"}}\n`
const world = new World(
  `dropbox: ./dropbox\ntemplates: ./templates\nstate: ./state\nsettle: 300ms\nsites:\n${site('here')}${site('there')}`,
)
after(() => world.end())

const whole = readFileSync(world.configFile, 'utf8')
const without = whole
  .split('\n')
  .filter((line) => !line.includes(' there:'))
  .join('\n')

const jobsThere = (folder: string) => list(join(world.workspace, 'there', folder))

test('promise 1: jobs of a site that left the config say so, can be cancelled, expire, and go on when it comes back', async () => {
  world.template('wait', `#!/bin/sh\nwhile [ ! -e ${world.dir}/go ]; do sleep 0.1; done; echo done\n`)
  for (const [name, more] of [
    ['kept', ''],
    ['cancelled', ''],
    ['expires', 'expiry: 1s\n'],
  ])
    world.drop(name ?? '', `script: wait\nsite: there\n${more}output_map: {}\n`)
  assert.equal((await world.tick()).code, 0)

  writeFileSync(world.configFile, without)
  const first = await world.tick()
  assert.equal(first.code, 75, first.stderr)
  assert.match(first.stderr, /3 jobs at site "there": it is no longer in the config; put it back, or they end when/)
  const status = await world.cli(['status', '--config', world.configFile])
  assert.match(status.stdout, /site there: trouble: it is no longer in the config/)
  assert.match(status.stdout, /kept +scheduled +there {2}its site is no longer in the config: put it back, or/)

  writeFileSync(`${world.dropbox}/cancelled.job.cancel`, '')
  await until('the expiry to run out', async () => {
    await world.tick()
    return world.has('expires.job.finished')
  })
  assert.match(
    world.finished('expires').job.message,
    /"there" did not answer until the job's expiry of 1s ran out \(it is no longer in the config\)/,
  )
  assert.deepEqual(
    [world.finished('cancelled').job.state, world.has('cancelled.job.submitted'), world.has('kept.job.submitted')],
    ['cancelled', false, true],
  )

  // it comes back: what it holds goes on, and it is told of what ended meanwhile
  writeFileSync(world.configFile, whole)
  assert.equal((await world.tick()).code, 0)
  writeFileSync(`${world.dir}/go`, '')
  await until('the result', async () => {
    await world.tick()
    return world.has('kept.job.finished')
  })
  assert.equal(world.finished('kept').job.stdout, 'done\n')
  await until('the site to hold nothing', async () => {
    await world.tick()
    return world.runners().length === 0 && [...jobsThere('jobs'), ...jobsThere('control')].length === 0
  })

  writeFileSync(world.configFile, without)
  const last = await world.tick()
  assert.equal(last.code, 0, 'a site without jobs of ours is nobody’s trouble')
})
