/**
 * ssh2 makes each packet in new memory. An upload makes 32 of them for each megabyte, and the collector looks at the whole heap again and
 * again for their sake: a quarter of the CPU of an upload. Large packets are made in memory of our own instead, which is used again once
 * the socket has passed everything on to the system. Where ssh2 makes its packets differently, it goes on by itself.
 */
import { randomFillSync } from 'node:crypto'
import { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import type { Client } from 'ssh2'

const slabBytes = 512 * 1024
/** Smaller packets cost nothing worth a change. */
const largeBytes = 4 * 1024
const tagBytes = 16
const blockBytes = 16

/** What ssh2 keeps to itself. */
interface Cipher {
  allocPacket?: (payloadBytes: number) => Buffer
}

interface Protocol {
  /** Another one after each renewal of the keys. */
  readonly _cipher?: Cipher
  channelData?: (channel: number, data: Buffer) => void
}

export function reusePacketMemory(client: Client, wire: Duplex): void {
  const protocol = (client as unknown as { _protocol?: Protocol })._protocol
  const send = protocol?.channelData
  // of other streams nobody knows when they have done with what they were given
  if (!(wire instanceof Socket) || protocol === undefined || typeof send !== 'function') return
  const memory = new PacketMemory(wire)
  let served: Cipher | undefined
  protocol.channelData = (channel, data) => {
    const cipher = protocol._cipher
    if (cipher !== served) {
      served = cipher
      if (cipher !== undefined) memory.serve(cipher)
    }
    send.call(protocol, channel, data)
  }
}

class PacketMemory {
  readonly #wire: Socket
  readonly #random = Buffer.allocUnsafeSlow(4096)
  #randomUsed = this.#random.length
  #slab = Buffer.allocUnsafeSlow(slabBytes)
  #used = 0

  constructor(wire: Socket) {
    this.#wire = wire
  }

  serve(cipher: Cipher): void {
    const own = cipher.allocPacket?.bind(cipher)
    if (own === undefined || ![90, 101, 5000].every((bytes) => isAsOurs(own(bytes), bytes))) return
    cipher.allocPacket = (bytes) => (bytes < largeBytes ? own(bytes) : this.#packet(bytes))
  }

  #packet(payloadBytes: number): Buffer {
    const { packetBytes, padBytes } = sizesOf(payloadBytes)
    if (this.#wire.writableLength === 0) this.#used = 0
    if (this.#used + packetBytes > this.#slab.length) {
      this.#slab = Buffer.allocUnsafeSlow(Math.max(slabBytes, packetBytes))
      this.#used = 0
    }
    const packet = this.#slab.subarray(this.#used, this.#used + packetBytes)
    this.#used += packetBytes
    packet.writeUInt32BE(packetBytes - tagBytes - 4, 0)
    packet[4] = padBytes
    this.#pad(packet, 5 + payloadBytes, padBytes)
    return packet
  }

  #pad(packet: Buffer, at: number, bytes: number): void {
    if (this.#randomUsed + bytes > this.#random.length) {
      randomFillSync(this.#random)
      this.#randomUsed = 0
    }
    this.#random.copy(packet, at, this.#randomUsed, this.#randomUsed + bytes)
    this.#randomUsed += bytes
  }
}

/** RFC 5647: the length is not encrypted and not counted; at least 4 bytes of padding; a tag. */
function sizesOf(payloadBytes: number): { packetBytes: number; padBytes: number } {
  const rest = blockBytes - ((1 + payloadBytes) % blockBytes)
  const padBytes = rest < 4 ? rest + blockBytes : rest
  return { packetBytes: 4 + 1 + payloadBytes + padBytes + tagBytes, padBytes }
}

function isAsOurs(packet: Buffer, payloadBytes: number): boolean {
  const { packetBytes, padBytes } = sizesOf(payloadBytes)
  return (
    packet.length === packetBytes && packet.readUInt32BE(0) === packetBytes - tagBytes - 4 && packet[4] === padBytes
  )
}
