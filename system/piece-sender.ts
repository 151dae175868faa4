/** Sends pieces of files through a few frames whose memory is used again: while one is encrypted the next is read. */
import { type Answer, PieceFrame, type Request } from '../contract/protocol.ts'

export const pieceBytes = 256 * 1024
const framesUsed = 4

export class PieceSender {
  readonly #sendFrame: (frame: Uint8Array) => Promise<void>
  readonly #slots = Array.from({ length: framesUsed }, () => ({
    frame: new PieceFrame(pieceBytes),
    free: Promise.resolve(),
  }))
  #turn = 0

  /** `sendFrame` resolves when the frame's memory may be used again. */
  constructor(sendFrame: (frame: Uint8Array) => Promise<void>) {
    this.#sendFrame = sendFrame
  }

  /** Sends what `fill` puts into the body it is given, which has so many bytes; resolves with their number when they are on their way. */
  async send(fill: (body: Buffer) => number, header: (bytes: number) => Request | Answer): Promise<number> {
    const slot = this.#slots[this.#turn]!
    this.#turn = (this.#turn + 1) % this.#slots.length
    await slot.free
    const bytes = fill(slot.frame.body)
    slot.free = this.#sendFrame(slot.frame.seal(header(bytes), bytes))
    slot.free.catch(() => undefined)
    return bytes
  }
}
