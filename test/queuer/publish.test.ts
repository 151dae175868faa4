import assert from 'node:assert/strict'
import { mkdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import type { JobRecord } from '../../contract/spool-records.ts'
import { locate } from '../../queuer/audit.ts'
import { cancelJob } from '../../queuer/cancel.ts'
import { cleanJob, sweep } from '../../queuer/clean.ts'
import { checkRecord, publishJob } from '../../queuer/publish.ts'
import { readResult } from '../../spool/attempt.ts'
import { CrashingOs } from '../support/crashing-os.ts'
import { names, Site } from '../support/site.ts'

const inputs = { a: 'one', 'b c': 'two' }

function assertPublished(site: Site, record: JobRecord): void {
  const dir = site.spool.workDir(record.id, 1)
  assert.deepEqual(names(site.spool.jobs), [record.id])
  assert.deepEqual(names(dir), ['a', 'b c', 'input', 'output'])
  assert.equal(readFileSync(join(dir, 'b c'), 'utf8'), 'two')
  assert.deepEqual(site.waiting(), [record.key])
  assert.deepEqual(names(site.spool.stagings), [])
  assert.deepEqual(JSON.parse(readFileSync(site.spool.control(record.id).record, 'utf8')), record)
}

for (const lost of ['change', 'answer'] as const) {
  test(`promise 1: publishing, stopped at any change (its ${lost} lost) and called again, publishes exactly once`, async () => {
    let steps = 0
    for (let crashAt = 1; ; crashAt++) {
      const crashing = new CrashingOs()
      const site = new Site({}, crashing.os)
      const record = site.record({ inputs })
      const staged = site.staged(record, inputs)
      crashing.lost = lost
      crashing.crashAt = crashing.count + crashAt
      let crashed = false
      await publishJob(site.queuer, staged, record).catch(() => {
        crashed = true
      })
      crashing.crashAt = Number.POSITIVE_INFINITY
      await publishJob(site.queuer, staged, record)
      assertPublished(site, record)
      await site.end()
      if (!crashed) break
      steps += 1
    }
    assert.ok(steps > 15, `${steps} steps`)
  })

  test(`HB-31: cleaning, stopped at any change (its ${lost} lost) and called again, leaves nothing behind`, async () => {
    let steps = 0
    for (let crashAt = 1; ; crashAt++) {
      const crashing = new CrashingOs()
      const site = new Site({}, crashing.os)
      const record = await site.publish({ inputs })
      site.files.removeTree(join(site.spool.queue(record.lane), record.key))
      site.files.createExclusive(join(site.spool.done(site.gateway), record.key), '')
      site.files.makeFolder(site.spool.workDir(record.id, 3))
      for (const n of [1, 2, 3]) site.files.createExclusive(site.spool.control(record.id).attempt(n), '{}')
      crashing.lost = lost
      crashing.crashAt = crashing.count + crashAt
      let crashed = false
      try {
        cleanJob(site.queuer, site.gateway, record.id, record.key, 0)
        crashed = crashing.count >= crashing.crashAt
      } catch {
        crashed = true
        crashing.crashAt = Number.POSITIVE_INFINITY
        // only a key that is still there is asked to be cleaned again
        assert.ok(site.done().length === 1 || names(site.spool.controls).length === 0)
        if (site.done().length === 1) cleanJob(site.queuer, site.gateway, record.id, record.key, 0)
      }
      crashing.crashAt = Number.POSITIVE_INFINITY
      sweep(site.queuer)
      for (const dir of [site.spool.jobs, site.spool.controls, site.spool.trash, site.spool.done(site.gateway)])
        assert.deepEqual(names(dir), [], `${dir} after a crash at ${crashAt}`)
      await site.end()
      if (!crashed) break
      steps += 1
    }
    assert.ok(steps > 8, `${steps} steps`)
  })
}

test('checkRecord() lets no path, no foreign key and no doubled name through', () => {
  const site = new Site()
  const good = site.record({ inputs: { in: 'x' }, outputs: ['o'] })
  const file = { path: 'x', size: 1, sha256: '', mode: 0 }
  assert.equal(checkRecord(good), undefined)
  const bad: Partial<JobRecord>[] = [
    { format: 99 },
    { id: '../../etc' },
    { key: good.key.replace(/.$/, 'z') },
    { lane: '../x' },
    { lane: 'a/b' },
    { gateway: '..' },
    { inputs: { a: { ...file, path: '../x' } } },
    { inputs: { a: { ...file, path: '..' } } },
    { inputs: { a: file, b: file } },
    { outputs: { a: { name: 'a/b', optional: false } } },
    { outputs: { a: { name: 'o', optional: false }, b: { name: 'o', optional: false } } },
  ]
  for (const change of bad) assert.notEqual(checkRecord({ ...good, ...change }), undefined, JSON.stringify(change))
  return site.end()
})

describe('cleanJob()', () => {
  test('HB-31 P-HB-23: removes sockets, pipes, links (not their targets), folders without rights and very deep ones', async () => {
    const site = new Site()
    const sh = `#!/bin/bash
      mkfifo output/pipe; python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind("output/socket")'
      ln -s ${site.dir}/precious output/link; ln -s ${site.dir} output/folder
      mkdir -p locked/in; echo x >locked/in/file; chmod 0 locked/in/file locked/in locked
      for i in $(seq 300); do mkdir $(printf 'd%.0s' {1..60}); cd $(printf 'd%.0s' {1..60}); done; echo deep >file
      cd <<workspace>>; chmod 0 output .`
    const job = await site.publish({ template: sh })
    mkdirSync(join(site.dir, 'precious'))
    await site.drain()
    assert.equal(site.result(job)?.rc, 0, site.stderr(job))
    const other = await site.publish()
    cleanJob(site.queuer, site.gateway, job.id, job.key, 0)
    assert.deepEqual([names(site.spool.jobs), names(site.spool.trash), site.done()], [[other.id], [], []])
    assert.ok(names(site.dir).includes('precious'))
    await site.end()
  })

  test('keeps results until their day has passed, and only those', async () => {
    const site = new Site()
    const day = 24 * 3_600_000
    const jobs = [await site.publish(), await site.publish()]
    await site.drain()
    for (const [i, job] of jobs.entries()) cleanJob(site.queuer, site.gateway, job.id, job.key, (i + 1) * day)
    const kept = () => names(site.spool.kept).flatMap((date) => names(join(site.spool.kept, date)))
    assert.deepEqual(kept().sort(), jobs.map(({ id }) => id).sort())
    assert.deepEqual([names(site.spool.controls), site.done()], [[], []])
    const later = { ...site.queuer, clock: { ...site.queuer.clock, now: () => Date.now() + 2.5 * day } }
    sweep({ ...later, clock: { ...later.clock, now: () => Date.now() + day + day / 2 } })
    assert.ok(kept().includes(jobs[1]?.id ?? ''))
    sweep({ ...later, clock: { ...later.clock, now: () => Date.now() + 4 * day } })
    assert.deepEqual(kept(), [])
    await site.end()
  })

  test('--nocleanup leaves everything but the key', async () => {
    const site = new Site()
    const job = await site.publish()
    await site.drain()
    cleanJob(site.queuer, site.gateway, job.id, job.key, -1)
    assert.deepEqual([names(site.spool.jobs), names(site.spool.controls), site.done()], [[job.id], [job.id], []])
    await site.end()
  })

  test('sweep() drops an upload whose job is published, and keeps one that still comes', async () => {
    const site = new Site()
    const published = await site.publish()
    site.staged(published, { in: 'x' })
    const coming = site.record()
    site.staged(coming, { in: 'x' })
    sweep(site.queuer)
    assert.deepEqual(
      names(site.spool.stagings).map((name) => name.split('.')[0]),
      [coming.id],
    )
    await site.end()
  })
})

describe('locate()', () => {
  const dead = 'default-1~1.0.gone'
  const attempt = (runner: string, more: object = {}) =>
    JSON.stringify({
      nonce: 'n',
      attempt: 1,
      runner,
      node: 'n1',
      bootId: 'other',
      startedAt: new Date().toISOString(),
      uptimeMs: 0,
      ...more,
    })

  async function lost(act: (site: Site, job: JobRecord) => void) {
    const site = new Site()
    const job = await site.publish()
    site.files.remove(join(site.spool.queue(job.lane), job.key))
    act(site, job)
    const located = await locate(site.queuer, job.id)
    const again = await locate(site.queuer, job.id)
    const seen = {
      ...located,
      again: again.where,
      waiting: site.waiting().length,
      done: site.done().length,
      result: readResult(site.files, site.spool.control(job.id)),
    }
    await site.end()
    return seen
  }

  test('section 5: a lost key of a job without attempts is made again', async () => {
    const { where, again, waiting, done } = await lost(() => undefined)
    assert.deepEqual([where, again, waiting, done], ['repaired', 'waiting', 1, 0])
  })

  test('section 5: a lost key of a job with a result is made again among the done ones', async () => {
    const { where, again, waiting, done } = await lost((site, job) => {
      site.files.makeFolder(site.spool.control(job.id).result)
      site.files.createExclusive(site.spool.control(job.id).resultRecord, JSON.stringify({ nonce: 'n', attempt: 1 }))
    })
    assert.deepEqual([where, again, waiting, done], ['repaired', 'done', 0, 1])
  })

  test('HB-31: the key of a job with a result goes from the runner that died before it handed it over', async () => {
    const site = new Site()
    const job = await site.publish()
    site.files.makeFolder(site.spool.running(dead))
    site.files.move(join(site.spool.queue(job.lane), job.key), join(site.spool.running(dead), job.key))
    site.files.makeFolder(site.spool.control(job.id).result)
    site.files.createExclusive(site.spool.control(job.id).resultRecord, JSON.stringify({ nonce: 'n', attempt: 1 }))
    assert.equal((await locate(site.queuer, job.id)).where, 'repaired')
    assert.deepEqual([site.done().length, names(site.spool.running(dead))], [1, []])
    await site.end()
  })

  test('section 5: an attempt in a runner nobody knows to be dead is running, with or without its key', async () => {
    const { where, again, waiting, done } = await lost((site, job) => {
      site.files.createExclusive(site.lane.runner(dead), '{}')
      site.files.createExclusive(site.spool.control(job.id).attempt(1), attempt(dead))
    })
    assert.deepEqual([where, again, waiting, done], ['running', 'running', 0, 0])
  })

  test('section 5: a dead attempt without an exit goes back to the queue; one with an exit is finished, never run again', async () => {
    const back = await lost((site, job) => {
      site.files.createExclusive(site.spool.control(job.id).attempt(1), attempt(dead))
    })
    assert.deepEqual([back.where, back.again, back.waiting], ['repaired', 'waiting', 1])
    const finished = await lost((site, job) => {
      site.files.createExclusive(site.spool.control(job.id).attempt(1), attempt(dead))
      site.files.createExclusive(site.spool.control(job.id).exit(1), 'start 1.00\nrc 4 2.00\nend\n')
    })
    assert.deepEqual(
      [finished.where, finished.again, finished.waiting, finished.done, finished.result?.rc],
      ['repaired', 'done', 0, 1, 4],
    )
  })

  test('a script that was ended from our side says why, whoever finds its end', async () => {
    const ended = 'start 1.00\nTerminated\nrc 143 200.00\nend\n'
    const told = async (spoil: (site: Site, job: JobRecord) => void, exit = ended) => {
      const { result } = await lost((site, job) => {
        const control = site.spool.control(job.id)
        site.files.createExclusive(control.attempt(1), attempt(dead))
        site.files.createExclusive(control.exit(1), exit)
        spoil(site, job)
      })
      return [result?.state, result?.rc, result?.message]
    }
    const cancel = JSON.stringify({ cause: 'cancelled', why: 'asked to' })
    const asked = (site: Site, job: JobRecord) => site.files.publish(site.spool.control(job.id).cancel, cancel)
    assert.deepEqual(await told(asked), ['cancelled', -15, 'asked to'])
    assert.deepEqual(await told(asked, 'start 1.00\nrc 0 2.00\nend\n'), ['done', 0, undefined])
    const timed = (timeMs: number) => (site: Site, job: JobRecord) =>
      site.files.publish(site.spool.control(job.id).record, JSON.stringify({ ...job, timeMs }))
    assert.deepEqual(await told(timed(100_000)), [
      'done',
      -15,
      'The script ran longer than its time of 1m40s and was ended',
    ])
    // nobody of ours: the scheduler, while the runner could not tell
    assert.deepEqual(await told(timed(300_000)), [undefined, undefined, undefined])
  })

  test('a fence whose taker died is carried through with its own sentence', async () => {
    const seen = await lost((site, job) => {
      site.files.createExclusive(
        site.spool.control(job.id).attempt(1),
        attempt('', { fence: 'cancelled', why: 'asked to' }),
      )
    })
    assert.deepEqual(
      [seen.where, seen.again, seen.result?.state, seen.result?.message],
      ['repaired', 'done', 'cancelled', 'asked to'],
    )
  })

  test('section 5: only a missing control folder is a negative', async () => {
    const site = new Site()
    assert.deepEqual(await locate(site.queuer, site.record().id), { where: 'absent', attempt: 0 })
    await site.end()
  })
})

describe('cancelJob()', () => {
  const cancel = (site: Site, job: JobRecord) =>
    cancelJob(site.queuer, { type: 'cancel', id: job.id, cause: 'cancelled', why: 'asked to' })

  test('section 6: a waiting job ends at once and never runs', async () => {
    const site = new Site()
    const job = await site.publish({ template: `#!/bin/sh\necho ran >>${site.dir}/ran\n` })
    assert.equal(cancel(site, job), 'ended')
    assert.equal(cancel(site, job), 'finished')
    await site.drain()
    assert.deepEqual(
      [site.lines('ran'), site.result(job)?.state, site.waiting(), site.done().length],
      [[], 'cancelled', [], 1],
    )
    assert.equal(cancelJob(site.queuer, { type: 'cancel', id: site.record().id, cause: 'aborted', why: '' }), 'absent')
    await site.end()
  })

  test('an attempt whose taker died before writing it does not keep a job from its end', async () => {
    const site = new Site()
    const job = await site.publish()
    site.files.createExclusive(site.spool.control(job.id).attempt(1), '')
    site.files.remove(join(site.spool.queue(job.lane), job.key))
    assert.equal(cancel(site, job), 'ended')
    assert.deepEqual([site.result(job)?.state, site.done().length], ['cancelled', 1])
    await site.end()
  })

  test('HB-31: of a job whose publication stopped in the middle nothing is left', async () => {
    const site = new Site()
    const [job, other] = [site.record(), await site.publish()]
    site.files.move(join(site.staged(job, { in: 'x' }), 'job'), site.spool.workDir(job.id, 1))
    assert.equal(cancel(site, job), 'absent')
    assert.deepEqual([names(site.spool.jobs), names(site.spool.trash)], [[other.id], []])
    await site.end()
  })

  test('promise 1: cancelling, stopped at any change and called again, ends in one result', async () => {
    for (let crashAt = 1; ; crashAt++) {
      const crashing = new CrashingOs()
      const site = new Site({}, crashing.os)
      const job = await site.publish()
      crashing.crashAt = crashing.count + crashAt
      let crashed = false
      try {
        cancel(site, job)
      } catch {
        crashed = true
      }
      crashing.crashAt = Number.POSITIVE_INFINITY
      cancel(site, job)
      await locate(site.queuer, job.id)
      if (site.result(job) === undefined) await site.drain()
      assert.equal(site.result(job)?.state, 'cancelled', `after a crash at ${crashAt}`)
      await locate(site.queuer, job.id)
      assert.equal(site.done().length, 1)
      await site.end()
      if (!crashed) break
    }
  })
})

test('P-AR-05: a job under the id of another one is not taken for it: that one stays as it is, and this one says why it waits', async () => {
  const site = new Site({})
  const first = await site.publish({ inputs })
  const staged = site.staged(first, { a: 'mine', 'b c': 'too' })
  const another = { ...first, gateway: first.gateway.replace(/.$/, (last) => (last === '0' ? '1' : '0')) }
  await assert.rejects(publishJob(site.queuer, staged, another), /its id .* is that of another job here/)
  assert.deepEqual(JSON.parse(readFileSync(site.spool.control(first.id).record, 'utf8')), first)
  assert.equal(readFileSync(join(site.spool.workDir(first.id, 1), 'b c'), 'utf8'), 'two')
  await site.end()
})
