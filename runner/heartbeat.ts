/** The sign of life: a counter rewritten in place every 15 s, which a full quota cannot stop, and the number of jobs done. */
import { O_CREAT, O_WRONLY } from '../system/os.ts'
import type { Runner } from './runner.ts'

const everyMs = 15_000

export class Heartbeat {
  readonly #runner: Runner
  readonly #fd: number
  readonly #timer: NodeJS.Timeout
  #beats = 0
  #jobs = 0
  #lastSuccessMs: number
  #stopped = false

  constructor(runner: Runner) {
    this.#runner = runner
    this.#fd = runner.files.os.openSync(runner.lane.heartbeat(runner.id), O_CREAT | O_WRONLY, 0o600)
    this.#lastSuccessMs = runner.clock.monotonicMs()
    this.#write()
    this.#timer = setInterval(() => this.#beat(), everyMs)
    this.#timer.unref()
  }

  get jobs(): number {
    return this.#jobs
  }

  /** How long ago the world last saw us alive. After a stop of the whole process this is long. */
  silentMs(): number {
    return this.#runner.clock.monotonicMs() - this.#lastSuccessMs
  }

  jobDone(): void {
    this.#jobs += 1
    this.#write()
  }

  #beat(): void {
    this.#beats += 1
    this.#write()
  }

  #write(): void {
    if (this.#stopped) return
    try {
      const text = `${String(this.#beats).padStart(12, '0')} ${String(this.#jobs).padStart(12, '0')}\n`
      this.#runner.files.os.writeSync(this.#fd, Buffer.from(text), 0, text.length, 0)
      this.#lastSuccessMs = this.#runner.clock.monotonicMs()
    } catch (error) {
      this.#runner.log.warn(`cannot write the heartbeat: ${String(error)}`)
    }
  }

  stop(): void {
    if (this.#stopped) return
    this.#stopped = true
    clearInterval(this.#timer)
    this.#runner.files.os.closeSync(this.#fd)
  }
}
