/** Many jobs are published together: what that costs a file system, and that no step of a job comes before the last one is durable. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { PassThrough } from 'node:stream'
import { test } from 'node:test'
import { type Answer, encodeFrame, FrameReader, readyMark } from '../../contract/protocol.ts'
import type { JobRecord } from '../../contract/spool-records.ts'
import { publishJobs } from '../../queuer/publish.ts'
import type { Queuer } from '../../queuer/queuer.ts'
import { serve } from '../../queuer/serve.ts'
import { Files } from '../../system/files.ts'
import { type Os, realOs } from '../../system/os.ts'
import { countingOs, perJob } from '../support/counting-os.ts'
import { digest, hello, names, Site } from '../support/site.ts'

const inputs = { in: 'content' }

/** A conversation from its first to its last word; the answers. */
async function talk(site: Site, queuer: Queuer, records: readonly JobRecord[]): Promise<Answer[]> {
  const [input, output] = [new PassThrough(), new PassThrough()]
  const answers: Answer[] = []
  const reader = new FrameReader<Answer>()
  let skip = readyMark.length
  output.on('data', (chunk: Buffer) => {
    for (const { header } of reader.push(chunk.subarray(skip))) answers.push(header)
    skip = 0
  })
  const served = serve(queuer, input, output)
  input.write(encodeFrame(hello({ gateway: site.gateway, workspace: site.pass.workspace, lanes: [site.shape] })))
  for (const record of records) {
    const job = { id: record.id, digest: digest(record.id) }
    input.write(encodeFrame({ type: 'stage', ...job, lane: record.lane, resume: false }))
    const last = { size: 7, sha256: digest(inputs.in), mode: 0o644 }
    input.write(encodeFrame({ type: 'part', ...job, file: 'in', offset: 0, last }, Buffer.from(inputs.in)))
    input.write(encodeFrame({ type: 'publish', ...job, record }))
  }
  input.end()
  await served
  output.end()
  await once(output, 'end')
  return answers
}

const published = (answers: readonly Answer[]) => answers.filter(({ type }) => type === 'published').length

test('publishing costs a job five syncs, two renames, six folders and no listing', async (t) => {
  const site = new Site()
  const records = Array.from({ length: 200 }, () => site.record({ inputs }))
  const { os, calls } = countingOs()
  const answers = await talk(site, { ...site.queuer, files: new Files(os) }, records)
  assert.equal(published(answers), 200)
  assert.equal(names(site.spool.queue(site.shape.lane)).length, 200)
  assert.deepEqual(names(site.spool.stagings), [])
  const each = perJob(calls, 200)
  t.diagnostic(JSON.stringify(each))
  const most = {
    fsyncSync: 5.2,
    renameSync: 2,
    mkdirSync: 6.2,
    readdirSync: 0.4,
    openSync: 6.3,
    lstatSync: 4.2,
    rmdirSync: 1,
  }
  for (const [name, count] of Object.entries(most))
    assert.ok((each[name] ?? 0) <= count, `${name}: ${each[name]} a job`)
  await site.end()
})

test('promise 1: work folders are durable before a control folder is moved, and these before a key is there', async () => {
  const site = new Site()
  const { spool } = site
  const unsynced = new Map<string, number>([
    [spool.jobs, 0],
    [spool.controls, 0],
  ])
  const open = new Map<number, string>()
  let keys = 0
  const os: Os = {
    ...realOs,
    openSync: ((...args: Parameters<Os['openSync']>) => {
      const path = String(args[0])
      if (dirname(path) === spool.queue(site.shape.lane)) {
        keys += 1
        assert.equal(unsynced.get(spool.controls), 0, 'a key before its control folder is durable')
      }
      const fd = realOs.openSync(...args)
      open.set(fd, path)
      return fd
    }) as Os['openSync'],
    fsyncSync: (fd) => {
      realOs.fsyncSync(fd)
      const path = open.get(fd) ?? ''
      if (unsynced.has(path)) unsynced.set(path, 0)
    },
    renameSync: (from, to) => {
      realOs.renameSync(from, to)
      const dir = dirname(String(to))
      if (dir === spool.controls) assert.equal(unsynced.get(spool.jobs), 0, 'a control folder before its work folder')
      if (unsynced.has(dir)) unsynced.set(dir, (unsynced.get(dir) ?? 0) + 1)
    },
  }
  const records = Array.from({ length: 150 }, () => site.record({ inputs }))
  assert.equal(published(await talk(site, { ...site.queuer, files: new Files(os) }, records)), 150)
  assert.equal(keys, 150)
  await site.end()
})

test('one job that cannot be moved is told alone; a newer pass stops all before the first key', async () => {
  const site = new Site()
  const records = Array.from({ length: 3 }, () => site.record({ inputs }))
  const uploads = records.map((record) => ({ staged: site.staged(record, inputs), record }))
  // something in the way that is not ours to replace
  const blocked = spool(site, records[1])
  mkdirSync(blocked)
  writeFileSync(join(blocked, 'x'), '')
  const faults = await publishJobs(site.queuer, uploads)
  assert.deepEqual(
    faults.map((fault) => fault === undefined),
    [true, false, true],
  )
  assert.equal(names(site.spool.queue(site.shape.lane)).length, 2)
  const late = site.record({ inputs })
  let asked = 0
  const overtaken = publishJobs(site.queuer, [{ staged: site.staged(late, inputs), record: late }], () => {
    asked += 1
    if (asked === 2) throw new Error('a newer pass')
  })
  await assert.rejects(overtaken, /a newer pass/)
  assert.equal(names(site.spool.queue(site.shape.lane)).length, 2)
  await site.end()
})

function spool(site: Site, record: JobRecord | undefined): string {
  return site.spool.control(record?.id ?? '').dir
}
