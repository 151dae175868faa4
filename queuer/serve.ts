/** One conversation with a submitter: requests in, answers out, until stdin ends. Requests are done in order; only `ensure` runs beside. */

import { join } from 'node:path'
import type { Readable, Writable } from 'node:stream'
import { describeError } from '../contract/errors.ts'
import {
  type CheckLine,
  encodeFrame,
  FrameReader,
  protocolVersion,
  type Request,
  readyMark,
  type Whereabouts,
} from '../contract/protocol.ts'
import { keysIn } from '../contract/spool.ts'
import { BatchWriter } from '../system/batch-writer.ts'
import { PieceSender } from '../system/piece-sender.ts'
import { isMachineTrouble } from '../system/trouble.ts'
import { heldKeys, locate } from './audit.ts'
import { isFull, keepBallast, withBallast } from './ballast.ts'
import { cancelJob } from './cancel.ts'
import { checkSite } from './check.ts'
import { cleanJob, sweep } from './clean.ts'
import { collectJob, type Out, type Send } from './collect.ts'
import { ensureRunners } from './ensure-runner.ts'
import { keepFresh } from './keep-fresh.ts'
import { ensureLanes } from './lane-files.ts'
import { look } from './look.ts'
import { isNewestPass, openPass } from './open-workspace.ts'
import { checkRecord, publishJobs, type Upload } from './publish.ts'
import type { Pass, Queuer } from './queuer.ts'
import { Receiver } from './receive.ts'
import { Store } from './store.ts'
import { Stripes } from './stripes.ts'

class Overtaken extends Error {}

/** A folder synced once for so many jobs costs each next to nothing; and so long nobody hears of the first of them. */
const publishedTogether = 64

export async function serve(queuer: Queuer, input: Readable, output: Writable): Promise<void> {
  // a submitter that went away must not end us in the middle of a submission: what was begun is carried through, unheard
  let heard = true
  const deaf = new Promise<void>((resolve) => {
    output.on('error', () => {
      heard = false
      resolve()
    })
  })
  const answers = new BatchWriter(output)
  const send: Send = async (answer, body) => {
    const room = heard ? answers.write(encodeFrame(answer, body)) : undefined
    if (room !== undefined) await Promise.race([room, deaf])
  }
  const sendFrame = async (frame: Uint8Array) => {
    if (heard) await answers.through(frame)
  }
  output.write(readyMark)
  const reader = new FrameReader<Request>()
  const conversation = new Conversation(queuer, { send, pieces: new PieceSender(sendFrame) })
  try {
    const chunks = input[Symbol.asyncIterator]()
    talk: for (;;) {
      const next = chunks.next()
      await conversation.publishUnless(next)
      const { done, value } = await next
      if (done === true || !heard) break
      for (const { header, body } of reader.push(value as Uint8Array)) {
        if (header.type === 'end') break talk
        await conversation.answer(header, body)
      }
    }
    await conversation.publishGathered()
  } catch (error) {
    if (!(error instanceof Overtaken)) throw error
    await send({
      type: 'refused',
      why: error.message,
      hint: 'nothing to do: the newer pass goes on',
      code: 'transient',
    })
  } finally {
    await conversation.end()
    await send({ type: 'ended' })
    const room = heard ? answers.flush() : undefined
    if (room !== undefined) await Promise.race([room, deaf])
  }
}

class Conversation {
  readonly #queuer: Queuer
  readonly #out: Out
  readonly #send: Send
  readonly #receiver: Receiver
  readonly #stripes: Stripes
  readonly #store: Store
  readonly #beside = new Set<Promise<void>>()
  #askedNewest = false
  /** Whole and verified, not yet published: they are published together. */
  #gathered = new Map<string, Upload>()
  #pass: Pass | undefined
  #timer: NodeJS.Timeout | undefined

  constructor(queuer: Queuer, out: Out) {
    const { send } = out
    this.#queuer = queuer
    this.#out = out
    this.#send = send
    const breathe = () => send({ type: 'log', level: 'debug', text: 'reading what is here already' })
    this.#store = new Store(queuer, breathe)
    const receiver = new Receiver(queuer, breathe, this.#store)
    this.#receiver = receiver
    this.#stripes = new Stripes({
      part: (request, body) => receiver.part(request, body),
      broke: (why) => receiver.breakOff(why),
    })
  }

  async end(): Promise<void> {
    this.#unwatch()
    this.#receiver.end()
    await this.#stripes.end()
    await Promise.all(this.#beside)
  }

  /** The pass, still the newest of its gateway: asked before every change. */
  #newest(): Pass {
    if (this.#pass === undefined) throw new Error('a request came before the hello')
    if (!isNewestPass(this.#queuer, this.#pass)) throw new Overtaken('a newer pass of this gateway has begun')
    return this.#pass
  }

  async answer(request: Request, body: Uint8Array): Promise<void> {
    const queuer = this.#queuer
    // in order: what comes after a publication finds it done
    if (!['stage', 'part', 'stripes', 'publish'].includes(request.type)) await this.publishGathered()
    if (request.type !== 'part') queuer.log.debug(`${request.type}${'id' in request ? ` ${request.id}` : ''}`)
    switch (request.type) {
      case 'hello':
        return this.#hello(request).catch((error: unknown) => this.#refuseHello(error))
      case 'lanes': {
        const pass = this.#newest()
        ensureLanes(queuer, request.lanes)
        this.#pass = { ...pass, lanes: [...pass.lanes, ...request.lanes] }
        return
      }
      case 'stage': {
        if (this.#gathered.has(request.id)) await this.publishGathered()
        // many come in one chunk: asked once for all of it
        if (!this.#askedNewest) this.#newest()
        this.#askedNewest = true
        const offsets = this.#receiver.begin(request)
        const stored = this.#store.ofSizes(request.sizes ?? [])
        if (request.resume) await this.#send({ type: 'have', id: request.id, offsets, stored })
        return
      }
      case 'part':
        return this.#receiver.part(request, body)
      case 'stripes': {
        this.#newest()
        const socket = await this.#stripes.listen()
        this.#receiver.striped = socket !== null
        return this.#send({ type: 'striping', socket })
      }
      case 'publish':
        return this.#gather(request)
      case 'ensure':
        return this.#ensure(this.#newest())
      case 'collect':
        this.#newest()
        return collectJob(queuer, this.#out, request.id)
      case 'clean': {
        const { gateway } = this.#newest()
        // what could not be cleaned keeps its key, by which the next pass finds it
        this.#ofJob(request.id, undefined, () => cleanJob(queuer, gateway, request.id, request.key, request.keepMs))
        return this.#send({ type: 'cleaned', id: request.id })
      }
      case 'cancel': {
        this.#newest()
        const how = this.#ofJob(request.id, 'unknown' as const, () => {
          const ended = cancelJob(queuer, request)
          if (ended === 'absent') this.#receiver.forget(request.id)
          return ended
        })
        return this.#send({ type: 'cancelling', id: request.id, how })
      }
      case 'ask':
        return this.#send({ type: 'known', jobs: await this.#locateAll(request.ids) })
      case 'check':
        return this.#send({ type: 'checked', lines: await this.#check(request.scheduler) })
      case 'watch':
        return this.#watch(request.everyMs)
      case 'end':
        return
    }
  }

  /** One job's trouble is told, and delays no other. */
  #ofJob<T>(id: string, otherwise: T, act: () => T): T {
    try {
      return act()
    } catch (error) {
      this.#queuer.log.warn(`${id}: ${describeError(error)}`)
      return otherwise
    }
  }

  async #locateAll(ids: readonly string[]): Promise<{ id: string; where: Whereabouts; attempt: number }[]> {
    const held = heldKeys(this.#queuer)
    const jobs: { id: string; where: Whereabouts; attempt: number }[] = []
    for (const id of ids) {
      try {
        jobs.push({ id, ...(await locate(this.#queuer, id, held)) })
      } catch (error) {
        this.#queuer.log.warn(`${id}: ${describeError(error)}`)
        jobs.push({ id, where: 'unknown', attempt: 0 })
      }
    }
    return jobs
  }

  /** Told once: the pass that follows collects all there is. */
  #watch(everyMs: number): void {
    const { files, spool } = this.#queuer
    const pass = this.#newest()
    this.#unwatch()
    this.#timer = setInterval(
      () => {
        if (this.#ofJob('watch', 0, () => keysIn(files.list(spool.done(pass.gateway))).length) === 0) return
        this.#unwatch()
        void this.#send({ type: 'news' })
      },
      Math.max(100, everyMs),
    )
  }

  #unwatch(): void {
    clearInterval(this.#timer)
    this.#timer = undefined
  }

  async #hello(request: Extract<Request, { type: 'hello' }>): Promise<void> {
    if (request.protocol !== protocolVersion) {
      const why = `this hpc_queuer speaks protocol ${protocolVersion}, the submitter ${request.protocol}`
      return this.#send({ type: 'refused', why, hint: 'run hpc-submitter deploy', code: 'config' })
    }
    const opened = withBallast(this.#queuer, () => openPass(this.#queuer, request))
    if ('type' in opened) return this.#send(opened)
    this.#pass = opened
    this.#receiver.lookAnew()
    this.#unwatch()
    if (request.peek) return this.#send({ ...look(this.#queuer, opened), store: { from: 0, upTo: 0 } })
    ensureLanes(this.#queuer, opened.lanes)
    sweep(this.#queuer)
    keepBallast(this.#queuer)
    this.#keepFresh(opened)
    const store = this.#store.lookAnew(opened.storeBytes)
    return this.#send({ ...look(this.#queuer, opened), store })
  }

  /** A pass has a number and folders, or is none: what keeps us from writing them is told to the operator. */
  async #refuseHello(error: unknown): Promise<void> {
    if (!isMachineTrouble(error)) throw error
    await this.#send({
      type: 'refused',
      why: `the workspace ${this.#queuer.spool.root} cannot be written: ${describeError(error)}`,
      hint: isFull(error)
        ? 'make room there (its disk or your quota is full); nothing is lost meanwhile'
        : 'see whether its file system is in order there; nothing is lost meanwhile',
      code: 'transient',
    })
  }

  #keepFresh({ gateway, generation }: Pass): void {
    const { files, spool } = this.#queuer
    // just written, so it tells the file server's time
    const pass = files.stat(join(spool.passes(gateway), String(generation)))
    const done = keepFresh(this.#queuer, pass?.mtimeMs)
      .then((touched) => {
        this.#queuer.log.debug(`${touched} names touched`)
        // once a day
        if (touched > 0) this.#store.expire()
      })
      .catch((error: unknown) => this.#queuer.log.warn(`cannot keep the workspace fresh: ${describeError(error)}`))
    this.#goOnBeside(done)
  }

  #goOnBeside(work: Promise<void>): void {
    const task = work.finally(() => this.#beside.delete(task))
    this.#beside.add(task)
  }

  #check(scheduler: string): Promise<CheckLine[]> {
    return checkSite(this.#queuer, this.#newest(), scheduler, this.#store.describe())
  }

  async #gather(request: Extract<Request, { type: 'publish' }>): Promise<void> {
    const { record } = request
    const fault = checkRecord(record) ?? (record.id === request.id ? undefined : "its record is another job's")
    const upload = fault === undefined ? this.#receiver.finish(request.id, Object.values(record.inputs)) : { fault }
    if ('fault' in upload) {
      const { fault: why, ...lacking } = upload
      return this.#send({ type: 'unpublished', id: request.id, why, ...lacking })
    }
    this.#gathered.set(request.id, { staged: upload.dir, record })
    if (this.#gathered.size >= publishedTogether) await this.publishGathered()
  }

  /** Publishes what was gathered when nothing more has come, a turn of the event loop later. */
  async publishUnless(next: Promise<unknown>): Promise<void> {
    this.#askedNewest = false
    if (this.#gathered.size === 0) return
    let came = false
    const note = () => {
      came = true
    }
    next.then(note, note)
    for (let turn = 0; turn < 2 && !came; turn++) await new Promise((resolve) => setImmediate(resolve))
    if (!came) await this.publishGathered()
  }

  async publishGathered(): Promise<void> {
    const uploads = [...this.#gathered.values()]
    if (uploads.length === 0) return
    this.#gathered = new Map()
    const faults = await publishJobs(this.#queuer, uploads, () => void this.#newest())
    const at = new Date(this.#queuer.clock.now()).toISOString()
    for (const [index, { record }] of uploads.entries()) {
      const fault = faults[index]
      if (fault === undefined) await this.#send({ type: 'published', id: record.id, at })
      else await this.#send({ type: 'unpublished', id: record.id, why: describeError(fault.error) })
    }
    this.#goOnBeside(this.#store.fill())
  }

  /** The scheduler may take long to answer; what else was asked goes on meanwhile. */
  #ensure(pass: Pass): void {
    const done = ensureRunners(this.#queuer, pass)
      .then((ensured) => this.#send({ type: 'ensured', ...ensured }))
      .catch((error: unknown) => this.#send({ type: 'ensured', lanes: [], repaired: 0, trouble: describeError(error) }))
    this.#goOnBeside(done)
  }
}
