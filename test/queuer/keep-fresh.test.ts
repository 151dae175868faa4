import assert from 'node:assert/strict'
import { statSync, utimesSync } from 'node:fs'
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
})
