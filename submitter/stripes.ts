/**
 * The ways by which the pieces of large inputs go. Near by that is the channel everything goes by. Its window, 2 MB of OpenSSH's, bounds what
 * it carries in a round trip; so over a distance more channels of the same connection lead to a socket of hpc_queuer, which puts the pieces
 * in order. Those are no sessions, start no process there, and are not counted by MaxSessions; a server that forbids them
 * (AllowStreamLocalForwarding, DisableForwarding) leaves us with the one.
 */
import { describeError, HpcError } from '../contract/errors.ts'
import { encodeFrame } from '../contract/protocol.ts'
import { BatchWriter } from '../system/batch-writer.ts'
import { PieceSender } from '../system/piece-sender.ts'
import type { Gateway } from './gateway.ts'
import type { Session } from './session.ts'
import type { Channel } from './transport/transport.ts'

/** With the main one 10 MB are on their way: 200 MB/s over 50 ms. */
const extraChannels = 4

interface Stripe {
  readonly channel: Channel
  readonly writer: BatchWriter
}

export class Stripes {
  readonly #gateway: Gateway
  readonly #session: Session
  readonly #ways: PieceSender[]
  readonly #stripes: Stripe[] = []
  #opening: Promise<void> | undefined
  #ended = false
  #fault: HpcError | undefined

  constructor(gateway: Gateway, session: Session) {
    this.#gateway = gateway
    this.#session = session
    this.#ways = [new PieceSender((frame) => session.sendFrame(frame))]
  }

  /** The way that the next piece is to go by: one that has room for it. */
  async next(): Promise<PieceSender> {
    for (;;) {
      if (this.#fault !== undefined) throw this.#fault
      const way = this.#ways.find(({ hasRoom }) => hasRoom)
      if (way !== undefined) return way
      await Promise.race(this.#ways.map(({ room }) => room))
    }
  }

  /** From here on there are more ways as soon as they are open; nobody waits for them. */
  open(): void {
    if (!this.#session.canOpenSockets) return
    this.#opening ??= this.#open().catch((error: unknown) =>
      this.#gateway.log.debug(
        `${this.#session.site.name}: one channel must do for large inputs: ${describeError(error)}`,
      ),
    )
  }

  async #open(): Promise<void> {
    const { socket } = await this.#session.ask({ type: 'stripes' }, 'striping')
    if (socket === null || this.#ended) return
    const opening = Array.from({ length: extraChannels }, () => this.#add(socket))
    await Promise.all(opening)
    this.#gateway.log.debug(`${this.#session.site.name}: ${extraChannels} more channels for large inputs`)
  }

  async #add(socket: string): Promise<void> {
    const channel = await this.#session.openSocket(socket)
    const stripe = { channel, writer: new BatchWriter(channel.stdin) }
    const broke = (error: unknown) => {
      this.#fault ??= new HpcError('transient', 'one of the channels that its pieces went by ended early', {
        cause: error,
      })
    }
    channel.stdin.on('error', () => undefined)
    channel.exited.then(broke, broke)
    this.#stripes.push(stripe)
    if (this.#ended) this.#endStripe(stripe)
    else this.#ways.push(new PieceSender((frame) => this.#session.sendFrame(frame, stripe.writer)))
  }

  /** What was sent arrives; nothing more will be. */
  end(): void {
    this.#ended = true
    for (const stripe of this.#stripes) this.#endStripe(stripe)
  }

  #endStripe({ channel, writer }: Stripe): void {
    writer.write(encodeFrame({ type: 'end' }))?.catch(() => undefined)
    writer.flush()?.catch(() => undefined)
    channel.stdin.end()
  }
}
