import assert from 'node:assert/strict'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { cleanJob } from '../../queuer/clean.ts'
import { type Os, realOs } from '../../system/os.ts'
import { countingOs, perJob } from '../support/counting-os.ts'
import { Site } from '../support/site.ts'

const sites: Site[] = []
after(async () => {
  for (const site of sites) await site.end()
})

function siteOn(os: Os): Site {
  const site = new Site({}, os)
  sites.push(site)
  return site
}

test('cleanJob() looks at no file that it removes, and once at each folder', async (t) => {
  const { os, calls } = countingOs()
  const site = siteOn(os)
  const jobs = await Promise.all(Array.from({ length: 5 }, () => site.publish({ inputs: { a: '1', b: '2', c: '3' } })))
  await site.drain()
  const before = { ...calls }
  for (const job of jobs) cleanJob(site.queuer, site.gateway, job.id, job.key, 0)
  const spent = Object.fromEntries(Object.entries(calls).map(([name, count]) => [name, count - (before[name] ?? 0)]))
  const each = perJob(spent, jobs.length)
  t.diagnostic(JSON.stringify(each))
  assert.deepEqual(site.files.list(site.spool.jobs), [])
  assert.deepEqual(site.files.list(site.spool.trash), [])
  // the two folders that are moved, and the seven that are emptied
  const most = { lstatSync: 9, readdirSync: 8, rmdirSync: 7, mkdirSync: 1, renameSync: 2, openSync: 2, fsyncSync: 1 }
  for (const [name, count] of Object.entries(most))
    assert.ok((each[name] ?? 0) <= count, `${name}: ${each[name]} a job`)
})

test('promise 5: the folder of an attempt that a stale listing does not show is cleaned too', async () => {
  let stale = false
  const readdirSync = ((path: string, ...rest: []) =>
    stale && path.endsWith('/attempts') ? ['1'] : realOs.readdirSync(path, ...rest)) as Os['readdirSync']
  const site = siteOn({ ...realOs, readdirSync })
  const job = await site.publish()
  await site.drain()
  // as if the first attempt had been interrupted
  const control = site.spool.control(job.id)
  const result = site.result(job)
  assert.ok(result)
  const [first] = result.attempts
  assert.ok(first)
  const attempts = [
    { ...first, cause: 'walltime' },
    { ...first, attempt: 2 },
  ]
  site.files.replace(control.resultRecord, JSON.stringify({ ...result, attempt: 2, attempts }))
  site.files.makeFolder(join(site.spool.workDir(job.id, 2), 'output'))
  stale = true
  cleanJob(site.queuer, site.gateway, job.id, job.key, 0)
  assert.deepEqual(site.files.list(site.spool.jobs), [])
})

test('cleanJob() takes away what a job has put in the place of its folder', async () => {
  const site = siteOn(realOs)
  const job = await site.publish()
  await site.drain()
  const dir = site.spool.workDir(job.id, 1)
  site.files.removeTree(dir)
  realOs.symlinkSync('/etc', dir)
  cleanJob(site.queuer, site.gateway, job.id, job.key, 0)
  assert.deepEqual(site.files.list(site.spool.jobs), [])
  assert.ok(site.files.exists('/etc/passwd'), 'and not what it leads to')
})
