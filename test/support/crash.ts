/** A gateway in this process that dies at its n-th change of the world's files: from there on it can neither read, write nor send. */

import type { Gateway } from '../../submitter/gateway.ts'
import { defaultOptions, makeGateway, readConfig } from '../../submitter/make-gateway.ts'
import { tick } from '../../submitter/tick.ts'
import type { Channel } from '../../submitter/transport/transport.ts'
import { Files } from '../../system/files.ts'
import { O_CREAT, O_RDWR, O_WRONLY, type Os, realOs } from '../../system/os.ts'

const changes: readonly (keyof Os)[] = ['renameSync', 'unlinkSync', 'mkdirSync', 'rmdirSync']

export class Death extends Error {}

/** Runs one pass that dies right before its change number `at`; true when it lived to its end, having made fewer. */
export async function tickThatDies(
  configFile: string,
  at: number,
): Promise<{ readonly survived: boolean; readonly made: number }> {
  const { config } = await readConfig(configFile)
  const real = makeGateway(config, defaultOptions, 'warn')
  const channels: Channel[] = []
  let made = 0
  let dead = false
  const die = (): never => {
    dead = true
    // what the end of a process does to its pipes
    for (const channel of channels) channel.stdin.destroy()
    throw new Death('dead')
  }
  const os = Object.fromEntries(
    Object.entries(realOs).map(([name, call]) => {
      if (typeof call !== 'function') return [name, call]
      const wrapped = (...args: unknown[]) => {
        // a descriptor of the dead is closed by the system
        if (dead && name !== 'closeSync') throw new Death('dead')
        const opensToWrite = name === 'openSync' && ((args[1] as number) & (O_CREAT | O_WRONLY | O_RDWR)) !== 0
        if (!dead && (opensToWrite || (changes as readonly string[]).includes(name))) {
          made += 1
          if (made === at) die()
        }
        return (call as (...all: unknown[]) => unknown)(...args)
      }
      return [name, wrapped]
    }),
  ) as unknown as Os
  const gateway: Gateway = {
    ...real,
    files: new Files(os),
    log: { debug: () => undefined, info: () => undefined, warn: () => undefined },
    // a process that ended before any that live now: its locks are those of a dead holder
    self: { ...real.self, pid: 1, startTicks: '0' },
    transportFor: (site) => {
      const transport = real.transportFor(site)
      return {
        ...transport,
        connect: async () => {
          const connection = await transport.connect()
          return {
            ...connection,
            exec: async (command) => {
              const channel = await connection.exec(command)
              channels.push(channel)
              return channel
            },
          }
        },
      }
    },
  }
  const report = await tick(gateway).catch((error: unknown) => {
    if (!dead) throw error
  })
  for (const error of report?.errors ?? []) if (!dead) throw error
  return { survived: !dead, made }
}
