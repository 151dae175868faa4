/** The node under a runner goes: its slurmd killed, the node DOWN, the runner's processes still there. It takes slurmd away. */
import assert from 'node:assert/strict'
import { afterEach, it } from 'node:test'
import { until } from '../support/world.ts'
import { Told } from './faulty-lab.ts'
import { asRoot, cluster, Lab, theCluster } from './lab.ts'

theCluster('a node that is lost while its jobs run', {}, () => {
  let place: Lab
  afterEach(async () => {
    await cluster('up')
    await place.end()
  })

  it('P-HB-21: slurmd killed and the node DOWN while jobs run: what ended there counts, the other is done by a successor, none runs twice at once', async () => {
    place = new Lab({ lane: '{queue: general, memory: 256M, time: 1h, slots: 2}' })
    const told = new Told(place)
    for (const n of ['ends', 'stays']) told.drop(n, n, { waits: true })
    await place.tick()
    for (const n of ['ends', 'stays']) await told.started(n)
    const { id } = await place.allocation('RUNNING')
    await cluster('kill', 'slurmd.cpu001')
    await until(
      'the node to be DOWN',
      async () => /down/.test(await asRoot('sinfo', '-h', '-n', 'cpu001', '-o', '%T')),
      60_000,
    )
    await until('the allocation to end', async () => (await place.allocations())[0]?.state === 'NODE_FAIL')
    // the scheduler has given up, the processes have not: the heartbeat goes on, and nothing is begun a second time
    const [runner] = place.runners()
    assert.ok(runner !== undefined, 'the runner is gone')
    await place.tick()
    told.go('ends')
    await place.finish('ends')
    await place.tick()
    assert.deepEqual([told.starts('ends').length, told.starts('stays').length], [1, 1])
    // slurmd comes back, and ends what it finds of an allocation that is over
    await cluster('up')
    await until('the first runner to be gone', () => !place.runners().includes(runner), 60_000)
    await until('a second start', async () => {
      await place.tick()
      return told.starts('stays').length === 2
    })
    told.go()
    await place.finish('stays')
    const runners = place.runnersOf('stays')
    assert.match(runners[0] ?? '', new RegExp(`~${id}\\.0\\.`))
    assert.equal(new Set(runners).size, 2, runners.join(' '))
    assert.equal(place.finished('ends').job.attempts, 1)
    await told.judge()
  })
})
