/** One process of a simulated machine: the surroundings a program is started with, and its death, after which nothing it does has effect. */
import { createHash } from 'node:crypto'
import { createRequire } from 'node:module'
import { type Disk, type FileFaults, fsOf } from './disk.ts'
import type { Chance, Kernel } from './kernel.ts'
import type { Surroundings } from './programs.ts'

const realRequire = createRequire(import.meta.url)

/** What every call of a process that was killed ends in. */
export class Death extends Error {}

/** A process as its machine's kernel knows it, be it a program of ours or a script. */
export interface OsProcess {
  readonly pid: number
  readonly startTicks: string
  readonly session: number
  readonly mark: string | undefined
  readonly argv: readonly string[]
  signal(name: string): void
}

export class Machine {
  readonly name: string
  /** Its calendar is so far from the true time. */
  readonly skewMs: number
  readonly bootedMs: number
  bootId: string
  readonly processes = new Map<number, OsProcess>()
  #pids = 100

  constructor(name: string, bootId: string, skewMs: number, upMs: number) {
    this.name = name
    this.bootId = bootId
    this.skewMs = skewMs
    this.bootedMs = -upMs
  }

  nextPid(): number {
    this.#pids += 1
    return this.#pids
  }
}

const epoch = Date.UTC(2026, 10, 20)
export const wallMs = (kernel: Kernel, machine?: Machine) => epoch + kernel.now + (machine?.skewMs ?? 0)

export interface Stdio {
  readonly stdin: unknown
  readonly stdout: unknown
  readonly stderr: (text: string) => void
}

export interface TaskOptions {
  readonly kernel: Kernel
  readonly chance: Chance
  readonly disk: Disk
  readonly machine: Machine
  readonly argv: readonly string[]
  readonly env: Readonly<Record<string, string>>
  readonly stdio: Stdio
  /** Stands for `system/process.ts`. */
  readonly processes: (task: Task) => unknown
  /** Told before and after every call on a file. */
  readonly faults: (task: Task) => FileFaults
}

export class Task implements OsProcess {
  pid = 0
  startTicks = ''
  session = 0
  readonly mark = undefined
  readonly argv: readonly string[]
  readonly machine: Machine
  ended: Promise<number | null> = Promise.resolve(0)
  alive = false
  /** Changes of files made so far. */
  effects = 0
  /** Stopped until then: its timers and what comes in wait. */
  pausedUntilMs = 0
  readonly #options: TaskOptions
  readonly #timers = new Set<() => void>()
  readonly #handlers = new Map<string, () => void>()
  #settle: (code: number | null) => void = () => undefined

  constructor(options: TaskOptions) {
    this.#options = options
    this.machine = options.machine
    this.argv = options.argv
    this.again()
  }

  /** Another process of the same program, which is in memory already: only after the one before came to its own end. */
  again(): void {
    this.alive = true
    this.effects = 0
    this.pausedUntilMs = 0
    this.pid = this.machine.nextPid()
    this.startTicks = String(this.#options.kernel.now)
    this.session = this.pid
    this.machine.processes.set(this.pid, this)
    this.ended = new Promise((resolve) => {
      this.#settle = resolve
    })
  }

  /** Ends it here and now: `null` is a death from outside. */
  end(code: number | null): void {
    if (!this.alive) return
    this.alive = false
    for (const cancel of this.#timers) cancel()
    this.#timers.clear()
    this.machine.processes.delete(this.pid)
    this.#settle(code)
  }

  kill(): never {
    this.end(null)
    throw new Death('killed')
  }

  signal(name: string): void {
    const handler = this.#handlers.get(name)
    if (name === 'SIGKILL' || handler === undefined) this.end(null)
    else if (this.alive) handler()
  }

  #after(ms: number, act: () => void, everyMs?: number): object {
    let stop: () => void = () => undefined
    const arm = (wait: number) => {
      this.#timers.delete(stop)
      stop = this.#options.kernel.after(wait, () => {
        this.#timers.delete(stop)
        if (!this.alive) return
        if (this.pausedUntilMs > this.#options.kernel.now) {
          arm(this.pausedUntilMs - this.#options.kernel.now)
          return
        }
        if (everyMs !== undefined) arm(everyMs)
        try {
          act()
        } catch (error) {
          if (!(error instanceof Death)) throw error
        }
      })
      this.#timers.add(stop)
    }
    if (this.alive) arm(Number.isFinite(ms) ? ms : 0)
    const timer = {
      unref: () => timer,
      ref: () => timer,
      cancel: () => {
        this.#timers.delete(stop)
        stop()
      },
    }
    return timer
  }

  surroundings(): Surroundings {
    const { kernel, chance, disk, machine, env, stdio, processes, faults } = this.#options
    const task = this
    const uptimeMs = () => kernel.now - machine.bootedMs
    const proc = (path: string) => {
      if (path === '/proc/uptime') return `${(uptimeMs() / 1000).toFixed(2)} 0.00\n`
      if (path === '/proc/sys/kernel/random/boot_id') return `${machine.bootId}\n`
      return undefined
    }
    const modules: Record<string, unknown> = {
      fs: fsOf(disk, faults(this), proc),
      os: { hostname: () => machine.name, homedir: () => '/home/amp' },
      crypto: {
        createHash,
        randomUUID: () => chance.uuid(),
        randomBytes: (count: number) => Buffer.from(chance.hex(count * 2), 'hex'),
      },
      'graceful-fs': {},
      'signal-exit': () => () => undefined,
    }
    const clear = (timer: { cancel(): void } | undefined) => timer?.cancel()
    const now = () => Math.round(wallMs(kernel, machine))
    return {
      require: (name) => modules[name.replace(/^node:/, '')] ?? realRequire(name),
      process: {
        argv: this.argv,
        env,
        get pid() {
          return task.pid
        },
        execPath: '/usr/bin/node',
        stdin: stdio.stdin,
        stdout: stdio.stdout,
        stderr: { write: stdio.stderr },
        platform: 'linux',
        versions: process.versions,
        version: process.version,
        umask: () => 0o022,
        getuid: () => 1000,
        geteuid: () => 1000,
        cwd: () => '/',
        nextTick: process.nextTick,
        exit: (code: number) => this.end(code),
        on: (name: string, handler: () => void) => this.#handlers.set(name, handler),
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
      setTimeout: (act: () => void, ms = 0) => this.#after(ms, act),
      setInterval: (act: () => void, ms: number) => this.#after(ms, act, ms),
      setImmediate: (act: () => void) => this.#after(0, act),
      clearTimeout: clear,
      clearInterval: clear,
      clearImmediate: clear,
      processes: processes(this),
    }
  }
}
