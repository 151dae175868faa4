import assert from 'node:assert/strict'
import { existsSync, statSync, utimesSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { keepFresh } from '../../queuer/keep-fresh.ts'
import { publishJob } from '../../queuer/publish.ts'
import { Site } from '../support/site.ts'

test('keepFresh() touches once a day what is still needed, and leaves a job the times its scripts may go by', async () => {
  const site = new Site({})
  const inputs = { a: 'one' }
  const record = site.record({ inputs })
  await publishJob(site.queuer, site.staged(record, inputs), record)
  const input = join(site.spool.workDir(record.id, 1), 'input', 'a')
  const key = join(site.spool.queue(record.lane), record.key)
  const paths = [input, site.spool.control(record.id).record, key, site.spool.marker]
  const old = Math.floor(site.queuer.clock.now() / 1000) - 30 * 86_400
  for (const path of paths) utimesSync(path, old, old)
  assert.ok((await keepFresh(site.queuer)) > paths.length)
  const today = old + 29 * 86_400
  for (const path of paths) assert.ok(statSync(path).atimeMs / 1000 > today, path)
  for (const path of paths.slice(1)) assert.ok(statSync(path).mtimeMs / 1000 > today, path)
  assert.equal(statSync(input).mtimeMs / 1000, old, 'when the input was changed still shows')
  assert.equal(await keepFresh(site.queuer), 0, 'not again on the same day')
  await site.end()
})

test('keepFresh() goes by the time of the file server: a login node with a clock days behind makes nothing look old', async () => {
  const site = new Site({})
  const record = site.record({})
  await publishJob(site.queuer, site.staged(record, {}), record)
  const path = site.spool.control(record.id).record
  const serverMs = Date.now()
  for (const one of [path, site.spool.marker])
    utimesSync(one, serverMs / 1000 - 2 * 86_400, serverMs / 1000 - 2 * 86_400)
  const behind = { ...site.queuer, clock: { ...site.queuer.clock, now: () => serverMs - 3 * 86_400_000 } }
  assert.ok((await keepFresh(behind, serverMs)) > 0)
  for (const one of [path, site.spool.marker]) assert.ok(statSync(one).mtimeMs >= serverMs - 1000, one)
  await site.end()
})

test('P-HB-24: what a crash left under temporary names is removed after a day, and nothing that looks like it and is not', async () => {
  const site = new Site({})
  const inputs = { '.0123456789ab.1': 'an input of that name' }
  const record = site.record({ inputs })
  await publishJob(site.queuer, site.staged(record, inputs), record)
  const { spool } = site
  const old = Math.floor(site.queuer.clock.now() / 1000) - 30 * 86_400
  const leftovers = [spool.root, spool.queue(record.lane), spool.controls, spool.lane(record.lane).seats].map((dir) =>
    join(dir, '.0123456789ab.7'),
  )
  // a program, put there by a gateway that died in the middle
  site.files.makeFolder(join(spool.programs, 'build'))
  leftovers.push(join(spool.programs, 'build', '.0123456789abcdef01.part'))
  const kept = [
    join(spool.queue(record.lane), '.0123456789ab.8'),
    join(spool.lane(record.lane).dir, '.not-ours.7'),
    join(spool.workDir(record.id, 1), 'input', '.0123456789ab.1'),
  ]
  for (const path of [...leftovers, ...kept.slice(0, 2)]) site.files.replace(path, '')
  for (const path of [...leftovers, ...kept.slice(1), spool.marker]) utimesSync(path, old, old)
  await keepFresh(site.queuer)
  assert.deepEqual(leftovers.filter(existsSync), [])
  assert.deepEqual(kept.filter(existsSync), kept, 'one of a moment ago may be in use')
  assert.deepEqual(
    site.waiting().filter((name) => !name.startsWith('.')),
    [record.key],
  )
  await site.end()
})
