import assert from 'node:assert/strict'
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { readDescription } from '../../contract/read-description.ts'
import { makeJobId, makeKey } from '../../contract/spool.ts'
import type { ResultRecord } from '../../contract/spool-records.ts'
import { collect } from '../../submitter/collect.ts'
import { JobReceiver } from '../../submitter/receive-job.ts'
import { testGateway } from '../support/gateway.ts'

const here = await testGateway()
after(() => here.end())

test('promise 9: a job that a site tells of under a name that leads elsewhere is told of, and nothing is read or asked for', async () => {
  const id = makeJobId('vm', '00000000-0000-4000-8000-000000000000')
  const key = makeKey(0, 1, id)
  const asked: unknown[] = []
  const session = { send: async (request: unknown) => void asked.push(request), collectors: new Map() }
  const report = { site: 'here', trouble: [] as string[], waiting: [], delivered: [] }
  const done = [
    { id, key, name: '../../etc/x' },
    { id, key, name: 'a\0b' },
    { id, key: makeKey(0, 1, makeJobId('vm', '00000000-0000-4000-8000-000000000001')), name: 'x' },
    { id: '../x', key, name: 'x' },
  ]
  const work = { site: here.gateway.config.sites.here }
  type Call = Parameters<typeof collect>
  await collect(
    here.gateway,
    session as unknown as Call[1],
    work as unknown as Call[2],
    { done } as unknown as Call[3],
    report as unknown as Call[4],
  )
  assert.deepEqual(asked, [])
  assert.equal(report.trouble.length, done.length)
  for (const text of report.trouble) assert.match(text, /the site tells of a job ".*" that is none of ours/)
})

test('promise 1: a pass that has lost its lock takes away what it has made beside a destination, and nothing of its successor', () => {
  const { gateway, dir } = here
  const path = join(dir, 'beside')
  const reading = readDescription(Buffer.from(`script: x\noutput_map: {to: ${path}}\n`), 'x.job')
  assert.ok(reading.ok)
  const hpc = { id: 'x', name: 'x', gateway: 'g', owner: { uid: gateway.uid, gid: 0, mode: 0o644 }, history: [] }
  const file = { path: '', size: 3, sha256: '', mode: 0o644 }
  const outputs = [{ key: 'to', name: 'to', kind: 'file', files: [file], folders: [] }]
  const result = { rc: 0, state: 'done', outputs, missing: [] } as unknown as ResultRecord
  const received = () => {
    const receiver = new JobReceiver(gateway, hpc, reading.description)
    receiver.result({ result, publishedAt: '' })
    receiver.piece({ file: 'to/', offset: 0, last: false }, Buffer.from('ab'))
    assert.equal(receiver.fault, undefined)
    return receiver
  }
  const left = () => readdirSync(dir).filter((name) => name.startsWith('.x.'))
  const sleeper = received()
  const successor = received()
  sleeper.discard(false)
  assert.equal(left().length, 1)
  successor.discard(false)
  assert.deepEqual(left(), [])
})
