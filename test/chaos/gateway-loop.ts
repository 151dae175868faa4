/** A gateway that is kept going, as cron or a service manager would: passes one after another, or `watch`, begun again whenever it has ended. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Lab } from '../cluster/lab.ts'
import { cli } from '../support/world.ts'

const pauseMs = 1000
/** What a pass may say: all is well, a site is in trouble, or nothing, since it was killed. */
const expected = new Set([0, 75, null])

export class GatewayLoop {
  readonly #lab: Lab
  readonly #command: 'tick' | 'watch'
  readonly #logFd: number
  #child: ChildProcess | undefined
  #goesOn = true
  readonly #ended: Promise<void>
  starts = 0
  /** Ends that no fault explains. */
  readonly strange: string[] = []

  constructor(lab: Lab, command: 'tick' | 'watch', logFd: number) {
    this.#lab = lab
    this.#command = command
    this.#logFd = logFd
    this.#ended = this.#loop()
  }

  get pid(): number | undefined {
    return this.#child?.pid
  }

  async #loop(): Promise<void> {
    while (this.#goesOn) {
      const argv = [cli, this.#command, '--config', this.#lab.configFile]
      const child = spawn(process.execPath, argv, { cwd: this.#lab.dir, stdio: ['ignore', this.#logFd, this.#logFd] })
      this.#child = child
      this.starts += 1
      const [code, killedBy] = await once(child, 'exit')
      this.#child = undefined
      if (!expected.has(code) || (code === null && killedBy !== 'SIGKILL'))
        this.strange.push(`hpc-submitter ${this.#command} ended with ${code ?? killedBy}`)
      if (this.#goesOn) await sleep(pauseMs)
    }
  }

  async end(): Promise<void> {
    this.#goesOn = false
    if (this.#command === 'watch') this.#child?.kill('SIGTERM')
    await this.#ended
  }
}
