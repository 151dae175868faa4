/** Sends pieces of files through a few frames whose memory is used again: while one is encrypted the next is read. */
import { type Answer, PieceFrame, type Request } from '../contract/protocol.ts'

export const pieceBytes = 256 * 1024
const framesUsed = 4

interface Slot {
  readonly frame: PieceFrame
  free: Promise<void>
  isFree: boolean
}

export class PieceSender {
  readonly #sendFrame: (frame: Uint8Array) => Promise<void>
  readonly #slots = Array.from(
    { length: framesUsed },
    (): Slot => ({ frame: new PieceFrame(pieceBytes), free: Promise.resolve(), isFree: true }),
  )
  #turn = 0

  /** `sendFrame` resolves when the frame's memory may be used again. */
  constructor(sendFrame: (frame: Uint8Array) => Promise<void>) {
    this.#sendFrame = sendFrame
  }

  /** Whether a piece would leave without waiting; `room` resolves when one would. */
  get hasRoom(): boolean {
    return this.#slots[this.#turn]!.isFree
  }

  get room(): Promise<void> {
    return this.#slots[this.#turn]!.free
  }

  /** Sends what `fill` puts into the body it is given, which has so many bytes; resolves with their number when they are on their way. */
  async send(fill: (body: Buffer) => number, header: (bytes: number) => Request | Answer): Promise<number> {
    const slot = this.#slots[this.#turn]!
    this.#turn = (this.#turn + 1) % this.#slots.length
    await slot.free
    const bytes = fill(slot.frame.body)
    slot.isFree = false
    const over = () => {
      slot.isFree = true
    }
    slot.free = this.#sendFrame(slot.frame.seal(header(bytes), bytes))
    slot.free.then(over, over)
    return bytes
  }
}
