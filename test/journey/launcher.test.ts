/** A launcher of scripts that does not come up is the machine's trouble: it ends no job. */
import assert from 'node:assert/strict'
import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { list, until, World } from '../support/world.ts'

const world = new World()
after(() => world.end())

test('promise 3: a job whose launcher was killed as it came up goes back to the queue, and runs in another runner', async () => {
  world.template('wait', `#!/bin/sh\n: >${world.dir}/started\nwhile [ ! -e ${world.dir}/go ]; do sleep 0.05; done\n`)
  world.template('heavy', '#!/bin/sh\necho done\n')
  world.drop('first', 'script: wait\n')
  await world.tick()
  await until('the first to run', () => existsSync(join(world.dir, 'started')))
  // so much in its values that it gets a launcher of its own, which ends at once
  const words = 'x'.repeat(60_000)
  world.drop('second', `script: heavy\nargs: {a: ${words}, b: ${words}}\n`)
  await world.tick()
  const lane = join(world.workspace, 'lanes', list(join(world.workspace, 'lanes'))[0] ?? '')
  const file = list(lane).find((name) => name.startsWith('job-wrapper.'))
  assert.ok(file !== undefined, list(lane).join(' '))
  writeFileSync(join(lane, file), 'kill -KILL $$\n')
  writeFileSync(join(world.dir, 'go'), '')
  await until('both results', async () => {
    await world.drained()
    await world.tick()
    return world.has('first.job.finished') && world.has('second.job.finished')
  })
  const { job } = world.finished('second')
  assert.deepEqual([job.status, job.stdout, job.attempts], ['ok', 'done\n', 2], JSON.stringify(job))
  assert.match(JSON.stringify(job.history), /attempt 1 on [^"]*: never-started"/)
})
