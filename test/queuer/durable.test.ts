/** What a result tells of is on disk before the result is, and what a job is to find is before its key. */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import { publishJob } from '../../queuer/publish.ts'
import { finishAttempt } from '../../spool/finish.ts'
import { Files } from '../../system/files.ts'
import { Site } from '../support/site.ts'
import { syncingOs } from '../support/syncing-os.ts'

test('promise 5: streams, outputs and the folders they lie in are synced before a result tells of them', async () => {
  const site = new Site()
  const job = await site.publish({ outputs: ['a', 'b'] })
  const { os, synced } = syncingOs()
  const files = new Files(os)
  const work = site.spool.workDir(job.id, 1)
  files.makeFolder(join(work, 'output', 'b', 'below'))
  for (const name of ['a', 'b/first', 'b/below/second']) files.replace(join(work, 'output', name), name)
  const control = site.spool.control(job.id)
  files.replace(control.stdout(1), 'out')
  files.replace(control.stderr(1), '')
  synced.clear()
  const record = { nonce: 'a', attempt: 1, runner: 'r', node: 'n', bootId: 'b', startedAt: '', uptimeMs: 0 }
  const exit = { rc: 0, startUptimeMs: 0, endUptimeMs: 1 }
  await finishAttempt(files, site.spool, job, { ...record, startedAt: new Date(0).toISOString() }, exit, 'n')
  const wanted = ['', 'a', 'b', 'b/first', 'b/below', 'b/below/second'].map((name) => join(work, 'output', name))
  for (const path of [...wanted, control.stdout(1), control.attempts])
    assert.ok(synced.has(path), `${path} was not synced`)
  await site.end()
})

test('promise 1: the folder of a published job has its names on disk', async () => {
  const site = new Site()
  const { os, synced } = syncingOs()
  const record = site.record({})
  const staged = join(site.spool.stagings, 'upload')
  site.files.makeFolder(join(staged, 'job', 'input'))
  await publishJob({ ...site.queuer, files: new Files(os) }, staged, record)
  for (const path of [
    join(staged, 'job'),
    join(staged, 'job', 'input'),
    join(staged, 'control'),
    site.spool.jobs,
    site.spool.controls,
  ])
    assert.ok(synced.has(path), `${path} was not synced`)
  await site.end()
})
