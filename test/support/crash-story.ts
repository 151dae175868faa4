/** The story of one job, told with a pass that dies at any of its steps: one result, one run, whole outputs, nothing left over. */
import assert from 'node:assert/strict'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { tickThatDies } from './crash.ts'
import { list, World } from './world.ts'

const atOnce = 6

function makeWorld(): World {
  const world = new World()
  world.template(
    'work',
    `#!/bin/sh\necho run >>${world.dir}/runs\ncp input/<<from>> output/<<file>>\nmkdir output/<<folder>>\ncp input/<<from>> output/<<folder>>/copy\n`,
  )
  mkdirSync(world.out('folder'))
  writeFileSync(join(world.out('folder'), 'old'), 'old')
  writeFileSync(world.out('file'), 'old')
  world.drop(
    'a',
    `script: work\ninput_map: {from: ${world.input('in', 'content')}}\noutput_map: {file: ${world.out('file')}, folder: ${world.out('folder')}}\n`,
  )
  return world
}

/** After the death: passes of others, until the job has ended and its traces are gone. */
async function recover(world: World, what: string): Promise<void> {
  for (let pass = 0; pass < 5 && !world.has('a.job.finished'); pass += 1) {
    await tickThatDies(world.configFile, Number.POSITIVE_INFINITY)
    await world.drained()
  }
  assert.ok(world.has('a.job.finished'), `${what}: no result; ${list(world.dropbox).join(' ')}`)
  // what a death right after the last rename left at the site goes with the next pass, though nothing is in flight
  for (let pass = 0; pass < 3 && world.jobsLeft().length > 0; pass += 1) {
    await tickThatDies(world.configFile, Number.POSITIVE_INFINITY)
  }
  const { job } = world.finished('a')
  assert.deepEqual([job.status, job.message], ['ok', 'processed OK'], what)
  assert.equal(readFileSync(join(world.dir, 'runs'), 'utf8'), 'run\n', `${what}: it ran once`)
  assert.equal(readFileSync(world.out('file'), 'utf8'), 'content', what)
  assert.deepEqual(list(world.out('folder')), ['copy'], what)
  assert.deepEqual(list(join(world.dir, 'out')).sort(), ['file', 'folder'], `${what}: nothing beside the destinations`)
  assert.deepEqual(world.jobsLeft(), [], what)
  assert.deepEqual(
    list(world.dropbox)
      .filter((name) => !/^\.[0-9a-f]{12}\.\d+$/.test(name))
      .sort(),
    ['.hpc', 'a.job.finished'],
    what,
  )
}

/** Every step of one pass: until a pass survives because it has fewer. */
export async function everyStep(what: string, before: (world: World) => Promise<void>): Promise<number> {
  let next = 1
  let last = Number.POSITIVE_INFINITY
  const work = async () => {
    while (next <= last) {
      const at = next
      next += 1
      const world = makeWorld()
      try {
        await before(world)
        const { survived } = await tickThatDies(world.configFile, at)
        if (survived) last = Math.min(last, at)
        await recover(world, `${what}, dead at step ${at}`)
      } finally {
        await world.end()
      }
    }
  }
  await Promise.all(Array.from({ length: atOnce }, work))
  return last
}
