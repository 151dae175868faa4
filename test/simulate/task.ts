/** One process of a simulated machine: its timers, its signals, and its death, after which nothing it does has effect. */
import type { Disk } from './disk.ts'
import type { FileFaults, FsContext } from './fs.ts'
import type { Chance, Kernel } from './kernel.ts'
import type { Machine, OsProcess } from './machine.ts'

/** What every call of a process that was killed ends in. */
export class Death extends Error {}

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
  readonly processes: (task: Task) => Record<string, (...given: never[]) => unknown>
  /** Told before and after every call on a file. */
  readonly faults: (task: Task) => FileFaults
}

export class Task implements OsProcess {
  readonly pid: number
  readonly startTicks: string
  readonly session: number
  readonly mark = undefined
  readonly ended: Promise<number | null>
  readonly options: TaskOptions
  readonly fs: FsContext
  readonly processes: Record<string, (...given: unknown[]) => unknown>
  alive = true
  /** Changes of files made so far. */
  effects = 0
  /** Stopped until then: its timers and what comes in wait. */
  pausedUntilMs = 0
  readonly handlers = new Map<string, () => void>()
  readonly #timers = new Set<() => void>()
  #settle: (code: number | null) => void = () => undefined
  /** What its end takes with it, at that very moment. */
  readonly #withIt: ((code: number | null) => void)[] = []

  constructor(options: TaskOptions) {
    this.options = options
    const { machine, disk, kernel } = options
    this.pid = machine.nextPid()
    this.startTicks = String(kernel.now)
    this.session = this.pid
    this.fs = { disk, machine: machine.name, faults: options.faults(this), descriptors: new Map(), last: 10 }
    this.processes = options.processes(this) as Record<string, (...given: unknown[]) => unknown>
    machine.processes.set(this.pid, this)
    this.ended = new Promise((resolve) => {
      this.#settle = resolve
    })
  }

  get machine(): Machine {
    return this.options.machine
  }

  get argv(): readonly string[] {
    return this.options.argv
  }

  /** Ends it here and now: `null` is a death from outside. */
  end(code: number | null): void {
    if (!this.alive) return
    this.alive = false
    for (const cancel of this.#timers) cancel()
    this.#timers.clear()
    this.machine.processes.delete(this.pid)
    for (const act of this.#withIt.splice(0)) act(code)
    this.#settle(code)
  }

  atEnd(act: (code: number | null) => void): void {
    this.#withIt.push(act)
  }

  kill(): never {
    this.end(null)
    throw new Death('killed')
  }

  signal(name: string): void {
    const handler = this.handlers.get(name)
    if (name === 'SIGKILL' || handler === undefined) this.end(null)
    else if (this.alive) handler()
  }

  after(ms: number, act: () => void, everyMs?: number): object {
    let stop: () => void = () => undefined
    const arm = (wait: number) => {
      this.#timers.delete(stop)
      stop = this.options.kernel.after(wait, () => {
        this.#timers.delete(stop)
        if (!this.alive) return
        if (this.pausedUntilMs > this.options.kernel.now) {
          arm(this.pausedUntilMs - this.options.kernel.now)
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
}
