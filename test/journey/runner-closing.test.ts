/** The closing handshake: jobs published at the very moment a real runner leaves. */
import assert from 'node:assert/strict'
import { after, describe, test } from 'node:test'
import { setTimeout as sleep, setImmediate as turn } from 'node:timers/promises'
import { ensureRunners } from '../../queuer/ensure-runner.ts'
import { seatedRunners } from '../../spool/seat.ts'
import { names, Site, type TestRunner } from '../support/site.ts'
import { until } from '../support/world.ts'

describe('promise 7: nobody and nothing is stranded when a runner leaves', () => {
  // it stays some milliseconds, so that the publications fall before, into and after its leaving
  const site = new Site({ lingerMs: 60 })
  const scheduled = new Site()
  after(async () => {
    await site.end()
    await scheduled.end()
  })

  test('a job is either seen by the leaving runner, or its publisher sees that the runner leaves', async () => {
    const rounds = 25
    let seen = 0
    let runner: TestRunner | undefined
    for (let round = 0; round < rounds; round++) {
      const job = await site.publish()
      // as the queuer counts: the key is written, then the seats are probed and read
      const stays = seatedRunners(site.files, site.lane).some(
        ({ runner: id, leaving }) => !leaving && !site.files.exists(`${site.lane.runner(id)}.end`),
      )
      if (stays) seen += 1
      else {
        await runner?.ended
        runner = site.startRunner()
      }
      // from here on nobody helps
      const end = performance.now() + 20_000
      while (site.result(job) === undefined && performance.now() < end) await turn()
      assert.equal(
        site.attempts(job).length,
        1,
        `round ${round}: ${stays ? 'the runner had not said that it leaves' : 'a new runner'}`,
      )
      const jitter = performance.now() + Math.random() * 160
      while (performance.now() < jitter) await turn()
    }
    await runner?.ended
    assert.equal(site.done().length, rounds)
    assert.ok(seen > 0 && seen < rounds, `both happened: ${seen} of ${rounds} were seen by the runner that was there`)
  })

  test('with the scheduler and the real ensure, one ensure after the publication is enough', async () => {
    const runners = () => names(scheduled.lane.runners).filter((name) => !name.endsWith('.end'))
    for (let round = 0; round < 12; round++) {
      const before = runners().length
      const job = await scheduled.publish()
      const [lane] = (await ensureRunners(scheduled.queuer, scheduled.pass)).lanes
      assert.ok(lane !== undefined && ['none', 'submitted'].includes(lane.action), lane?.trouble)
      await scheduled.finished(job, 20_000)
      assert.equal(scheduled.attempts(job).length, 1)
      assert.ok(runners().length <= before + 1)
      await sleep(Math.random() * 12)
    }
    await until('all runners to leave', () =>
      runners().every((runner) => scheduled.files.exists(`${scheduled.lane.runner(runner)}.end`)),
    )
    assert.deepEqual([scheduled.done().length, scheduled.waiting()], [12, []])
  })
})
