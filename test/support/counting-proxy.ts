/**
 * A TCP proxy that counts dependent waits: how often one side can do nothing any more until it hears from the other. It forwards what the
 * client sends at once, and holds back what the server says until every process of both sides sleeps; each such release is one wait, as
 * long as the way to the site and back.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { connect, createServer, type Socket } from 'node:net'

const stillMs = 120
const pollMs = 15

export interface CountingProxy {
  readonly port: number
  readonly connections: number
  readonly waits: number
  readonly bytes: number
  stop(): Promise<void>
}

/** CPU ticks of all that this process has started (client and server alike); undefined when one of them runs or waits for a disk. */
function asleep(): string | undefined {
  const parents = new Map<number, number>()
  const ticks = new Map<number, string>()
  const running = new Set<number>()
  for (const entry of readdirSync('/proc')) {
    if (!/^\d+$/.test(entry)) continue
    try {
      const text = readFileSync(`/proc/${entry}/stat`, 'utf8')
      const fields = text.slice(text.lastIndexOf(')') + 2).split(' ')
      const pid = Number(entry)
      parents.set(pid, Number(fields[1]))
      ticks.set(pid, `${pid}:${fields[11]}:${fields[12]}`)
      if (fields[0] === 'R' || fields[0] === 'D') running.add(pid)
    } catch {
      // gone meanwhile
    }
  }
  const below = (pid: number): boolean => {
    for (let at = parents.get(pid); at !== undefined && at > 1; at = parents.get(at))
      if (at === process.pid) return true
    return false
  }
  const ours = [...parents.keys()].filter(below)
  return ours.some((pid) => running.has(pid)) ? undefined : ours.map((pid) => ticks.get(pid)).join(' ')
}

/** Client and server must have been started by this process. */
export async function startCountingProxy(target: number): Promise<CountingProxy> {
  let waits = 0
  let bytes = 0
  let connections = 0
  let stopped = false
  let moved = 0
  const held: { chunk: Buffer; to: Socket }[] = []
  const sockets = new Set<Socket>()
  const server = createServer({ noDelay: true }, (client) => {
    connections += 1
    const onward = connect({ port: target, host: '127.0.0.1', noDelay: true })
    sockets.add(client).add(onward)
    client.on('data', (chunk: Buffer) => {
      moved += 1
      bytes += chunk.length
      onward.write(chunk)
    })
    onward.on('data', (chunk: Buffer) => {
      moved += 1
      bytes += chunk.length
      held.push({ chunk, to: client })
    })
    client.on('close', () => onward.destroy())
    onward.on('end', () => held.push({ chunk: Buffer.alloc(0), to: client }))
    for (const socket of [client, onward]) socket.on('error', () => undefined)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const release = async () => {
    let last: string | undefined
    let since = performance.now()
    while (!stopped) {
      await new Promise((resolve) => setTimeout(resolve, pollMs))
      const sleeping = held.length === 0 ? undefined : asleep()
      const now = sleeping === undefined ? undefined : `${moved} ${sleeping}`
      if (now === undefined || now !== last) {
        last = now
        since = performance.now()
        continue
      }
      if (performance.now() - since < stillMs) continue
      waits += 1
      for (const { chunk, to } of held.splice(0)) {
        if (chunk.length === 0) to.end()
        else to.write(chunk)
      }
      last = undefined
    }
  }
  const releasing = release()
  const address = server.address()
  return {
    port: typeof address === 'object' && address !== null ? address.port : 0,
    get connections() {
      return connections
    },
    get waits() {
      return waits
    },
    get bytes() {
      return bytes
    },
    async stop() {
      stopped = true
      await releasing
      for (const socket of sockets) socket.destroy()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}
