/** Conversations with the built hpc_queuer, as the submitter holds them: real processes, real frames. */
import assert from 'node:assert/strict'
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import {
  chmodSync,
  copyFileSync,
  mkdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { after, describe, test } from 'node:test'
import { type Answer, encodeFrame, FrameReader, type Request, readyMark } from '../../contract/protocol.ts'
import type { JobRecord } from '../../contract/spool-records.ts'
import { openPass } from '../../queuer/open-workspace.ts'
import { Receiver } from '../../queuer/receive.ts'
import { runCommand } from '../../system/process.ts'
import { digest, hello, names, Site } from '../support/site.ts'
import { root } from '../support/world.ts'

const program = join(root, 'on_hpc', 'scripts', 'hpc_queuer')

class Conversation {
  readonly child: ChildProcessWithoutNullStreams
  readonly answers: { header: Answer; body: Buffer }[] = []
  readonly ended: Promise<number | null>
  stderr = ''
  #wake: () => void = () => undefined

  constructor(workspace: string) {
    this.child = spawn(process.execPath, [program, '--workspace', workspace])
    const reader = new FrameReader<Answer>()
    let ready = false
    this.child.stdout.on('data', (chunk: Buffer) => {
      const bytes = ready ? chunk : chunk.subarray(readyMark.length)
      ready = true
      for (const { header, body } of reader.push(bytes)) this.answers.push({ header, body: Buffer.from(body) })
      this.#wake()
    })
    this.child.stderr.on('data', (chunk: Buffer) => {
      this.stderr += chunk.toString('utf8')
    })
    this.child.stdin.on('error', () => undefined)
    this.ended = new Promise((resolve) => {
      this.child.once('close', (code) => {
        resolve(code)
        this.#wake()
      })
    })
  }

  say(request: Request, body?: Uint8Array): void {
    this.child.stdin.write(encodeFrame(request, body))
  }

  async hear<T extends Answer['type']>(
    type: T,
    matches: (answer: Answer) => boolean = () => true,
  ): Promise<Extract<Answer, { type: T }>> {
    for (;;) {
      const found = this.answers.find(({ header }) => header.type === type && matches(header))
      if (found !== undefined) {
        this.answers.splice(this.answers.indexOf(found), 1)
        return found.header as Extract<Answer, { type: T }>
      }
      if (this.child.exitCode !== null) throw new Error(`ended before "${type}": ${this.stderr}`)
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
    }
  }

  upload(record: JobRecord, contents: Readonly<Record<string, string>>, resume = false): void {
    this.say({ type: 'stage', id: record.id, digest: digest(record.id), lane: record.lane, resume })
    for (const [file, content] of Object.entries(contents)) this.part(record, file, content, 0, content)
  }

  part(record: JobRecord, file: string, piece: string, offset: number, whole?: string): void {
    const last =
      whole === undefined ? {} : { last: { size: Buffer.byteLength(whole), sha256: digest(whole), mode: 0o600 } }
    this.say({ type: 'part', id: record.id, digest: digest(record.id), file, offset, ...last }, Buffer.from(piece))
  }

  publish(record: JobRecord): void {
    this.say({ type: 'publish', id: record.id, digest: digest(record.id), record })
  }
}

describe('hpc_queuer', () => {
  const sites: Site[] = []
  after(async () => {
    for (const site of sites) await site.end()
  })
  async function opened(site = new Site(), more: object = {}): Promise<{ site: Site; talk: Conversation }> {
    if (!sites.includes(site)) sites.push(site)
    const talk = new Conversation(site.spool.root)
    talk.say(hello({ gateway: site.gateway, workspace: site.pass.workspace, lanes: [site.shape], ...more }))
    await talk.hear('welcome')
    return { site, talk }
  }

  test('promise 6: what arrives is verified; a bad file spoils its own job only', async () => {
    const { site, talk } = await opened()
    const good = site.record({ inputs: { in: 'content' } })
    const bad = site.record({ inputs: { in: 'content' } })
    const partial = site.record({ inputs: { in: 'content', more: 'x' } })
    talk.upload(good, { in: 'content' })
    talk.upload(bad, {})
    talk.part(bad, 'in', 'CONTENT', 0, 'content')
    talk.upload(partial, { in: 'content' })
    for (const record of [bad, partial, good]) talk.publish(record)
    const unpublished = [await talk.hear('unpublished'), await talk.hear('unpublished')]
    assert.deepEqual(
      unpublished.map(({ id }) => id),
      [bad.id, partial.id],
    )
    assert.match(unpublished[0]?.why ?? '', /"in" arrived as 7 bytes \w+, not as 7 bytes/)
    assert.match(unpublished[1]?.why ?? '', /"more" did not arrive whole/)
    assert.equal((await talk.hear('published')).id, good.id)
    assert.deepEqual(site.waiting(), [good.key])
    talk.child.stdin.end()
    assert.equal(await talk.ended, 0)
  })

  test('promise 6: an upload that was cut off is resumed where it stopped, and verified as a whole', async () => {
    const first = await opened()
    const { site } = first
    const whole = 'a'.repeat(100_000) + 'b'.repeat(100_000)
    const record = site.record({ inputs: { in: whole } })
    first.talk.upload(record, {})
    first.talk.part(record, 'in', whole.slice(0, 150_000), 0)
    first.talk.child.stdin.end()
    await first.talk.ended
    const { talk } = await opened(site)
    talk.say({ type: 'stage', id: record.id, digest: digest(record.id), lane: record.lane, resume: true })
    assert.deepEqual((await talk.hear('have')).offsets, { in: 150_000 })
    talk.part(record, 'in', whole.slice(150_000), 150_000, whole)
    talk.publish(record)
    assert.equal((await talk.hear('published')).id, record.id)
    assert.equal(readFileSync(join(site.spool.workDir(record.id, 1), 'input', 'in'), 'utf8'), whole)
    talk.child.stdin.end()
    await talk.ended
  })

  test('promise 1: what was to come from the store and has gone is told, and the job is published when it is sent', async () => {
    const { site, talk } = await opened()
    const whole = 'x'.repeat(1024 * 1024)
    const input = { size: whole.length, sha256: digest(whole), mode: 0o640 }
    const stored = { file: 'in', offset: 0, stored: true, last: input } as const
    const ids = (record: JobRecord) => ({ id: record.id, digest: digest(record.id) })
    const first = site.record({ inputs: { in: whole } })
    const refer = (record: JobRecord) => {
      talk.upload(record, {})
      talk.say({ type: 'part', ...ids(record), ...stored })
      talk.publish(record)
    }
    refer(first)
    const { id, why, lacking } = await talk.hear('unpublished')
    assert.deepEqual([id, lacking], [first.id, input.sha256])
    assert.match(why, /not \(or no longer\) in the store/)
    talk.upload(first, { in: whole })
    talk.publish(first)
    assert.equal((await talk.hear('published')).id, first.id)
    const second = site.record({ inputs: { in: whole } })
    refer(second)
    assert.equal((await talk.hear('published')).id, second.id)
    const given = join(site.spool.workDir(second.id, 1), 'input', 'in')
    assert.deepEqual([readFileSync(given, 'utf8') === whole, statSync(given).mode & 0o777], [true, 0o640])
    // another gateway is told of it; somebody removes it right then
    const other = new Conversation(site.spool.root)
    other.say(hello({ gateway: randomUUID(), workspace: site.pass.workspace, lanes: [site.shape] }))
    assert.deepEqual((await other.hear('welcome')).store.has, [input.sha256])
    for (const name of names(site.spool.store)) site.files.remove(join(site.spool.store, name))
    const third = site.record({ inputs: { in: whole } })
    other.upload(third, {})
    other.say({ type: 'part', ...ids(third), ...stored })
    other.publish(third)
    assert.equal((await other.hear('unpublished')).lacking, input.sha256)
    for (const one of [talk, other]) {
      one.child.stdin.end()
      assert.equal(await one.ended, 0)
    }
  })

  test('section 12: no name from the wire leaves the upload', async () => {
    const { site, talk } = await opened()
    for (const file of ['../x', '..', 'a/b', '']) {
      const record = site.record()
      talk.upload(record, {})
      talk.part(record, file, 'x', 0, 'x')
      talk.publish(record)
      assert.equal((await talk.hear('unpublished')).id, record.id)
    }
    assert.deepEqual([site.waiting(), names(site.dir)], [[], ['workspace']])
    const other = site.record()
    talk.upload(other, {})
    talk.say({ type: 'publish', id: other.id, digest: digest(other.id), record: site.record() })
    assert.match((await talk.hear('unpublished')).why, /another job's/)
    talk.child.stdin.end()
    await talk.ended
  })

  test('section 8: a pass that was overtaken changes nothing any more', async () => {
    const { site, talk } = await opened()
    const newer = await opened(site)
    const record = site.record()
    talk.upload(record, {})
    assert.match((await talk.hear('refused')).why, /a newer pass of this gateway has begun/)
    assert.equal(await talk.ended, 0)
    assert.deepEqual(names(site.spool.stagings), [])
    newer.talk.upload(record, {})
    newer.talk.publish(record)
    assert.equal((await newer.talk.hear('published')).id, record.id)
    newer.talk.child.stdin.end()
    await newer.talk.ended
  })

  test('a collect of a job that has no result, or is not there, says which', async () => {
    const { site, talk } = await opened()
    const job = await site.publish()
    talk.say({ type: 'collect', id: job.id, key: job.key })
    talk.say({ type: 'collect', id: site.record().id, key: job.key })
    assert.deepEqual([(await talk.hear('uncollected')).gone, (await talk.hear('uncollected')).gone], [false, true])
    talk.child.stdin.end()
    await talk.ended
  })

  test('look() drops the key of a job that was cleaned up to its last step, and tells the others', async () => {
    const site = new Site()
    sites.push(site)
    const job = await site.publish()
    await site.drain()
    const gone = site.record()
    site.files.createExclusive(join(site.spool.done(site.gateway), gone.key), '')
    site.files.createExclusive(join(site.spool.done(site.gateway), '.foreign'), '')
    const talk = new Conversation(site.spool.root)
    talk.say(hello({ gateway: site.gateway, workspace: site.pass.workspace, lanes: [site.shape] }))
    const welcome = await talk.hear('welcome')
    assert.deepEqual(
      welcome.done.map(({ id }) => id),
      [job.id],
    )
    assert.deepEqual(site.done().sort(), ['.foreign', job.key].sort())
    talk.child.stdin.end()
    await talk.ended
  })

  test('one job that cannot be cleaned or read delays no other', async () => {
    const { site, talk } = await opened()
    const jobs = [await site.publish(), await site.publish()]
    await site.drain()
    talk.say({ type: 'clean', id: jobs[0]?.id ?? '', key: jobs[1]?.key ?? '', keepMs: 0 })
    talk.say({ type: 'clean', id: jobs[1]?.id ?? '', key: jobs[1]?.key ?? '', keepMs: 0 })
    await talk.hear('cleaned', (answer) => 'id' in answer && answer.id === jobs[1]?.id)
    assert.deepEqual(site.done(), [jobs[0]?.key])
    mkdirSync(site.spool.control(site.record().id).record, { recursive: true })
    talk.say({
      type: 'ask',
      ids: [names(site.spool.controls).find((id) => id !== jobs[0]?.id) ?? '', jobs[0]?.id ?? ''],
    })
    assert.deepEqual(
      (await talk.hear('known')).jobs.map(({ where }) => where),
      ['unknown', 'done'],
    )
    const spoilt = names(site.spool.controls).find((id) => !jobs.some((job) => job.id === id)) ?? ''
    talk.say({ type: 'cancel', id: spoilt, cause: 'cancelled', why: 'asked to' })
    assert.equal((await talk.hear('cancelling')).how, 'unknown')
    talk.child.stdin.end()
    assert.equal(await talk.ended, 0, talk.stderr)
  })

  test('a program that is not what it should be is noticed by its digest', async () => {
    const site = new Site()
    sites.push(site)
    const dir = join(site.dir, 'programs')
    mkdirSync(dir)
    for (const name of ['hpc_queuer', 'hpc_runner', 'package.json'])
      copyFileSync(join(root, 'on_hpc', 'scripts', name), join(dir, name))
    const digestOf = (name: string) => digest(readFileSync(join(dir, name)))
    const argv = () => [process.execPath, join(dir, 'hpc_queuer'), '--workspace', site.spool.root] as const
    const digests = ['--digest', digestOf('hpc_queuer'), '--runner-digest', digestOf('hpc_runner')]
    assert.match((await runCommand({ argv: [...argv(), ...digests] }, 10_000)).stdout, /^hpc_queuer ready 1\n/)
    writeFileSync(join(dir, 'hpc_runner'), `${readFileSync(join(dir, 'hpc_runner'), 'utf8')}\n`)
    const damaged = await runCommand({ argv: [...argv(), ...digests] }, 10_000)
    assert.deepEqual([damaged.code, damaged.stdout], [69, 'hpc_queuer needs programs: damaged\n'])
  })
})

describe('the workspace', () => {
  const site = new Site()
  after(() => site.end())
  const open = (more: object, uid = site.queuer.uid, root_ = site.spool.root) =>
    openPass(
      { ...site.queuer, uid, spool: { ...site.spool, root: root_ } },
      hello({ workspace: site.pass.workspace, ...more }),
    )
  const refusal = (more: object, uid?: number) => {
    const answer = open(more, uid)
    assert.ok('type' in answer, 'it was not refused')
    return answer
  }

  test('section 12: one that belongs to somebody else is refused', () => {
    assert.match(refusal({}, site.queuer.uid + 1).why, /belongs to uid/)
    assert.equal(refusal({}, site.queuer.uid + 1).code, 'denied')
  })
  test('section 8: another one than the jobs were sent to is refused', () => {
    assert.match(
      refusal({ workspace: 'other' }).why,
      /is another one .* than this gateway's jobs were sent to \(other\)/,
    )
  })
  test('two gateways share it, each with its own passes', () => {
    const a = open({ gateway: 'a' })
    const b = open({ gateway: 'b' })
    const again = open({ gateway: 'a' })
    assert.deepEqual(
      [a, b, again].map((pass) => 'generation' in pass && pass.generation),
      [1, 1, 2],
    )
  })
  test('section 14: a copy of a dropbox is not served beside its original, unless it is taken over', () => {
    const copy = { gateway: 'a', dropbox: { inode: '2', host: 'elsewhere' } }
    assert.match(refusal(copy).why, /copy of one served from test-host less than an hour ago/)
    // the same folder under a new host name, as a container has at each start, is no copy
    assert.ok('generation' in open({ gateway: 'a', dropbox: { inode: '1', host: 'renamed' } }))
    assert.ok('generation' in open({ ...copy, takeOver: true }))
    assert.match(refusal({ gateway: 'a' }).why, /served from elsewhere/)
  })
  test('P-HB-31: a link of the account that leads to it is followed', () => {
    symlinkSync(site.spool.root, join(site.dir, 'link'))
    assert.ok('generation' in open({}, site.queuer.uid, join(site.dir, 'link')))
  })
  test('rights beyond the owner are taken away', () => {
    chmodSync(site.spool.root, 0o755)
    open({})
    assert.equal((site.files.stat(site.spool.root)?.mode ?? 0) & 0o777, 0o700)
  })
  test('section 14: a newer format is refused politely; a marker that is lost or torn is never made again under jobs', () => {
    const marker = readFileSync(site.spool.marker)
    writeFileSync(site.spool.marker, JSON.stringify({ uuid: site.pass.workspace, format: 99 }))
    assert.match(refusal({}).why, /format 99, this version knows 1/)
    writeFileSync(site.spool.marker, '')
    assert.match(refusal({}).why, /is not whole/)
    assert.match(refusal({ workspace: null }).why, /is not whole/, 'it may be being written')
    site.files.remove(site.spool.marker)
    assert.match(refusal({}).why, /has lost its marker/)
    writeFileSync(site.spool.marker, marker)
    assert.ok('generation' in open({}))
  })
  test('promise 1: a torn marker that was left by a crash is replaced for a gateway without jobs there', () => {
    writeFileSync(site.spool.marker, '{"uu')
    const minuteAgo = Date.now() / 1000 - 60
    utimesSync(site.spool.marker, minuteAgo, minuteAgo)
    const pass = open({ workspace: null })
    assert.ok('workspace' in pass && pass.workspace.length === 36)
  })
})

test('Receiver: a piece that does not follow the one before spoils the job, and no descriptor stays open', async () => {
  const site = new Site()
  const open = () => names('/proc/self/fd').length
  const before = open()
  const receiver = new Receiver(site.queuer)
  const record = site.record({ inputs: { in: 'abc' } })
  const stage = { type: 'stage', id: record.id, digest: digest(record.id), lane: record.lane, resume: false } as const
  const part = { type: 'part', id: record.id, digest: digest(record.id), file: 'in' } as const
  receiver.begin(stage)
  await receiver.part({ ...part, offset: 0 }, Buffer.from('a'))
  receiver.begin(stage)
  await receiver.part({ ...part, offset: 0 }, Buffer.from('a'))
  await receiver.part({ ...part, offset: 2 }, Buffer.from('c'))
  const finished = receiver.finish(record.id, Object.values(record.inputs))
  assert.ok('fault' in finished)
  assert.match(finished.fault, /piece at 2 of "in" came at 1/)
  receiver.begin(stage)
  await receiver.part({ ...part, offset: 0 }, Buffer.from('a'))
  receiver.end()
  assert.equal(open(), before)
  await site.end()
})
