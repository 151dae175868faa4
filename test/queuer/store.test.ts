/** The site's store of inputs, on real files: what it keeps, what a job gets of it, and what is done about one that is not whole. */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import {
  chmodSync,
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  statSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { after, test } from 'node:test'
import type { Request } from '../../contract/protocol.ts'
import { publishJob } from '../../queuer/publish.ts'
import { Receiver } from '../../queuer/receive.ts'
import { NotStored, Store } from '../../queuer/store.ts'
import { CLONE_ONLY, type Os, realOs } from '../../system/os.ts'
import { countingOs } from '../support/counting-os.ts'
import { digest, names, Site } from '../support/site.ts'
import { until } from '../support/world.ts'

const mega = 1024 * 1024
const limit = 100 * mega
const dayMs = 86_400_000

const sites: Site[] = []
after(async () => {
  for (const site of sites) await site.end()
})

function newSite(os?: Os): Site {
  const site = new Site({}, os)
  sites.push(site)
  return site
}

/** A file system whose `copyFileSync` shares no blocks, or, with `true`, answers as one that does. */
function cloningOs(clones: boolean): Os {
  const copyFileSync: Os['copyFileSync'] = (from, to, mode) => {
    if (mode === CLONE_ONLY && !clones) throw Object.assign(new Error('ENOTSUP'), { code: 'ENOTSUP' })
    realOs.copyFileSync(from, to, mode === CLONE_ONLY ? 1 : mode)
  }
  return { ...realOs, copyFileSync }
}

function openStore(site: Site, bytes = limit): Store {
  const store = new Store(site.queuer)
  store.lookAnew(bytes)
  return store
}

interface Given {
  readonly content: { readonly size: number; readonly sha256: string }
  readonly bytes: Buffer
  readonly staged: string
  readonly published: string
}

let given = 0

/** An upload as it lies when it is verified. */
function upload(site: Site, bytes: Buffer): Given {
  given += 1
  const staged = join(site.dir, `staged-${given}`)
  writeFileSync(staged, bytes, { mode: 0o600 })
  return {
    content: { size: bytes.length, sha256: digest(bytes) },
    bytes,
    staged,
    published: join(site.dir, `p-${given}`),
  }
}

function keep(store: Store, { content, staged, published }: Given): void {
  store.keep(content, staged, published)
}

/** What is said of it when an input of its size is to come: with the digest of its middle. */
const told = ({ content, bytes }: Given) => ({
  ...content,
  sample: digest(bytes.subarray(bytes.length / 2 - 32 * 1024, bytes.length / 2 + 32 * 1024)),
})
const pathOf = (site: Site, { content }: Given) => join(site.spool.store, `${content.sha256}.${content.size}`)

test('Store: a job gets a copy of its own with the mode it asked for; what it does to that reaches nobody else', async () => {
  const site = newSite()
  const one = upload(site, randomBytes(2 * mega))
  keep(openStore(site), one)
  assert.equal(statSync(pathOf(site, one)).mode & 0o777, 0o400)
  // another gateway of the workspace, in a queuer of its own
  const other = new Store(site.queuer)
  assert.deepEqual(other.lookAnew(limit).has, [one.content.sha256])
  assert.deepEqual(other.ofSizes([2 * mega]), [told(one)])
  const [first, second] = [join(site.dir, 'first'), join(site.dir, 'second')]
  await other.take(one.content, 0o640, first)
  const stats = statSync(first)
  assert.deepEqual([stats.mode & 0o777, stats.nlink, statSync(pathOf(site, one)).nlink], [0o640, 1, 1])
  assert.notEqual(stats.ino, statSync(pathOf(site, one)).ino)
  writeFileSync(first, 'altered', { flag: 'r+' })
  await other.take(one.content, 0o600, second)
  assert.ok(readFileSync(second).equals(one.bytes))
})

test('Store: a file in it that was altered, torn or replaced is noticed by whoever is to get it, and removed', async () => {
  const harms: readonly ((path: string) => void)[] = [
    (path) => {
      chmodSync(path, 0o600)
      writeFileSync(path, 'x', { flag: 'r+' })
    },
    (path) => {
      chmodSync(path, 0o600)
      truncateSync(path, mega)
    },
    (path) => {
      site.files.remove(path)
      symlinkSync('/etc/passwd', path)
    },
    (path) => {
      site.files.remove(path)
      mkdirSync(join(path, 'below'), { recursive: true })
    },
  ]
  const site = newSite()
  for (const harm of harms) {
    const one = upload(site, randomBytes(2 * mega))
    const store = openStore(site)
    keep(store, one)
    harm(pathOf(site, one))
    const to = join(site.dir, 'to')
    await assert.rejects(store.take(one.content, 0o600, to), NotStored)
    assert.deepEqual([existsSync(to), names(site.spool.store), store.ofSizes([2 * mega])], [false, [], []])
    // it comes again, and is kept again
    keep(store, one)
    await store.take(one.content, 0o600, to)
    assert.ok(readFileSync(to).equals(one.bytes))
    site.files.remove(to)
    store.lookAnew(0)
  }
})

test('Store: one that vanished costs the job a sending and nothing else; whoever holds it open reads on', async () => {
  const site = newSite()
  const one = upload(site, randomBytes(5 * mega))
  const store = openStore(site)
  keep(store, one)
  const to = join(site.dir, 'to')
  // removed by another gateway as soon as the first piece is read
  const taking = store.take(one.content, 0o600, to)
  assert.equal(openStore(site, 0).describe().files, 0)
  await taking
  assert.ok(readFileSync(to).equals(one.bytes))
  await assert.rejects(store.take(one.content, 0o600, to), NotStored)
})

test('Store: it makes room by what was not used for longest, keeps no content above half of its limit, and nothing at 0', async () => {
  const site = newSite()
  const [a, b, c, d] = [1, 2, 3, 4].map((n) => upload(site, Buffer.alloc(3 * mega, n))) as [Given, Given, Given, Given]
  const store = openStore(site, 10 * mega)
  for (const [at, one] of [a, b, c].entries()) {
    keep(store, one)
    utimesSync(pathOf(site, one), 1_000 + at, 1_000 + at)
  }
  await store.take(a.content, 0o600, join(site.dir, 'to'))
  keep(store, d)
  // b is the oldest now, as a was used
  assert.deepEqual(
    names(site.spool.store).sort(),
    [a, c, d].map((one) => `${one.content.sha256}.${one.content.size}`).sort(),
  )
  keep(store, upload(site, Buffer.alloc(5 * mega + 1, 5)))
  assert.equal(names(site.spool.store).length, 3)
  assert.deepEqual(new Store(site.queuer).lookAnew(0), { from: mega, upTo: 0, has: [] })
  assert.deepEqual(names(site.spool.store), [])
  const off = openStore(site, 0)
  keep(off, a)
  assert.deepEqual(names(site.spool.store), [])
})

test('Store: of a disk that is nearly full it takes a quarter of what is free, and gives all back when it is full', async () => {
  const bavail = 10 * 256
  const site = newSite({ ...realOs, statfsSync: (() => ({ bavail, bsize: 4096, files: 0, ffree: 0 })) as never })
  const store = new Store(site.queuer)
  assert.equal(store.lookAnew(limit).upTo, 1.25 * mega)
  keep(store, upload(site, Buffer.alloc(mega, 1)))
  assert.equal(names(site.spool.store).length, 1)
  store.release()
  assert.deepEqual(names(site.spool.store), [])
})

test('Store: what no job asked for in two weeks goes, and what a crash left', async () => {
  const site = newSite()
  const [old, used] = [upload(site, Buffer.alloc(mega, 1)), upload(site, Buffer.alloc(mega, 2))]
  const store = openStore(site)
  for (const one of [old, used]) {
    keep(store, one)
    const then = (Date.now() - 15 * dayMs) / 1000
    utimesSync(pathOf(site, one), then, then)
  }
  await store.take(used.content, 0o600, join(site.dir, 'to'))
  const [left, young] = ['.0123456789ab.1', '.0123456789ab.2'].map((name) => join(site.spool.store, name)) as [
    string,
    string,
  ]
  for (const path of [left, young]) writeFileSync(path, 'half')
  utimesSync(left, 1, 1)
  store.lookAnew(limit)
  store.expire()
  assert.deepEqual([existsSync(pathOf(site, old)), existsSync(pathOf(site, used))], [false, true])
  assert.deepEqual([existsSync(left), existsSync(young)], [false, true])
})

test('Store: an input below a megabyte costs the file system no call; one above it five, and each pass one listing', () => {
  const { os, calls } = countingOs()
  const site = newSite(os)
  const store = openStore(site)
  const [below, above] = [upload(site, Buffer.alloc(mega - 1)), upload(site, Buffer.alloc(mega))]
  const counted = (act: () => void): Record<string, number> => {
    for (const name of Object.keys(calls)) delete calls[name]
    act()
    return { ...calls }
  }
  assert.deepEqual(
    counted(() => keep(store, below)),
    {},
  )
  const once = { mkdirSync: 1, copyFileSync: 1, chmodSync: 1, renameSync: 1 }
  assert.deepEqual(
    counted(() => keep(store, above)),
    once,
  )
  assert.deepEqual(
    counted(() => keep(store, above)),
    { utimesSync: 1 },
  )
  assert.deepEqual(
    counted(() => store.lookAnew(limit)),
    { readdirSync: 1, statfsSync: 1 },
  )
})

test('Store: a disk or quota that has no room for it, and a folder that cannot be written, fail no upload', async () => {
  const full = (path: unknown) => {
    if (String(path).includes('/store')) throw Object.assign(new Error('ENOSPC: no space'), { code: 'ENOSPC' })
  }
  const site = newSite({
    ...cloningOs(false),
    copyFileSync: (_from, to) => full(to),
    mkdirSync: ((path: string, options: object) => {
      full(path)
      return realOs.mkdirSync(path, options)
    }) as never,
  })
  const store = openStore(site)
  const receiver = new Receiver(site.queuer, undefined, store)
  for (const size of [2 * mega, 9 * mega]) {
    const bytes = randomBytes(size)
    const record = site.record({ inputs: { in: '' } })
    const id = { id: record.id, digest: digest(record.id) }
    const last = { size, sha256: digest(bytes), mode: 0o600 }
    receiver.begin({ type: 'stage', ...id, lane: record.lane, resume: false })
    await receiver.part({ type: 'part', ...id, file: 'in', offset: 0, last }, bytes)
    const done = receiver.finish(record.id, [{ path: 'in', ...last }])
    assert.ok('dir' in done, JSON.stringify(done))
    await publishJob(site.queuer, done.dir, record)
    await store.fill()
  }
  assert.deepEqual(names(site.spool.store), [])
  assert.equal(site.waiting().length, 2)
})

for (const clones of [true, false]) {
  test(`Store: a large content is ${clones ? 'shared at once where blocks can be' : 'copied when its job is published, and to be had until then'}`, async () => {
    const site = newSite(cloningOs(clones))
    const store = openStore(site)
    const one = upload(site, randomBytes(9 * mega))
    keep(store, one)
    assert.equal(existsSync(pathOf(site, one)), clones)
    assert.deepEqual(store.ofSizes([9 * mega]), [told(one)])
    const to = join(site.dir, 'to')
    await store.take(one.content, 0o640, to)
    assert.ok(readFileSync(to).equals(one.bytes))
    assert.equal(statSync(to).mode & 0o777, 0o640)
    await store.fill()
    assert.equal(existsSync(pathOf(site, one)), clones, 'not before it is published')
    site.files.move(one.staged, one.published)
    await store.fill()
    assert.ok(readFileSync(pathOf(site, one)).equals(one.bytes))
    assert.equal(statSync(pathOf(site, one)).mode & 0o777, 0o400)
    assert.notEqual(statSync(pathOf(site, one)).ino, statSync(one.published).ino)
    if (clones) {
      // a clone is verified, too
      chmodSync(pathOf(site, one), 0o600)
      writeFileSync(pathOf(site, one), 'x', { flag: 'r+' })
      await assert.rejects(store.take(one.content, 0o600, to), NotStored)
    }
  })
}

test('Store: what a script has changed before it was copied is not kept, nor given to another job', async () => {
  const site = newSite(cloningOs(false))
  const store = openStore(site)
  const one = upload(site, randomBytes(9 * mega))
  keep(store, one)
  site.files.move(one.staged, one.published)
  writeFileSync(one.published, 'x', { flag: 'r+' })
  await assert.rejects(store.take(one.content, 0o600, join(site.dir, 'to')), NotStored)
  const again = upload(site, one.bytes)
  keep(store, again)
  site.files.move(again.staged, again.published)
  writeFileSync(again.published, 'x', { flag: 'r+' })
  await store.fill()
  assert.deepEqual(names(site.spool.store), [])
  assert.equal(readFileSync(again.published).subarray(0, 1).toString(), 'x', 'a job’s own file is left alone')
})

test('Receiver: no name from the wire leads out of the store, and no descriptor stays open', async () => {
  const site = newSite()
  const open = () => names('/proc/self/fd').length
  closeSync(openSync('/dev/null', 'r'))
  const before = open()
  const receiver = new Receiver(site.queuer, undefined, openStore(site))
  writeFileSync(join(site.dir, 'secret.6'), 'secret')
  const bad: readonly object[] = [
    { size: 6, sha256: '../../secret', mode: 0o600 },
    { size: 6, sha256: 'a'.repeat(64), mode: 0o600 },
    { size: '6/../x', sha256: 'a'.repeat(64), mode: 0o600 },
    { size: -1, sha256: 'a'.repeat(64), mode: 0o600 },
    {},
  ]
  for (const last of bad) {
    const record = site.record({ inputs: { in: 'secret' } })
    const id = { id: record.id, digest: digest(record.id) }
    receiver.begin({ type: 'stage', ...id, lane: record.lane, resume: false })
    await receiver.part({ type: 'part', ...id, file: 'in', offset: 0 }, Buffer.from('sec'))
    const part = { type: 'part', ...id, file: 'in', offset: 0, stored: true, last } as unknown as Request
    await receiver.part(part as Extract<Request, { type: 'part' }>, Buffer.alloc(0))
    assert.ok('fault' in receiver.finish(record.id, Object.values(record.inputs)))
  }
  await until('all descriptors to be closed', () => open() === before)
})
