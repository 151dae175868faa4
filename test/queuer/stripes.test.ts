/** Pieces of one upload come by several ways: what they become, whatever order they come in and whatever ends early. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { existsSync, readFileSync, statSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { dirname, join } from 'node:path'
import { PassThrough } from 'node:stream'
import { test } from 'node:test'
import { type Answer, encodeFrame, FrameReader, type Request, readyMark } from '../../contract/protocol.ts'
import type { JobRecord } from '../../contract/spool-records.ts'
import { serve } from '../../queuer/serve.ts'
import { digest, hello, names, Site } from '../support/site.ts'
import { until } from '../support/world.ts'

const pieces = ['one', 'two', 'three', 'four', 'five'].map((word) => Buffer.from(word.repeat(30_000)))
const content = Buffer.concat(pieces)
const offsets = pieces.map((_, index) => Buffer.concat(pieces.slice(0, index)).length)

/** A conversation, and the stripes beside it. */
class Talk {
  readonly site = new Site()
  readonly record: JobRecord = this.site.record({ inputs: { in: content.toString() } })
  readonly job = { id: this.record.id, digest: digest(this.record.id) }
  readonly answers: Answer[] = []
  readonly #input = new PassThrough()
  readonly #served: Promise<void>

  constructor() {
    const output = new PassThrough()
    const reader = new FrameReader<Answer>()
    let skip = readyMark.length
    output.on('data', (chunk: Buffer) => {
      for (const { header } of reader.push(chunk.subarray(skip))) this.answers.push(header)
      skip = 0
    })
    this.#served = serve(this.site.queuer, this.#input, output)
    const { gateway, pass, shape } = this.site
    this.say(hello({ gateway, workspace: pass.workspace, lanes: [shape] }))
  }

  say(request: Request, body?: Uint8Array): void {
    this.#input.write(encodeFrame(request, body))
  }

  async heard<T extends Answer['type']>(type: T): Promise<Extract<Answer, { type: T }>> {
    await until(`an answer of ${type}`, () => this.answers.some((answer) => answer.type === type))
    const at = this.answers.findIndex((answer) => answer.type === type)
    return this.answers.splice(at, 1)[0] as Extract<Answer, { type: T }>
  }

  async stage(): Promise<number> {
    this.say({ type: 'stage', ...this.job, lane: this.record.lane, resume: true })
    return (await this.heard('have')).offsets.in ?? 0
  }

  async socket(): Promise<string> {
    this.say({ type: 'stripes' })
    const { socket } = await this.heard('striping')
    assert.ok(socket)
    return socket
  }

  piece(index: number): [Request, Uint8Array] {
    return [{ type: 'part', ...this.job, file: 'in', offset: offsets[index] ?? 0 }, pieces[index] ?? Buffer.alloc(0)]
  }

  last(): void {
    const last = { size: content.length, sha256: digest(content.toString()), mode: 0o644 }
    this.say({ type: 'part', ...this.job, file: 'in', offset: content.length, last })
  }

  publish(): void {
    this.say({ type: 'publish', ...this.job, record: this.record })
  }

  get file(): string {
    return join(this.site.spool.staging(this.job.id, this.job.digest, this.record.lane), 'job', 'input', 'in')
  }

  get size(): number {
    return existsSync(this.file) ? statSync(this.file).size : 0
  }

  async end(): Promise<void> {
    this.#input.end()
    await this.#served
    await this.site.end()
  }
}

async function stripe(path: string): Promise<{ socket: Socket; give(piece: [Request, Uint8Array?]): void }> {
  const socket = connect(path)
  socket.on('error', () => undefined)
  await once(socket, 'connect')
  return { socket, give: ([request, body]) => socket.write(encodeFrame(request, body)) }
}

test('pieces that come out of order by several ways are written in order, and the file never has a hole', async () => {
  const talk = new Talk()
  await talk.stage()
  const path = await talk.socket()
  assert.equal(statSync(dirname(path)).mode & 0o777, 0o700)
  const [one, two] = [await stripe(path), await stripe(path)]
  two.give(talk.piece(3))
  two.give(talk.piece(4))
  one.give(talk.piece(1))
  talk.say(...talk.piece(2))
  talk.last()
  talk.publish()
  await new Promise((resolve) => setTimeout(resolve, 100))
  assert.equal(talk.size, 0)
  one.give(talk.piece(1))
  const first = await stripe(path)
  first.give(talk.piece(0))
  await talk.heard('published')
  const published = join(talk.site.spool.workDir(talk.job.id, 1), 'input', 'in')
  assert.ok(readFileSync(published).equals(content))
  await talk.end()
  assert.equal(existsSync(dirname(path)), false)
})

test('promise 1: a way that ends early leaves a file without a hole, which is not published and is gone on with', async () => {
  const talk = new Talk()
  await talk.stage()
  const path = await talk.socket()
  const [one, two] = [await stripe(path), await stripe(path)]
  one.give(talk.piece(0))
  two.give(talk.piece(2))
  talk.say(...talk.piece(3))
  await until('the first piece', () => talk.size === offsets[1])
  // the second piece was lost with its channel
  one.socket.destroy()
  talk.last()
  talk.publish()
  assert.match((await talk.heard('unpublished')).why, /ended early/)
  assert.deepEqual(names(talk.site.spool.queue(talk.record.lane)), [])
  assert.equal(await talk.stage(), offsets[1])
  assert.ok(readFileSync(talk.file).equals(content.subarray(0, offsets[1])))
  // what the other way had held comes again, and once more beside it
  const three = await stripe(path)
  for (const index of [1, 2, 3]) three.give(talk.piece(index))
  two.give(talk.piece(2))
  talk.say(...talk.piece(4))
  talk.last()
  talk.publish()
  await talk.heard('published')
  await talk.end()
})

test('what comes by a stripe adds to uploads of this conversation, and does nothing else', async () => {
  const talk = new Talk()
  await talk.stage()
  const path = await talk.socket()
  const strange = await stripe(path)
  strange.give([
    { type: 'part', ...talk.job, id: 'j00000000-0000-4000-8000-000000000000', file: 'in', offset: 0 },
    content,
  ])
  strange.give([{ type: 'part', ...talk.job, digest: digest('another'), file: 'in', offset: 0 }, content])
  strange.give([{ type: 'end' }])
  strange.socket.end()
  await once(strange.socket, 'close')
  const cancelling = await stripe(path)
  cancelling.give([{ type: 'cancel', id: talk.job.id, cause: 'cancelled', why: 'not here' }])
  await once(cancelling.socket, 'close')
  assert.equal(talk.size, 0)
  assert.equal(
    talk.answers.some(({ type }) => type === 'cancelling'),
    false,
  )
  const outside = await stripe(path)
  await talk.stage()
  outside.give([{ type: 'part', ...talk.job, file: '../../escaped', offset: 0 }, content])
  outside.give([{ type: 'end' }])
  talk.publish()
  assert.match((await talk.heard('unpublished')).why, /no file name|did not arrive whole/)
  await talk.end()
})
