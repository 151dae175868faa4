/**
 * Node reads a socket into new memory each time, and ssh2 hands out parts of it. In a download the collector looks at the whole heap again and
 * again for its sake, a fifth of our CPU. Here a socket is read into memory that is used again, unless somebody may still hold parts of what
 * came last: then it is left to him. What ssh2 keeps to itself, and what goes to readers who have not said that they keep nothing, is copied.
 * Where ssh2 takes packets apart differently, all is.
 */
import type { OnReadOpts, Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import type { Client } from 'ssh2'

const readBytes = 256 * 1024

/** A channel whose reader keeps nothing of what he is given. */
export interface Borrower {
  /** As the other side calls it. */
  readonly id: number
  /** Something waits for its reader. */
  holds(): boolean
}

/** What ssh2 keeps to itself. */
interface Decipher {
  _onPayload?: (payload: Buffer) => unknown
  /** What it has of a packet so far: while only the tag is missing, that is a part of the chunk. */
  _packet?: Uint8Array | null
}

interface Protocol {
  /** Another one after each renewal of the keys. */
  readonly _decipher?: Decipher
}

const memories = new WeakMap<Duplex, ReadMemory>()
const channelData = 94

export class ReadMemory {
  #memory = Buffer.allocUnsafeSlow(readBytes)
  #socket: Socket | undefined
  /** Gives a chunk on in place; false when parts of it may still be held. */
  #give: ((chunk: Buffer) => boolean) | undefined

  /** For `connect()`. */
  readonly onread: OnReadOpts = {
    buffer: () => this.#memory,
    callback: (bytes) => {
      const chunk = this.#memory.subarray(0, bytes)
      if (this.#give === undefined) this.#socket?.emit('data', Buffer.from(chunk))
      else if (!this.#give(chunk)) this.#memory = Buffer.allocUnsafeSlow(readBytes)
      return true
    },
  }

  /** The socket that reads into it. */
  of(socket: Socket): void {
    this.#socket = socket
    memories.set(socket, this)
  }

  lendTo(give: (chunk: Buffer) => boolean): void {
    this.#give = give
  }
}

/** Once logged in; `borrowers` is looked at with each packet. */
export function reuseReadMemory(client: Client, wire: Duplex, borrowers: ReadonlyMap<number, Borrower>): void {
  const protocol = (client as unknown as { _protocol?: Protocol })._protocol
  const first = protocol?._decipher
  if (protocol === undefined || typeof first?._onPayload !== 'function' || !('_packet' in first)) return
  const isBorrowed = (payload: Buffer) =>
    payload[0] === channelData && payload.length >= 5 && borrowers.has(payload.readUInt32BE(1))
  let guarded: Decipher | undefined
  const guard = (decipher: Decipher | undefined): void => {
    const take = decipher?._onPayload
    if (decipher === undefined || decipher === guarded || take === undefined) return
    guarded = decipher
    decipher._onPayload = (payload) => take(isBorrowed(payload) ? payload : Buffer.from(payload))
  }
  memories.get(wire)?.lendTo((chunk) => {
    guard(protocol._decipher)
    wire.emit('data', chunk)
    // new keys came in it: what followed them was not looked at
    if (protocol._decipher !== guarded || guarded?._packet?.buffer === chunk.buffer) return false
    return ![...borrowers.values()].some((borrower) => borrower.holds())
  })
}
