/** Counts the effects of one process, and ends it with SIGKILL at the one it was told. What fails is no effect. */
import { appendFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Effect, Kind, Plan, Program, When } from './plan.ts'

export class Effects {
  readonly plan: Plan
  readonly program: Program
  readonly #log: string
  #made = 0

  constructor(plan: Plan, program: Program) {
    this.plan = plan
    this.program = program
    this.#log = join(plan.log, `${program}.${process.pid}`)
    appendFileSync(this.#log, '')
  }

  counts(path: string): boolean {
    return path.startsWith(this.plan.root)
  }

  /** Whether the next effect is the one, and this its moment. */
  isNext(when: When): boolean {
    const { strike } = this.plan
    return (
      strike?.what === 'death' &&
      strike.program === this.program &&
      strike.at === this.#made + 1 &&
      strike.when === when
    )
  }

  make<T>(kind: Kind, path: string, act: () => T, half?: () => void): T {
    if (this.isNext('before')) this.die(kind, path)
    if (this.isNext('half') && half !== undefined) {
      half()
      this.die(kind, path)
    }
    const last = this.isNext('after') || this.isNext('half')
    const value = act()
    this.#note({ kind, path, halves: half !== undefined })
    if (last) this.die(kind, path)
    return value
  }

  async makeLater<T>(kind: Kind, path: string, act: () => Promise<T>, half?: () => Promise<unknown>): Promise<T> {
    if (this.isNext('before')) this.die(kind, path)
    if (this.isNext('half') && half !== undefined) {
      await half()
      this.die(kind, path)
    }
    const last = this.isNext('after') || this.isNext('half')
    const value = await act()
    this.#note({ kind, path, halves: half !== undefined })
    if (last) this.die(kind, path)
    return value
  }

  #note(effect: Effect): void {
    this.#made += 1
    appendFileSync(this.#log, `${JSON.stringify(effect)}\n`)
  }

  noteAnswer(what: string): void {
    appendFileSync(this.plan.answers, `${what.replaceAll('\n', ' ')}\n`)
  }

  /** The strike has come; `what` names what it struck. */
  tell(what: string): void {
    writeFileSync(this.plan.struck, what)
  }

  die(kind: string, path: string): never {
    this.tell(`${kind} ${path}`)
    process.kill(process.pid, 'SIGKILL')
    // a signal to oneself is there when the call returns
    throw new Error('dead')
  }
}
