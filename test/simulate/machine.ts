/** One simulated machine: its name, its clocks, its processes, and the boots they belong to. */
import type { Kernel } from './kernel.ts'

/** A process as its machine's kernel knows it, be it a program of ours or a script. */
export interface OsProcess {
  readonly pid: number
  readonly startTicks: string
  readonly session: number
  readonly mark: string | undefined
  readonly argv: readonly string[]
  signal(name: string): void
}

const epoch = Date.UTC(2026, 10, 20)

export class Machine {
  readonly name: string
  /** Its calendar is so far from the true time. */
  skewMs: number
  bootedMs: number
  bootId: string
  /** It is off until then. */
  downUntilMs = 0
  readonly processes = new Map<number, OsProcess>()
  readonly #kernel: Kernel
  #pids = 100

  constructor(kernel: Kernel, name: string, bootId: string, skewMs: number, upMs: number) {
    this.#kernel = kernel
    this.name = name
    this.bootId = bootId
    this.skewMs = skewMs
    this.bootedMs = -upMs
  }

  nextPid(): number {
    this.#pids += 1
    return this.#pids
  }

  get isUp(): boolean {
    return this.#kernel.now >= this.downUntilMs
  }

  wallMs(): number {
    return epoch + this.#kernel.now + this.skewMs
  }

  /** All its processes are gone at once, wrappers before their scripts: nobody tells of it. */
  crash(bootId: string, downMs: number): void {
    const all = [...this.processes.values()].sort((a, b) => Number(b.session === b.pid) - Number(a.session === a.pid))
    for (const one of all) one.signal('SIGKILL')
    this.processes.clear()
    // numbers begin anew: another process may have that of one before
    this.#pids = 100
    this.bootId = bootId
    this.downUntilMs = this.#kernel.now + downMs
    this.bootedMs = this.downUntilMs
  }
}
