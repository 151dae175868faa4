/** A TCP proxy that cuts its next connection, in both directions at once, when so many bytes have passed it in one of them. */
import { connect, createServer, type Socket } from 'node:net'

export type Direction = 'up' | 'down'

export interface CuttingProxy {
  readonly port: number
  /** Bytes passed since `cutAfter` was called; the counted direction never passes more than was said. */
  readonly passed: Readonly<Record<Direction, number>>
  /** Connections cut so far. */
  readonly cuts: number
  /** From now on; without a number nothing is cut. */
  cutAfter(direction: Direction, bytes?: number): void
  stop(): Promise<void>
}

/** `target`: a port, or what gives one for each connection. What the far side says comes `distanceMs` late. */
export async function startCuttingProxy(target: number | (() => number), distanceMs = 0): Promise<CuttingProxy> {
  const passed = { up: 0, down: 0 }
  let rule: { direction: Direction; bytes: number } | undefined
  let cuts = 0
  const sockets = new Set<Socket>()
  const server = createServer({ noDelay: true }, (client) => {
    const onward = connect({ port: typeof target === 'number' ? target : target(), host: '127.0.0.1', noDelay: true })
    let open = true
    const join = (from: Socket, to: Socket, direction: Direction) => {
      sockets.add(from)
      from.on('data', (chunk: Buffer) => {
        if (!open) return
        const room = rule?.direction === direction ? rule.bytes - passed[direction] : Number.POSITIVE_INFINITY
        passed[direction] += Math.min(room, chunk.length)
        if (chunk.length < room) {
          if (direction === 'down' && distanceMs > 0) setTimeout(() => to.destroyed || to.write(chunk), distanceMs)
          else if (!to.write(chunk)) from.pause()
          return
        }
        open = false
        rule = undefined
        cuts += 1
        to.end(chunk.subarray(0, room))
        from.destroy()
      })
      from.on('drain', () => to.resume())
      from.on('close', () => to.destroySoon())
      from.on('error', () => undefined)
    }
    join(client, onward, 'up')
    join(onward, client, 'down')
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  return {
    port: typeof address === 'object' && address !== null ? address.port : 0,
    passed,
    get cuts() {
      return cuts
    },
    cutAfter(direction, bytes) {
      passed.up = 0
      passed.down = 0
      rule = bytes === undefined ? undefined : { direction, bytes }
    },
    async stop() {
      for (const socket of sockets) socket.destroy()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}
