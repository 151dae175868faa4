/** Jobs that kill their runners, jobs that are too long, nodes that are not fit: what the caller reads at the end, and what it cost the others. */
import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, describe, test } from 'node:test'
import { list, type Result, until, World } from '../support/world.ts'

const config = (lane: string) => `dropbox: ./dropbox
templates: ./templates
state: ./state
settle: 300ms
sites:
  here:
    transport: {type: local}
    scheduler: {type: local}
    hpc_env: {workspace: "{dir}/workspace"}
    lanes: {default: {${lane}}}
`

/** Passes until there is a result; each runner is let to its end, however that is. */
async function finished(world: World, ...names: string[]): Promise<void> {
  await until(
    `results of ${names.join(', ')}`,
    async () => {
      await world.tick()
      await world.drained()
      return names.every((name) => world.has(`${name}.job.finished`))
    },
    240_000,
  )
}

describe('a job that kills its runner', () => {
  const world = new World(config('time: 1h'))
  after(() => world.end())

  test('P-HB-21 promise 3: it ends as aborted after max_attempts, with node, allocation and its last lines; the others are served', async () => {
    world.template(
      'poison',
      `#!/bin/sh\necho "loading" ; echo "CUDA error: unspecified launch failure" >&2; echo x >>${world.dir}/starts
for f in ${world.workspace}/lanes/*/runners/*; do
  case $f in *.end) continue ;; esac
  [ -e "$f.end" ] || kill -9 $(sed 's/.*"pid":\\([0-9]*\\).*/\\1/' "$f")
done
kill -9 $PPID 0\n`,
    )
    world.template('good', `#!/bin/sh\necho x >>${world.dir}/good-starts; echo fine\n`)
    world.drop('poison', 'script: poison\nmax_attempts: 2\n')
    world.drop('good', 'script: good\n')
    await finished(world, 'poison', 'good')
    const { job } = world.finished('poison')
    assert.deepEqual([job.status, job.state, job.rc, job.attempts], ['error', 'aborted', null, 2])
    assert.match(
      job.message,
      /died with its allocation .* 2 times \(max_attempts\), the last on node \S+ in allocation default-\S+~\d+\.0\.\w+; it is not started again\. Its last lines: CUDA error: unspecified launch failure$/,
    )
    assert.deepEqual([job.stdout, job.stderr], ['loading\n', 'CUDA error: unspecified launch failure\n'])
    const died = job.history.filter((event: Result) => /died-alone/.test(event.note ?? ''))
    assert.equal(died.length, 2, JSON.stringify(job.history))
    assert.equal(world.finished('good').job.stdout, 'fine\n')
    const lines = (name: string) =>
      list(world.dir).includes(name) && readFileSync(join(world.dir, name), 'utf8').trim().split('\n').length
    assert.deepEqual([lines('starts'), lines('good-starts')], [2, 1])
    assert.deepEqual(list(join(world.workspace, 'queue', list(join(world.workspace, 'queue'))[0] ?? '')), [])
  })
})

describe('a job longer than its lane', () => {
  const world = new World(config('time: 1h, margin: 10m'))
  after(() => world.end())

  test('P-HB-21: is refused at once by its own time or its template’s, before any queue; one that just fits is not', async () => {
    world.template('long', '#!/bin/sh\n# hpc: time=2h\ntrue\n')
    world.template('fits', '#!/bin/sh\n# hpc: time=50m\ntrue\n')
    world.drop('own', 'script: true\nresources: {time: 51m}\n')
    world.drop('template', 'script: long\n')
    const ran = await world.tick()
    assert.equal(ran.code, 0, ran.stderr)
    for (const [name, time] of [
      ['own', '51m'],
      ['template', '2h'],
    ] as const)
      assert.match(
        world.finished(name).job.message,
        new RegExp(`fit no lane; the nearest is lane here/default: time ${time} is more than the 50m it offers`),
      )
    assert.deepEqual(list(world.workspace), [], 'no site was asked')
    // what the job says goes before what its template says
    world.drop('shorter', 'script: long\nresources: {time: 5m}\n')
    world.drop('fits', 'script: fits\n')
    assert.equal((await world.go()).code, 0)
    for (const name of ['shorter', 'fits']) assert.equal(world.finished(name).job.status, 'ok')
  })
})

describe('a node that is not fit', () => {
  const world = new World(config('time: 1h, preflight: "[ -e {dir}/driver ] || { echo no driver >&2; exit 5; }"'))
  after(() => world.end())

  test('section 4: it is named and left by a failed preflight, no job is burnt, and three in a row make the lane wait', async () => {
    world.drop('a', 'script: true\n')
    const said: string[] = []
    for (let failed = 1; failed <= 3; failed++) {
      const ran = await world.tick()
      said.push(ran.stderr)
      await world.drained()
    }
    const fourth = await world.tick()
    assert.equal(world.runners().length, 0, 'none is asked for now')
    assert.match(
      said.join(''),
      /the last runner failed to start: preflight failed on \S+ with 5: no driver; another one is asked for/,
    )
    assert.match(
      fourth.stderr,
      /3 runners in a row failed to start: preflight failed on \S+ with 5: no driver; next try/,
    )
    const status = await world.cli(['status', '--config', world.configFile])
    assert.match(status.stdout, /a +scheduled .*preflight failed on \S+ with 5: no driver/)
    assert.equal(list(join(world.workspace, 'control')).length, 1)
    for (const id of list(join(world.workspace, 'control')))
      assert.deepEqual(list(join(world.workspace, 'control', id, 'attempts')), [], 'no attempt was used up')
  })

  test('section 4: the next node that is fit runs the job, whose history knows of no failed attempt', async () => {
    writeFileSync(join(world.dir, 'driver'), '')
    // a changed lane is another one: nobody waits out the back-off of a config that was mended
    const mended = config('time: 2h, preflight: "[ -e {dir}/driver ]"').replaceAll('{dir}', world.dir)
    writeFileSync(world.configFile, mended)
    await finished(world, 'a')
    assert.deepEqual([world.finished('a').job.status, world.finished('a').job.attempts], ['ok', 1])
  })
})
