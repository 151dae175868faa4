/**
 * More ways in for the pieces of uploads. A channel of ssh carries its window, which is 2 MB of OpenSSH's, in a round trip and no more; so
 * a submitter far away asks for this socket, and has several channels of its connection lead to it. What comes through it can do nothing
 * but add to uploads that were begun on the main channel.
 */
import { describeError } from '../contract/errors.ts'
import { FrameReader, type Request } from '../contract/protocol.ts'
import { listenPrivately, type PrivateSocket } from '../system/private-socket.ts'

export interface StripesEvents {
  /** A piece; what it is made of is there until this resolves. */
  part(request: Extract<Request, { type: 'part' }>, body: Uint8Array): Promise<void>
  /** A stripe ended without saying so: pieces may be missing. */
  broke(why: string): void
}

export class Stripes {
  readonly #events: StripesEvents
  #socket: Promise<PrivateSocket | undefined> | undefined

  constructor(events: StripesEvents) {
    this.#events = events
  }

  /** The socket's path; null where none can be made: one channel must do then. */
  async listen(): Promise<string | null> {
    this.#socket ??= listenPrivately((stripe) => void this.#take(stripe))
    return (await this.#socket)?.path ?? null
  }

  async #take(stripe: AsyncIterable<Uint8Array>): Promise<void> {
    const reader = new FrameReader<Request>()
    let why = 'one of the channels that its pieces came by ended early'
    let ended = false
    try {
      for await (const chunk of stripe) {
        for (const { header, body } of reader.push(chunk)) {
          if (header.type === 'end') ended = true
          else if (header.type === 'part') await this.#events.part(header, body)
          else throw new Error('a request came where only pieces belong')
        }
      }
    } catch (error) {
      why = describeError(error)
      ended = false
    }
    if (!ended) this.#events.broke(why)
  }

  async end(): Promise<void> {
    await (await this.#socket)?.close()
  }
}
