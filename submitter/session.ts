/** One conversation with a site's hpc_queuer over a kept connection: requests go out without waiting, answers find who asked. */
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import { describeError, HpcError } from '../contract/errors.ts'
import { type Answer, encodeFrame, FrameReader, type Request } from '../contract/protocol.ts'
import { BatchWriter } from '../system/batch-writer.ts'
import type { Site } from './config.ts'
import type { Gateway } from './gateway.ts'
import { type Started, startQueuer } from './start-queuer.ts'
import { StoreView } from './store-view.ts'
import type { Channel, Connection } from './transport/transport.ts'

/** hpc_queuer answers a scheduler's silence after 30 s at most; so long a silence of its own means that it hangs. */
const silenceMs = 180_000
const watchEveryMs = 5_000

type AnswerOf<T extends Answer['type']> = Extract<Answer, { type: T }>

/** Takes what comes for one job that is being collected. */
export interface Collector {
  result(answer: AnswerOf<'result'>): void
  piece(answer: AnswerOf<'piece'>, body: Uint8Array): void
  /** Nothing more will come: what has come is thrown away. */
  discard(locked?: boolean): void
}

export class Session {
  readonly site: Site
  readonly #gateway: Gateway
  readonly #connection: Connection
  readonly #channel: Channel
  readonly #requests: BatchWriter
  readonly #waiters = new Map<string, { resolve: (answer: Answer) => void; reject: (error: unknown) => void }>()
  /** Called when the site says, between passes, that something is done. */
  onNews: (() => void) | undefined
  readonly collectors = new Map<string, Collector>()
  readonly store = new StoreView()
  #fault: HpcError | undefined
  /** What awaits room: a session that breaks frees nobody. */
  readonly #held = new Set<(error: HpcError) => void>()
  #closed = false
  #heardMs: number
  readonly #watchdog: NodeJS.Timeout

  private constructor(
    gateway: Gateway,
    site: Site,
    connection: Connection,
    started: Extract<Started, { ready: true }>,
  ) {
    this.#gateway = gateway
    this.site = site
    this.#connection = connection
    this.#channel = started.channel
    this.#requests = new BatchWriter(started.channel.stdin)
    if (started.noise.trim() !== '')
      gateway.log.debug(`${site.name}: the login shell printed: ${started.noise.trim().slice(0, 500)}`)
    started.channel.stderr.on('data', (chunk: Buffer) =>
      gateway.log.debug(`${site.name}: ${chunk.toString('utf8').trim()}`),
    )
    started.channel.stdin.on('error', (error: Error) => this.#fail(broken(site, error)))
    connection.broken.catch((error: unknown) => this.#fail(broken(site, error)))
    this.#heardMs = gateway.clock.monotonicMs()
    this.#watchdog = setInterval(() => this.#watch(), watchEveryMs)
    this.#watchdog.unref()
    void this.#read(started.rest)
  }

  /** Connects, uploads the programs where they are missing, and starts the queuer. */
  static async open(gateway: Gateway, site: Site, knowsWorkspace: boolean, begun?: () => void): Promise<Session> {
    const connection = await gateway.transportFor(site).connect(begun)
    begun?.()
    try {
      let started = await startInTime(gateway, connection, site)
      if (!started.ready && started.needs === 'programs') {
        if (started.detail === 'damaged')
          gateway.log.warn(`${site.name}: the programs there are damaged; uploading them again`)
        else if (knowsWorkspace && started.detail !== 'marked') throw lostWorkspace(site)
        await uploadPrograms(gateway, connection, site)
        started = await startInTime(gateway, connection, site)
      }
      if (!started.ready) throw cannotStart(site, started)
      return new Session(gateway, site, connection, started)
    } catch (error) {
      await connection.close().catch(() => undefined)
      throw error
    }
  }

  /** Sends a request; resolves when there is room for the next one. */
  async send(request: Request, body?: Uint8Array): Promise<void> {
    if (this.#fault !== undefined) throw this.#fault
    if (body !== undefined) this.#heardMs = this.#gateway.clock.monotonicMs()
    const room = this.#requests.write(encodeFrame(request, body))
    if (room !== undefined) await this.#unlessBroken(room)
  }

  /** Sends a frame made by the caller; resolves when its memory may be used again. */
  async sendFrame(frame: Uint8Array, by: BatchWriter = this.#requests): Promise<void> {
    if (this.#fault !== undefined) throw this.#fault
    this.#heardMs = this.#gateway.clock.monotonicMs()
    await this.#unlessBroken(by.through(frame))
  }

  get roundTripMs(): number {
    return this.#connection.roundTripMs
  }

  get canOpenSockets(): boolean {
    return this.#connection.openSocket !== undefined
  }

  /** Another channel of the connection, which leads to a socket of the site's. */
  async openSocket(path: string): Promise<Channel> {
    if (this.#connection.openSocket === undefined) throw new Error('this transport has no channels to sockets')
    return this.#connection.openSocket(path)
  }

  /** Not Promise.race: what it is raced with would keep every piece of a long upload in mind. */
  #unlessBroken(room: Promise<unknown>): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#held.add(reject)
      room.finally(() => this.#held.delete(reject)).then(() => resolve(), reject)
    })
  }

  /** The answer of that type (for that job). Ask before you send. */
  answer<T extends Answer['type']>(types: T | readonly T[], id = ''): Promise<AnswerOf<T>> {
    const wanted: readonly T[] = typeof types === 'string' ? [types] : types
    const promise = new Promise<AnswerOf<T>>((resolve, reject) => {
      if (this.#fault !== undefined) {
        reject(this.#fault)
        return
      }
      const done = (answer: Answer) => {
        for (const type of wanted) this.#waiters.delete(`${type}:${id}`)
        resolve(answer as AnswerOf<T>)
      }
      for (const type of wanted) this.#waiters.set(`${type}:${id}`, { resolve: done, reject })
    })
    // whoever asked awaits it later; until then a broken connection must not count as unhandled
    promise.catch(() => undefined)
    return promise
  }

  /** One request and its one answer. */
  async ask<T extends Answer['type']>(request: Request, type: T): Promise<AnswerOf<T>> {
    const answer = this.answer(type)
    await this.send(request)
    return answer
  }

  async #read(rest: Buffer): Promise<void> {
    const reader = new FrameReader<Answer>()
    const take = (chunk: Uint8Array) => {
      this.#heardMs = this.#gateway.clock.monotonicMs()
      for (const { header, body } of reader.push(chunk)) this.#take(header, body)
      reader.keep()
    }
    try {
      take(rest)
      this.#channel.borrow?.()
      await eachChunk(this.#channel.stdout, take)
      await this.#channel.exited
      this.#fail(new HpcError('transient', `Cannot go on with site "${this.site.name}": hpc_queuer ended early`))
    } catch (error) {
      this.#fail(broken(this.site, error))
    }
  }

  #take(answer: Answer, body: Uint8Array): void {
    switch (answer.type) {
      case 'refused':
        this.#fail(
          new HpcError(answer.code, `Cannot work with site "${this.site.name}": ${answer.why}`, { hint: answer.hint }),
        )
        break
      case 'ended':
        // asked for, it is the end of all; unasked it is followed by the end of the stream, which fails whoever still waits
        break
      case 'log':
        this.#gateway.log[answer.level](`${this.site.name}: ${answer.text}`)
        break
      case 'news':
        this.onNews?.()
        break
      case 'piece':
        this.collectors.get(answer.id)?.piece(answer, body)
        break
      case 'result':
        this.collectors.get(answer.id)?.result(answer)
        break
      default:
        this.#waiters.get(`${answer.type}:${'id' in answer ? answer.id : ''}`)?.resolve(answer)
    }
  }

  /** A connection can live while what it leads to hangs: nobody waits for that for ever. */
  #watch(): void {
    const now = this.#gateway.clock.monotonicMs()
    // what waits for room waits for the site, too
    if (this.#waiters.size === 0 && this.#held.size === 0) this.#heardMs = now
    else if (now - this.#heardMs > silenceMs) {
      this.#fail(
        new HpcError(
          'transient',
          `Cannot go on with site "${this.site.name}": hpc_queuer has said nothing for ${silenceMs / 1000} s`,
          {
            hint: 'see whether the file system of the workspace hangs there',
          },
        ),
      )
    }
  }

  #fail(error: HpcError): void {
    if (this.#fault !== undefined || this.#closed) return
    this.#fault = error
    for (const reject of this.#held) reject(error)
    this.#held.clear()
    for (const { reject } of this.#waiters.values()) reject(error)
    this.#waiters.clear()
  }

  get alive(): boolean {
    return this.#fault === undefined && !this.#closed
  }

  async close(): Promise<void> {
    clearInterval(this.#watchdog)
    if (this.alive) {
      this.#closed = true
      this.#requests.write(encodeFrame({ type: 'end' }))?.catch(() => undefined)
      this.#requests.flush()?.catch(() => undefined)
      this.#channel.stdin.end()
      await this.#gateway.clock.within(
        5_000,
        this.#channel.exited.catch(() => undefined),
      )
    }
    this.#channel.kill()
    await this.#connection.close().catch(() => undefined)
  }
}

/** Not `for await`: that joins what has come meanwhile into new memory each time. */
function eachChunk(stream: Readable, take: (chunk: Uint8Array) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    stream.on('data', (chunk: Uint8Array) => {
      try {
        take(chunk)
      } catch (error) {
        stream.destroy()
        reject(error)
      }
    })
    stream.once('error', reject)
    stream.once('end', resolve)
    stream.once('close', resolve)
    stream.resume()
  })
}

/** Waits for a site's word, but not for ever: a login may say nothing (a home folder that hangs, say) and the site's lock is held. */
export async function inTime<T>(gateway: Gateway, site: Site, what: string, answer: Promise<T>): Promise<T> {
  const told = await gateway.clock.within(
    silenceMs,
    answer.then((value) => ({ value })),
  )
  if (told !== undefined) return told.value
  throw new HpcError(
    'transient',
    `Cannot ${what} at site "${site.name}": it has said nothing for ${silenceMs / 1000} s`,
    { hint: 'see whether a login there hangs', concerns: { site: site.name } },
  )
}

export function startInTime(gateway: Gateway, connection: Connection, site: Site): Promise<Started> {
  const starting = startQueuer(connection, site, gateway.programs(), gateway.options.debug)
  return inTime(gateway, site, 'start hpc_queuer', starting)
}

export async function uploadPrograms(gateway: Gateway, connection: Connection, site: Site): Promise<void> {
  const programs = gateway.programs()
  const dir = join(site.hpcEnv.workspace, 'programs', programs.folder)
  gateway.log.info(`${site.name}: uploading hpc_queuer and hpc_runner to ${dir}`)
  for (const { name, path, mode } of programs.files) await connection.putFile(path, join(dir, name), mode)
}

function broken(site: Site, error: unknown): HpcError {
  if (error instanceof HpcError) return error
  return new HpcError('transient', `Cannot go on with site "${site.name}": ${describeError(error)}`, { cause: error })
}

function lostWorkspace(site: Site): HpcError {
  return new HpcError(
    'site',
    `Cannot work with site "${site.name}": the workspace ${site.hpcEnv.workspace} has lost its marker .hpc-workspace`,
    {
      hint: 'it is not mounted there, or the site wiped it; if it was wiped, its jobs are given up when their expiry has run out',
    },
  )
}

function cannotStart(site: Site, started: Extract<Started, { ready: false }>): HpcError {
  const code = started.needs === 'owner' ? 'denied' : 'site'
  return new HpcError(code, `Cannot start hpc_queuer at site "${site.name}": ${started.detail || started.needs}`, {
    concerns: { site: site.name },
  })
}
