/** A connection we are logged in to: commands on channels, SFTP once a file is put, and a watchdog so that nothing waits for ever. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { ClientChannel, SFTPWrapper } from 'ssh2'
import { HpcError, printable, quoted } from '../../contract/errors.ts'
import { reusePacketMemory } from './packet-memory.ts'
import { type Borrower, reuseReadMemory } from './read-memory.ts'
import { putOverSftp } from './sftp-put.ts'
import { type SshChannel, sshChannel } from './ssh-channel.ts'
import { describeHop, type Route } from './ssh-route.ts'
import type { Entered } from './ssh-wire.ts'
import type { Channel, Connection } from './transport.ts'

/** How often we ask for a sign of life: several times within `stall`, whatever `keepalive` says. 0 = never. */
export function keepaliveMsOf(route: Route): number {
  return route.keepaliveMs === 0 ? 0 : Math.max(1, Math.min(route.keepaliveMs, Math.floor(route.stallMs / 3)))
}

export function sshConnection(entered: readonly Entered[], route: Route): Connection {
  const { hop, helper, client, wire } = entered.at(-1)!
  reusePacketMemory(client, wire)
  const where = describeHop(hop)
  const concerns = { site: hop.hostKey.site }
  const channels = new Set<SshChannel>()
  const borrowers = new Map<number, Borrower>()
  reuseReadMemory(client, wire, borrowers)
  const waiting = new Set<(error: HpcError) => void>()
  let over: HpcError | undefined
  let closing = false
  let breakWith: (error: HpcError) => void
  const broken = new Promise<never>((_, reject) => {
    breakWith = reject
  })
  broken.catch(() => {})

  const end = (error: HpcError): void => {
    if (over !== undefined) return
    over = error
    clearInterval(watchdog)
    for (const reject of waiting) reject(error)
    for (const channel of [...channels]) channel.fail(error)
    if (!closing) {
      for (const each of [...entered].reverse()) each.wire.destroy()
      breakWith(error)
    }
  }
  const lost = (reason: string): void =>
    end(
      new HpcError(
        'transient',
        closing ? `The connection to ${where} was closed` : `Lost the connection to ${where}: ${reason}`,
        { concerns },
      ),
    )

  for (const each of entered) {
    const ended = (): void =>
      lost(each.client === client ? 'the server ended it' : `the jump host, ${describeHop(each.hop)}, ended it`)
    each.client.on('error', (error) => lost(printable(error.message)))
    each.client.on('end', ended)
    each.client.on('close', ended)
  }

  // Stalled: not one byte for `stall`, though we asked for signs of life. Counted in looks, not by the clock, so that a time in which
  // this process itself stood still does not count.
  const looks = 6
  let arrived = 0
  let seen = 0
  let still = 0
  wire.on('data', (chunk: Buffer) => {
    arrived += chunk.length
  })
  const isBusy = (): boolean =>
    route.keepaliveMs > 0 || waiting.size > 0 || [...channels].some((channel) => channel.isWaiting())
  const watchdog = setInterval(
    () => {
      if (arrived !== seen || !isBusy()) still = 0
      else still += 1
      seen = arrived
      if (still >= looks) {
        lost(`it stalled: no byte came for ${route.stallMs / 1000} s, though the connection is open`)
      }
    },
    Math.max(1, route.stallMs / looks),
  )
  watchdog.unref()

  /** A request that the end of the connection ends as well. */
  const ask = <T>(start: (resolve: (value: T) => void, reject: (error: Error) => void) => void): Promise<T> =>
    new Promise<T>((resolve, reject) => {
      if (over !== undefined || closing)
        return reject(over ?? new HpcError('transient', `The connection to ${where} is closed`, { concerns }))
      const done = (): void => {
        waiting.delete(onEnd)
      }
      const onEnd = (error: HpcError): void => {
        done()
        reject(error)
      }
      waiting.add(onEnd)
      try {
        start(
          (value) => {
            done()
            resolve(value)
          },
          (error) => {
            done()
            reject(error)
          },
        )
      } catch (error) {
        // ssh2 throws "Not connected" right here
        onEnd(
          over ??
            new HpcError('transient', `Lost the connection to ${where}: ${(error as Error).message}`, {
              cause: error,
              concerns,
            }),
        )
      }
    })

  let lastGone = Number.NEGATIVE_INFINITY
  /** Tries again where sshd still counts what has just ended against MaxSessions: on a busy machine it does for a while. */
  const whenFree = async <T>(open: () => Promise<T>, makeRoom?: () => Promise<void>): Promise<T> => {
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await open()
      } catch (error) {
        if (!isChannelRefused(error)) throw error
        await makeRoom?.()
        const mayFree = channels.size === 0 || performance.now() - lastGone < 10_000
        if (!mayFree || attempt === 10) throw error
        await sleep(Math.min(800, 25 * 2 ** attempt))
      }
    }
  }

  let session: Promise<SFTPWrapper> | undefined
  const sftp = (): Promise<SFTPWrapper> => {
    session ??= whenFree(() =>
      ask<SFTPWrapper>((resolve, reject) => {
        client.sftp((error, opened) => {
          if (error) return reject(noChannel(error, where, channels.size, concerns))
          opened.on('error', () => {})
          opened.once('close', () => {
            session = undefined
          })
          // what the helper's own connect() does, had we not been spared its two round trips
          Object.assign(helper, { sftp: opened })
          resolve(opened)
        })
      }),
    )
    session.catch(() => {
      session = undefined
    })
    return session
  }

  let putting = 0
  /** The shortest so far, measured where two follow each other: a channel is opened, and a command started on it. */
  let roundTripMs = Number.POSITIVE_INFINITY
  const execOnce = (commandLine: string): Promise<Channel> =>
    ask((resolve, reject) => {
      const askedMs = performance.now()
      client.exec(commandLine, (error, channel: ClientChannel) => {
        if (error) return reject(noChannel(error, where, channels.size, concerns))
        roundTripMs = Math.min(roundTripMs, (performance.now() - askedMs) / 2)
        const borrows = (borrower: Borrower) => borrowers.set(borrower.id, borrower)
        const opened = sshChannel(channel, where, { roundTripMs, borrows }, (id) => {
          channels.delete(opened)
          borrowers.delete(id)
          lastGone = performance.now()
        })
        if (over !== undefined) return opened.fail(over)
        channels.add(opened)
        resolve(opened.channel)
      })
    })

  const openSocket = (path: string): Promise<Channel> =>
    ask((resolve, reject) => {
      client.openssh_forwardOutStreamLocal(path, (error, channel: ClientChannel) => {
        if (error) return reject(noChannel(error, where, channels.size, concerns))
        const opened = sshChannel(channel, where, {}, () => channels.delete(opened))
        if (over !== undefined) return opened.fail(over)
        channels.add(opened)
        resolve(opened.channel)
      })
    })

  /** Ends an SFTP session that rests: where sshd allows a single channel it would stand in the way of every command. */
  const makeRoom = async (): Promise<void> => {
    if (session === undefined || putting > 0) return
    const resting = await session.catch(() => undefined)
    session = undefined
    if (resting === undefined) return
    await ask<void>((resolve) => {
      resting.once('close', () => resolve())
      resting.end()
    })
    lastGone = performance.now()
  }

  return {
    broken,
    get roundTripMs() {
      return Number.isFinite(roundTripMs) ? roundTripMs : 0
    },
    exec: (commandLine) => whenFree(() => execOnce(commandLine), makeRoom),
    openSocket,
    async putFile(localPath, remotePath, mode, onBytes) {
      const opened = await sftp()
      putting += 1
      try {
        await ask<void>((resolve, reject) => {
          const put = { localPath, remotePath, mode, onBytes, patienceMs: route.stallMs }
          putOverSftp(opened, put).then(resolve, reject)
        })
      } catch (error) {
        // it may hang for good on the server's side: the next one gets a new session
        if (putting === 1 && over === undefined) {
          session = undefined
          opened.end()
        }
        throw error
      } finally {
        putting -= 1
      }
    },
    async close() {
      if (over !== undefined || closing) return
      closing = true
      // our last word is with the kernel then; the server's own end of it, a round trip later, changes nothing
      const said = new Promise<void>((resolve) => {
        wire.once('finish', resolve).once('close', resolve)
        setTimeout(resolve, 1000).unref()
      })
      client.end()
      await said
      lost('closed')
      for (const each of [...entered].reverse()) {
        each.client.end()
        each.wire.destroy()
      }
    },
  }
}

function isChannelRefused(error: unknown): boolean {
  return error instanceof HpcError && (error.cause as { reason?: unknown } | undefined)?.reason !== undefined
}

function noChannel(
  error: Error & { reason?: unknown },
  where: string,
  open: number,
  concerns: { site: string },
): HpcError {
  const why = printable(error.message.replace(/^\(SSH\) Channel open failure: /, ''))
  if (error.reason === undefined) {
    return new HpcError('transient', `Cannot start a command at ${where}: ${why}`, { cause: error, concerns })
  }
  return new HpcError(
    'transient',
    `Cannot start a command at ${where}: the server refused another channel (${quoted(why)}), ${open} of ours are open`,
    {
      cause: error,
      concerns,
      hint: 'sshd allows MaxSessions channels on one connection, 10 unless set',
    },
  )
}
