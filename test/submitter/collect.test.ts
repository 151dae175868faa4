import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { makeJobId, makeKey } from '../../contract/spool.ts'
import { collect } from '../../submitter/collect.ts'
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
