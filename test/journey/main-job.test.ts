import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { after, test } from 'node:test'
import { World } from '../support/world.ts'

const world = new World()
after(() => world.end())

test('HB-05 HB-26: a dropped job comes back as .finished with its output delivered, and nothing stays on HPC', async () => {
  world.dropCopy('a', world.input('a.txt', 'content'))
  const ran = await world.go()
  assert.equal(ran.code, 0, ran.stderr)
  const { job } = world.finished('a')
  assert.deepEqual([job.status, job.message, job.rc], ['ok', 'processed OK', 0])
  assert.equal(readFileSync(world.out('a'), 'utf8'), 'content')
  assert.deepEqual(world.jobsLeft(), [])
  assert.equal(world.has('a.job.submitted'), false)
})

test('a job that asks for what this version does not do runs, and its result says so', async () => {
  world.drop('told', 'script: true\nnotify: [somebody@example.org]\n')
  await world.go()
  const { job } = world.finished('told')
  assert.deepEqual([job.status, job.warnings], ['ok', ['notify is not honoured by this version: nobody was told']])
})
