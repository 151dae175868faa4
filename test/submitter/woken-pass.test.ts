import assert from 'node:assert/strict'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, test } from 'node:test'
import type { Wake } from '../../submitter/dropbox.ts'
import { tick } from '../../submitter/tick.ts'
import { Files } from '../../system/files.ts'
import { realOs } from '../../system/os.ts'
import { testGateway } from '../support/gateway.ts'

const here = await testGateway()
after(() => here.end())
const dropbox = join(here.dir, 'dropbox')
const drop = (name: string, text = 'script: no-such-template\n...\n') =>
  writeFileSync(join(dropbox, `${name}.job`), text)
const there = () => readdirSync(dropbox).filter((name) => !name.startsWith('.'))

/** A pass; gives how often it listed the dropbox. */
async function pass(wake?: Wake): Promise<number> {
  let listings = 0
  const files = new Files(realOs)
  const names = files.names.bind(files)
  files.names = (dir) => {
    if (dir === dropbox) listings += 1
    return names(dir)
  }
  await tick(here.other({ files }), undefined, wake)
  return listings
}

const woken = (...names: string[]): Wake => ({ names: new Set(names), news: false })

test('a woken pass looks at what woke it, however many files the dropbox holds, and at what an earlier pass left', async () => {
  await pass()
  for (let n = 0; n < 500; n++) writeFileSync(join(dropbox, `old-${n}.job.finished`), '')
  drop('unseen')
  drop('seen')
  drop('old-1')
  assert.equal(await pass(woken('seen', 'old-1', 'never-was')), 0)
  const pending = readFileSync(join(here.dir, 'state', 'pending.json'), 'utf8')
  assert.equal(pending, '{"jobs":[]}\n', 'what was refused is not looked for at a site')
  const names = there()
  assert.ok(names.includes('seen.job.finished'), 'refused, with a reason')
  assert.ok(names.includes('unseen.job'), 'nobody told of it: the next full pass takes it')
  assert.ok(names.includes('old-1.job'), 'its name is taken')
  // accepted by a pass that died, not known to have been sent: every pass takes it up, whatever woke it
  drop('left')
  await pass(woken('left'))
  await pass()
  assert.ok(there().includes('unseen.job.finished'))
})

test('what may still be written is remembered over passes that look at something else', async () => {
  const looks = () => JSON.parse(readFileSync(join(here.dir, 'state', 'looks.json'), 'utf8') || '{}') as object
  drop('growing', 'script: "tr')
  await pass(woken('growing'))
  assert.deepEqual(Object.keys(looks()), ['growing'])
  drop('other')
  await pass(woken('other'))
  assert.deepEqual(Object.keys(looks()), ['growing'])
})
