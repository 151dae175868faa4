/** What a process has from its system, as its program sees it. */
import { createHash } from 'node:crypto'
import { createRequire } from 'node:module'
import { fsOf } from './fs.ts'
import type { Surroundings } from './programs.ts'
import type { Task } from './task.ts'

const realRequire = createRequire(import.meta.url)

/** For a program's whole life in memory: whatever it asks is asked of the process it is just then. */
export function surroundingsOf(current: () => Task, processFunctions: readonly string[]): Surroundings {
  const now = () => Math.round(current().machine.wallMs())
  const uptimeMs = () => current().options.kernel.now - current().machine.bootedMs
  const proc = (path: string) => {
    if (path === '/proc/uptime') return `${(uptimeMs() / 1000).toFixed(2)} 0.00\n`
    if (path === '/proc/sys/kernel/random/boot_id') return `${current().machine.bootId}\n`
    return undefined
  }
  const modules: Record<string, unknown> = {
    fs: fsOf(() => current().fs, proc),
    os: { hostname: () => current().machine.name, homedir: () => '/home/amp' },
    crypto: {
      createHash,
      randomUUID: () => current().options.chance.uuid(),
      randomBytes: (count: number) => Buffer.from(current().options.chance.hex(count * 2), 'hex'),
    },
    'graceful-fs': {},
    'signal-exit': () => () => undefined,
  }
  const clear = (timer: { cancel(): void } | undefined) => timer?.cancel()
  const asked = (name: string) => [name, (...given: unknown[]) => current().processes[name]?.(...given)] as const
  return {
    require: (name) => modules[name.replace(/^node:/, '')] ?? realRequire(name),
    process: {
      get argv() {
        return current().argv
      },
      get env() {
        return current().options.env
      },
      get pid() {
        return current().pid
      },
      get stdin() {
        return current().options.stdio.stdin
      },
      get stdout() {
        return current().options.stdio.stdout
      },
      get stderr() {
        return { write: current().options.stdio.stderr }
      },
      execPath: '/usr/bin/node',
      platform: 'linux',
      versions: process.versions,
      version: process.version,
      umask: () => 0o022,
      getuid: () => 1000,
      geteuid: () => 1000,
      cwd: () => '/',
      nextTick: process.nextTick,
      exit: (code: number) => current().end(code),
      on: (name: string, handler: () => void) => current().handlers.set(name, handler),
      emitWarning: () => undefined,
    },
    performance: { now: uptimeMs },
    Date: class extends Date {
      constructor(...given: unknown[]) {
        super((given.length === 0 ? now() : given[0]) as number)
      }
      static override now() {
        return now()
      }
    },
    setTimeout: (act: () => void, ms = 0) => current().after(ms, act),
    setInterval: (act: () => void, ms: number) => current().after(ms, act, ms),
    setImmediate: (act: () => void) => current().after(0, act),
    clearTimeout: clear,
    clearInterval: clear,
    clearImmediate: clear,
    processes: Object.fromEntries(processFunctions.map(asked)),
  }
}
