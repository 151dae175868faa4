/**
 * What submitter and hpc_queuer say to each other over one channel: frames of a JSON header and a body. Requests are answered in order,
 * except `ensure`, whose scheduler may be slow; nothing waits for an answer it does not need, so the dependent waits of a pass are few
 * and do not grow with the jobs.
 */
import type { JobRecord, LaneReport, LaneShape, ObserverTime, ResultRecord } from './spool-records.ts'

export const protocolVersion = 1

/** The queuer's first bytes. What a login shell printed before them is skipped (and shown with --debug). */
export const readyMark = 'hpc_queuer ready 1\n'
/** Instead of it, when the site lacks something: one line, then the end. */
export const needMark = 'hpc_queuer needs '

export type Request =
  | {
      readonly type: 'hello'
      readonly protocol: number
      readonly gateway: string
      readonly pass: string
      /** The workspace this gateway's jobs were sent to; null when it knows none. */
      readonly workspace: string | null
      /** Which dropbox folder speaks: a copy of it must not be served beside it. */
      readonly dropbox: { readonly inode: string; readonly host: string }
      readonly takeOver: boolean
      /** Only looks: takes no pass number, so that a pass at work goes on undisturbed. */
      readonly peek: boolean
      readonly observer: ObserverTime
      readonly lanes: readonly LaneShape[]
      readonly allocationLimit: number | null
      /** What the site's store of inputs may take up, as the config says; 0 switches it off. */
      readonly storeBytes: number
    }
  /** More lanes of this pass, made for jobs accepted since its hello. */
  | { readonly type: 'lanes'; readonly lanes: readonly LaneShape[] }
  /** Opens or resumes an upload. Answered by `have` only when `resume` is asked for. */
  | {
      readonly type: 'stage'
      readonly id: string
      readonly digest: string
      readonly lane: string
      readonly resume: boolean
      /** Sizes of its inputs, with `resume`: `have` tells of contents of that size that the site has. */
      readonly sizes?: readonly number[]
    }
  /** A piece of an input, by its base name; `sha256` comes with the last piece. `stored`: nothing is sent, the site has it in its store. */
  | {
      readonly type: 'part'
      readonly id: string
      readonly digest: string
      readonly file: string
      readonly offset: number
      readonly last?: { readonly size: number; readonly sha256: string; readonly mode: number }
      readonly stored?: true
    }
  /** Asks for a socket there, to which more channels of the connection can lead pieces of large inputs. */
  | { readonly type: 'stripes' }
  | { readonly type: 'publish'; readonly id: string; readonly digest: string; readonly record: JobRecord }
  | { readonly type: 'ensure' }
  | { readonly type: 'collect'; readonly id: string; readonly key: string }
  | { readonly type: 'clean'; readonly id: string; readonly key: string; readonly keepMs: number }
  | { readonly type: 'cancel'; readonly id: string; readonly cause: 'cancelled' | 'aborted'; readonly why: string }
  | { readonly type: 'ask'; readonly ids: readonly string[] }
  | { readonly type: 'check'; readonly scheduler: string }
  /** Between passes of a kept connection: tell `news` as soon as something is done. */
  | { readonly type: 'watch'; readonly everyMs: number }
  | { readonly type: 'end' }

/**
 * Where the control folder says a job is. `absent`: there is none, and the marker is. `unknown`: it cannot be read now, which is neither
 * there nor absent.
 */
export type Whereabouts = 'waiting' | 'running' | 'done' | 'absent' | 'repaired' | 'unknown'

export type Answer =
  | {
      readonly type: 'welcome'
      readonly workspace: string
      readonly generation: number
      readonly time: string
      readonly host: string
      readonly node: string
      readonly space: { readonly bytes: number; readonly inodes: number | null } | null
      readonly done: readonly { readonly id: string; readonly key: string; readonly name: string }[]
      readonly moreDone: boolean
      /** Jobs in the workspace, of all gateways, done ones included. */
      readonly jobs: number
      readonly lanes: readonly {
        readonly lane: string
        readonly waiting: number
        readonly firstTurn: number
        readonly lastTurn: number
      }[]
      readonly store: StoreTold
    }
  | {
      readonly type: 'refused'
      readonly why: string
      readonly hint: string
      readonly code: 'site' | 'config' | 'transient' | 'denied'
    }
  /** Where that socket is: null when there can be none. On each of its channels go `part`s, each with a higher offset than the last, then `end`. */
  | { readonly type: 'striping'; readonly socket: string | null }
  | {
      readonly type: 'have'
      readonly id: string
      readonly offsets: Readonly<Record<string, number>>
      readonly stored: readonly Stored[]
    }
  | { readonly type: 'published'; readonly id: string; readonly at: string }
  /** `lacking`: the digest of what was said to be in the store, and is not. */
  | { readonly type: 'unpublished'; readonly id: string; readonly why: string; readonly lacking?: string }
  | {
      readonly type: 'ensured'
      readonly lanes: readonly LaneReport[]
      readonly trouble?: string
      readonly repaired: number
    }
  | { readonly type: 'result'; readonly id: string; readonly result: ResultRecord; readonly publishedAt: string }
  /** A piece of an output (`file`: `<output key>/<path>`, or `stdout`, `stderr`). */
  | {
      readonly type: 'piece'
      readonly id: string
      readonly file: string
      readonly offset: number
      readonly last: boolean
    }
  | { readonly type: 'collected'; readonly id: string }
  | { readonly type: 'uncollected'; readonly id: string; readonly why: string; readonly gone: boolean }
  | { readonly type: 'cleaned'; readonly id: string }
  /** `unknown`: it cannot be looked at now. */
  | {
      readonly type: 'cancelling'
      readonly id: string
      readonly how: 'ended' | 'requested' | 'absent' | 'finished' | 'unknown'
    }
  | {
      readonly type: 'known'
      readonly jobs: readonly { readonly id: string; readonly where: Whereabouts; readonly attempt: number }[]
    }
  | { readonly type: 'checked'; readonly lines: readonly CheckLine[] }
  | { readonly type: 'log'; readonly level: 'debug' | 'info' | 'warn'; readonly text: string }
  | { readonly type: 'news' }
  | { readonly type: 'ended' }

/** What a file holds, whatever it is called. */
export interface Content {
  readonly size: number
  readonly sha256: string
}

/** A content that the site has. */
export interface Stored extends Content {
  /** Of its middle: a file that differs there is another, and need not be read for its digest. Left out where it could not be had. */
  readonly sample?: string
}

/** The site's store of inputs, as a pass must know it to leave out what the site has. */
export interface StoreTold {
  /** Contents of such sizes are kept from now on; none when `upTo` is 0. */
  readonly from: number
  readonly upTo: number
  /** Digests of those that are small enough to be sent without a question; not told again while nothing has changed. */
  readonly has?: readonly string[]
}

export interface CheckLine {
  readonly ok: boolean | null
  readonly what: string
  readonly detail: string
  readonly hint?: string
}

export interface Frame<Header> {
  readonly header: Header
  readonly body: Uint8Array
}

const empty = new Uint8Array(0)
const headerLimit = 64 * 1024 * 1024
const bodyLimit = 16 * 1024 * 1024

/** One frame: header length, body length (both 32 bit, big endian), header as JSON, body. */
export function encodeFrame(header: Request | Answer, body: Uint8Array = empty): Uint8Array {
  const text = Buffer.from(JSON.stringify(header))
  const frame = Buffer.allocUnsafe(8 + text.length + body.length)
  frame.writeUInt32BE(text.length, 0)
  frame.writeUInt32BE(body.length, 4)
  text.copy(frame, 8)
  frame.set(body, 8 + text.length)
  return frame
}

/** What came is no frame of ours. */
export class NoFrame extends Error {
  override readonly name = 'NoFrame'
}

function readHeader(text: string): object {
  try {
    const header: unknown = JSON.parse(text)
    if (typeof header === 'object' && header !== null) return header
  } catch {
    // not quoted: it may be anything at all
  }
  throw new NoFrame('the stream holds a frame whose header is no JSON object')
}

/** Room for the largest header of a piece: a file name has 255 bytes at most, and JSON makes six of one. */
const pieceHeaderBytes = 4096

/** A frame whose body is read right to where it is sent from: no copy, and the same memory for each. */
export class PieceFrame {
  readonly body: Buffer
  readonly #bytes: Buffer

  constructor(bodyBytes: number) {
    this.#bytes = Buffer.allocUnsafeSlow(pieceHeaderBytes + bodyBytes)
    this.body = this.#bytes.subarray(pieceHeaderBytes)
  }

  /** The frame with the first `bodyBytes` of the body. */
  seal(header: Request | Answer, bodyBytes: number): Uint8Array {
    const text = Buffer.from(JSON.stringify(header))
    const start = pieceHeaderBytes - text.length - 8
    if (start < 0) return encodeFrame(header, this.body.subarray(0, bodyBytes))
    this.#bytes.writeUInt32BE(text.length, start)
    this.#bytes.writeUInt32BE(bodyBytes, start + 4)
    text.copy(this.#bytes, start + 8)
    return this.#bytes.subarray(start, pieceHeaderBytes + bodyBytes)
  }
}

/** Bodies from this size on are gathered in memory that is used again, so that a long transfer makes no garbage. */
const gatheredBytes = 64 * 1024

/** Takes bytes as they come and gives whole frames; throws NoFrame on what cannot be one. A body is there until the next push. */
export class FrameReader<Header> {
  #chunks: Buffer[] = []
  #size = 0
  /** So many bytes must be there before it is worth to look again. */
  #wanted = 8
  /** A frame whose body is being gathered, and how much of it has come. */
  #gathering: { readonly header: Header; readonly body: Buffer; readonly filled: number } | undefined
  /** Two: while the one that was just given is in use, the next may begin. */
  #memory = [Buffer.alloc(0), Buffer.alloc(0)] as const

  push(chunk: Uint8Array): Frame<Header>[] {
    if (chunk.length > 0) this.#chunks.push(Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength))
    this.#size += chunk.length
    const frames: Frame<Header>[] = []
    for (;;) {
      const frame = this.#gathering === undefined ? this.#next() : this.#gather()
      if (frame === undefined) return frames
      frames.push(frame)
    }
  }

  /** The memory of what was pushed may be used again: what is left of it is copied. */
  keep(): void {
    const last = this.#chunks.pop()
    if (last !== undefined) this.#chunks.push(Buffer.from(last))
  }

  /** The next frame, when it is there. */
  #next(): Frame<Header> | undefined {
    if (this.#size < this.#wanted) return undefined
    const lengths = this.#peek(8)
    const headerLength = lengths.readUInt32BE(0)
    const bodyLength = lengths.readUInt32BE(4)
    if (headerLength > headerLimit || bodyLength > bodyLimit) throw new NoFrame('the stream holds no frame of ours')
    const total = 8 + headerLength + bodyLength
    const isGathered = bodyLength >= gatheredBytes && this.#size < total
    this.#wanted = isGathered ? 8 + headerLength : total
    if (this.#size < this.#wanted) return undefined
    const bytes = this.#peek(this.#wanted)
    const header = readHeader(bytes.toString('utf8', 8, 8 + headerLength)) as Header
    this.#drop(this.#wanted)
    this.#wanted = 8
    if (!isGathered) return { header, body: bytes.subarray(8 + headerLength, total) }
    this.#gathering = { header, body: this.#room(bodyLength), filled: 0 }
    return this.#gather()
  }

  #room(bytes: number): Buffer {
    const [used, other] = this.#memory
    const room = other.length >= bytes ? other : Buffer.allocUnsafeSlow(bytes)
    this.#memory = [room, used]
    return room.subarray(0, bytes)
  }

  #gather(): Frame<Header> | undefined {
    while (this.#gathering !== undefined) {
      const { header, body, filled } = this.#gathering
      const first = this.#chunks[0]
      if (first === undefined) return undefined
      const count = first.copy(body, filled)
      this.#drop(count)
      this.#gathering = filled + count === body.length ? undefined : { header, body, filled: filled + count }
      if (this.#gathering === undefined) return { header, body }
    }
    return undefined
  }

  /** The first `size` bytes, which are there, in one piece. */
  #peek(size: number): Buffer {
    const first = this.#chunks[0]
    if (first !== undefined && first.length >= size) return first
    const joined = Buffer.concat(this.#chunks, this.#size)
    this.#chunks = [joined]
    return joined
  }

  #drop(size: number): void {
    const first = this.#chunks[0]
    this.#size -= size
    if (first === undefined) return
    if (first.length === size) this.#chunks.shift()
    else this.#chunks[0] = first.subarray(size)
  }
}
