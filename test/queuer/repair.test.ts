/** Why the job of a runner on a far node, which is only ever seen to be silent and gone, is said to have ended; on real files. */
import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { makeIdentity, makeRunnerId } from '../../contract/spool.ts'
import type { AllocationEnd, AllocationState, JobRecord } from '../../contract/spool-records.ts'
import { noteDeadRunners, returnKeys } from '../../queuer/repair.ts'
import { Site, type TestJob } from '../support/site.ts'

/** What the scheduler's books say of the one allocation at a look: it lives, what ended it, nothing any more, or no answer at all. */
type Said = AllocationState | AllocationEnd | 'nothing' | 'no answer'
const nonce = 'aaaaaaaa'
const other = randomUUID()
const ends: readonly string[] = ['cancelled', 'preempted', 'walltime'] satisfies AllocationEnd[]

/** A runner, of that start of its allocation, that holds these jobs and has begun them. */
async function hold(site: Site, jobs: readonly TestJob[], restart = 0) {
  const { files, lane, spool } = site
  const runner = makeRunnerId(site.shape.lane, '7', restart, nonce)
  files.publish(lane.runner(runner), JSON.stringify({ nonce, runner, node: 'far', bootId: 'far', nativeId: '7' }))
  files.publish(lane.heartbeat(runner), '000000000001 000000000000\n')
  files.makeFolder(spool.running(runner))
  const held: JobRecord[] = []
  for (const one of jobs) {
    const job = await site.publish(one)
    files.move(join(spool.queue(site.shape.lane), job.key), join(spool.running(runner), job.key))
    const attempt = { nonce: 'a', attempt: 1, runner, node: 'far', bootId: 'far', startedAt: '', uptimeMs: 0 }
    files.createExclusive(spool.control(job.id).attempt(1), JSON.stringify(attempt))
    held.push(job)
  }
  return { runner, held, causes: () => held.map((job) => site.attempts(job)[0]?.end?.cause) }
}

async function look(site: Site, said: Said, seconds: number, gateway = site.gateway): Promise<string[]> {
  const identity = makeIdentity(site.pass.workspace, site.shape.lane, nonce)
  const isLive = !ends.includes(said) && said !== 'nothing' && said !== 'no answer'
  const allocations = isLive ? [{ nativeId: '7', identity, state: said as AllocationState }] : []
  const cancel = noteDeadRunners(
    site.queuer,
    { ...site.pass, gateway, observer: { bootId: 'gateway', ms: seconds * 1000 } },
    site.shape.lane,
    'slurm',
    said === 'no answer' ? { certain: false, why: 'it is down' } : { certain: true, value: allocations },
    ends.includes(said) ? [{ identity, end: said as AllocationEnd }] : [],
  )
  await returnKeys(site.queuer)
  return cancel
}

async function withSite(act: (site: Site) => Promise<void>): Promise<void> {
  const site = new Site()
  try {
    await act(site)
  } finally {
    await site.end()
  }
}

describe('noteDeadRunners() and returnKeys()', () => {
  for (const [said, cause] of [
    ['cancelled', 'interrupted'],
    ['preempted', 'preempted'],
    ['walltime', 'walltime'],
    ['nothing', 'died-alone'],
  ] as const)
    test(`promise 3: books that said "${said}" once and then forgot, long before the runner is proven dead: ${cause}`, () =>
      withSite(async (site) => {
        const { runner, causes } = await hold(site, [{}])
        await look(site, 'running', 0)
        await look(site, 'ending', 30)
        await look(site, said, 60)
        await look(site, 'no answer', 120)
        await look(site, 'nothing', 299)
        assert.deepEqual(causes(), [undefined])
        await look(site, 'nothing', 300)
        assert.deepEqual(causes(), [cause])
        const end = JSON.parse(readFileSync(`${site.lane.runner(runner)}.end`, 'utf8'))
        assert.deepEqual([end.how, end.allocation], ['dead', said === 'nothing' ? undefined : said])
      }))

  test('promise 3: a TERM that the scheduler gave while the runner stood still ends the attempt as the books say, not the job', () =>
    withSite(async (site) => {
      const { held, causes } = await hold(site, [{}, {}])
      for (const job of held)
        site.files.createExclusive(site.spool.control(job.id).exit(1), 'start 1.00\nTerminated\nrc 143 2.00\nend\n')
      for (const seconds of [0, 200, 300]) await look(site, 'cancelled', seconds)
      assert.deepEqual(causes(), ['interrupted', 'interrupted'])
      assert.deepEqual([site.waiting().length, site.done().length], [2, 0])
    }))

  test('promise 3: jobs that were interrupted together are told so; they need not run alone', () =>
    withSite(async (site) => {
      const { causes } = await hold(site, [{}, {}])
      for (const seconds of [0, 200, 300]) await look(site, 'preempted', seconds)
      assert.deepEqual(causes(), ['preempted', 'preempted'])
    }))

  test('promise 3: what another gateway saw counts', () =>
    withSite(async (site) => {
      const { causes } = await hold(site, [{}])
      await look(site, 'running', 0)
      await look(site, 'cancelled', 10, other)
      for (const seconds of [250, 310]) await look(site, 'nothing', seconds)
      assert.deepEqual(causes(), ['interrupted'])
    }))

  test('promise 3: an allocation that we cancelled ourselves, as its runner was silent, is no interruption', () =>
    withSite(async (site) => {
      const { causes } = await hold(site, [{}])
      await look(site, 'running', 0)
      assert.deepEqual(await look(site, 'running', 900), ['7'])
      for (const seconds of [960, 1020]) await look(site, 'cancelled', seconds)
      assert.deepEqual(causes(), ['died-alone'])
    }))

  test('promise 3: a requeued allocation that is cancelled later: the start before died with its node', () =>
    withSite(async (site) => {
      const first = await hold(site, [{}])
      await look(site, 'running', 0)
      await look(site, 'pending', 60)
      for (const seconds of [120, 310, 370]) await look(site, 'cancelled', seconds)
      assert.deepEqual(first.causes(), ['died-alone'])
    }))

  test('promise 3: of two starts of an allocation only the last is ended by its cancel', () =>
    withSite(async (site) => {
      const [first, second] = [await hold(site, [{}]), await hold(site, [{}], 1)]
      await look(site, 'running', 0)
      for (const seconds of [60, 300]) await look(site, 'cancelled', seconds)
      assert.deepEqual([first.causes(), second.causes()], [['died-alone'], ['interrupted']])
    }))
})
