import assert from 'node:assert/strict'
import { readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { list, World } from '../support/world.ts'

const world = new World()
after(() => world.end())

test('the next script starts before the result of the one before is made, however large its output', async () => {
  world.template('large', '#!/bin/sh\ntruncate -s 100M <<workspace>>/output/<<to>>\n')
  for (const name of ['a', 'b', 'c'])
    world.drop(name, `script: large\noutput_map: {to: ${JSON.stringify(world.out(name))}}\n`)
  const ran = await world.tick()
  assert.equal(ran.code, 0, ran.stderr)
  await world.drained()
  const controls = list(join(world.workspace, 'control')).map((id) => join(world.workspace, 'control', id))
  const jobs = controls
    .map((dir) => ({
      startedMs: Date.parse(
        (JSON.parse(readFileSync(join(dir, 'attempts', '1'), 'utf8')) as { startedAt: string }).startedAt,
      ),
      recordedMs: statSync(join(dir, 'result', 'result.json')).mtimeMs,
    }))
    .sort((a, b) => a.startedMs - b.startedMs)
  assert.equal(jobs.length, 3)
  assert.ok((jobs[1]?.startedMs ?? 0) < (jobs[0]?.recordedMs ?? 0), JSON.stringify(jobs))
  assert.ok((jobs[2]?.startedMs ?? 0) < (jobs[1]?.recordedMs ?? 0), JSON.stringify(jobs))
})
