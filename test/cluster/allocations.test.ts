/** What a scheduler does to allocations, and how a lane gets its jobs done all the same. Nothing here disturbs the cluster itself. */
import assert from 'node:assert/strict'
import { existsSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, it } from 'node:test'
import { list, until } from '../support/world.ts'
import { asAccount, asRoot, gate, Lab, type LabOptions, theCluster } from './lab.ts'

const labs: Lab[] = []
function lab(options: LabOptions = {}): Lab {
  const made = new Lab(options)
  labs.push(made)
  return made
}

theCluster('allocations', { concurrency: 5 }, () => {
  after(async () => {
    for (const each of labs) await each.end()
  })

  it('HB-19: a warning on the stderr of squeue neither hides a runner nor stands for one', async () => {
    const place = lab()
    writeFileSync(place.configFile, place.config({ site: `node: ${place.nodeWithOwnTools()}` }))
    const seen = join(place.folder, 'seen')
    place.program(
      'squeue',
      `#!/bin/sh\necho >>${seen}\necho 'squeue: warning: maintenance tonight' >&2\nexec /usr/bin/squeue "$@"\n`,
    )
    const dir = gate(place)
    place.drop('a', 'script: gated\n')
    assert.equal((await place.look()).sites[0].lanes[0].action, 'submitted')
    await until('the job to run', () => list(dir).includes('started'))
    place.drop('b', 'script: gated\n')
    assert.equal((await place.look()).sites[0].lanes[0].action, 'none')
    assert.ok(existsSync(seen))
    writeFileSync(join(dir, 'go'), '')
    await place.finish('b')
    assert.equal((await place.allocations()).length, 1)
  })

  it('P-HB-18: a lane whose time the partition never grants says so, and its jobs run when the config is mended', async () => {
    const place = lab({ lane: '{queue: general, memory: 256M, time: 2d}' })
    place.drop('a', 'script: "true"\n')
    assert.equal((await place.look()).sites[0].lanes[0].action, 'submitted')
    let lane: { trouble?: string; action?: string } = {}
    await until('the reason', async () => {
      lane = (await place.look()).sites[0].lanes[0]
      return lane.trouble !== undefined
    })
    assert.match(
      lane.trouble ?? '',
      /will not start by itself \(PartitionTimeLimit\): time 2d is above the limit of partition general: lower lanes\.default\.time/,
    )
    assert.match(await place.status(), /PartitionTimeLimit.*lower lanes\.default\.time/)
    assert.equal((await place.live()).length, 1)
    writeFileSync(place.configFile, place.config({ lane: '{queue: general, memory: 256M, time: 1h}' }))
    await place.finish('a')
    assert.equal(place.finished('a').job.status, 'ok')
    // the allocation that could never start does not stay behind
    await place.drained()
  })

  it('P-MI-03: check names a lane whose queue the site does not have, and the queues it has', async () => {
    const place = lab({ lane: '{queue: nosuch, time: 1h}' })
    const ran = await place.cli(['check', '--config', place.configFile])
    assert.equal(ran.code, 69, ran.stderr)
    assert.match(
      ran.stdout,
      /BAD {3}lane default: there is no queue "nosuch"\n +→ queues here: .*general.*lanes\.default\.queue/,
    )
  })

  for (const [what, lane, words] of [
    ['an unknown partition', '{queue: nosuch, time: 1h}', /Invalid partition name specified/],
    [
      'a resource no node has',
      '{queue: dl, gres: "gpu:v200:1", time: 1h}',
      /Requested node configuration is not available/,
    ],
  ] as const) {
    it(`P-HB-18: ${what} is told in the scheduler’s own words, tried three times, and then less often`, async () => {
      const place = lab({ lane })
      place.drop('a', 'script: "true"\n')
      for (let attempt = 1; attempt <= 3; attempt++) {
        const [tried] = (await place.look()).sites[0].lanes
        assert.equal(tried.action, 'refused')
        assert.match(tried.trouble, words)
      }
      const { sites } = await place.look()
      assert.equal(sites[0].lanes[0].action, 'back-off')
      assert.match(sites[0].lanes[0].trouble, /3 runners in a row failed to start: /)
      assert.match(sites[0].lanes[0].trouble, words)
      assert.match(sites[0].lanes[0].trouble, /next try in \d+ s/)
      assert.ok(place.has('a.job.submitted'))
      assert.deepEqual(await place.live(), [])
      writeFileSync(place.configFile, place.config({}))
      await place.finish('a')
      assert.equal(place.finished('a').job.status, 'ok')
    })
  }

  it('P-HB-21: an allocation cancelled while it works gives its job back, and a new runner finishes it', async () => {
    const place = lab()
    const dir = gate(place)
    place.drop('a', 'script: gated\n')
    await place.tick()
    const { id } = await place.allocation('RUNNING')
    await until('the job to run', () => list(dir).includes('started'))
    assert.equal((await asAccount(['scancel', id])).code, 0)
    await place.drained()
    assert.ok(place.has('a.job.submitted'))
    writeFileSync(join(dir, 'go'), '')
    await place.finish('a')
    const { job } = place.finished('a')
    assert.deepEqual([job.status, job.attempts], ['ok', 2], JSON.stringify(job))
    assert.equal(new Set(place.runnersOf('a')).size, 2)
    assert.match(JSON.stringify(job.history), /: interrupted"/)
    assert.equal((await place.allocations()).length, 2)
  })

  it('P-HB-18: an allocation cancelled while it waits is asked for again', async () => {
    const place = lab({ scheduler: '{type: slurm, options: ["--begin=now+3600"]}' })
    place.drop('a', 'script: "true"\n')
    await place.tick()
    const { id } = await place.allocation('PENDING')
    assert.equal((await place.look()).sites[0].lanes[0].action, 'none')
    await asRoot('scancel', id)
    await place.drained()
    assert.equal((await place.look()).sites[0].lanes[0].action, 'submitted')
    const again = await place.allocation('PENDING')
    assert.notEqual(again.id, id)
    await asRoot('scontrol', 'update', `jobid=${again.id}`, 'starttime=now')
    await place.finish('a')
    assert.equal(place.finished('a').job.attempts, 1)
  })

  it('P-HB-21: an allocation that Slurm requeues goes on as another runner, and no second one is asked for', async () => {
    const place = lab()
    const dir = gate(place)
    place.drop('a', 'script: gated\n')
    await place.tick()
    const { id } = await place.allocation('RUNNING')
    await until('the job to run', () => list(dir).includes('started'))
    await asRoot('scontrol', 'update', `jobid=${id}`, 'requeue=1')
    await asRoot('scontrol', 'requeue', id)
    await place.allocation('PENDING')
    assert.equal((await place.look()).sites[0].lanes[0].action, 'none')
    writeFileSync(join(dir, 'go'), '')
    await asRoot('scontrol', 'update', `jobid=${id}`, 'starttime=now')
    await place.finish('a')
    const { job } = place.finished('a')
    assert.deepEqual([job.status, job.attempts], ['ok', 2], JSON.stringify(job))
    assert.deepEqual(
      place.runnersOf('a').map((runner) => /~(\d+\.\d+)\./.exec(runner)?.[1]),
      [`${id}.0`, `${id}.1`],
    )
    assert.equal((await place.allocations()).length, 1)
  })

  it('P-HB-18: a folder for logs that a cleaner has taken is made again', async () => {
    const place = lab()
    place.drop('a', 'script: "true"\n')
    await place.finish('a')
    for (const lane of list(join(place.workspace, 'lanes')))
      rmSync(join(place.workspace, 'lanes', lane, 'logs'), { recursive: true })
    place.drop('b', 'script: "true"\n')
    await place.finish('b')
    assert.equal(place.finished('b').job.status, 'ok')
  })

  it('P-GW-08: workers without Node are the site’s trouble, told with the line to set, and cost no job', async () => {
    const place = lab()
    const node = place.program('node', `#!/bin/sh\n[ -z "$SLURM_JOB_ID" ] || exit 127\nexec ${process.execPath} "$@"\n`)
    writeFileSync(place.configFile, place.config({ site: `node: ${node}` }))
    place.drop('a', 'script: "true"\n')
    for (let attempt = 1; attempt <= 3; attempt++) {
      assert.equal((await place.look()).sites[0].lanes[0].action, 'submitted')
      await place.drained()
    }
    const [lane] = (await place.look()).sites[0].lanes
    assert.equal(lane.action, 'back-off')
    assert.match(
      lane.trouble,
      /3 runners in a row failed to start: .*no Node 18 or newer on \S+: set node: of this site/s,
    )
    assert.ok(place.has('a.job.submitted'))
    assert.equal((await place.allocations()).length, 3)
  })

  it('P-GW-08: a login node without Node is the site’s trouble too', async () => {
    const place = lab({ site: 'node: /nonexistent/node' })
    place.drop('a', 'script: "true"\n')
    const ran = await place.tick()
    assert.equal(ran.code, 75, ran.stderr)
    assert.match(
      ran.stderr,
      /node: \/nonexistent\/node does not run; no Node 18 or newer on \S+: set node: of this site/,
    )
    assert.ok(place.has('a.job.submitted'))
    writeFileSync(place.configFile, place.config({}))
    await place.finish('a')
    assert.equal(place.finished('a').job.status, 'ok')
  })
})
