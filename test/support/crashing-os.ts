/** The real file system, until its n-th change, which throws: a crash at that instant, as far as the files can tell. */
import { type Os, realOs } from '../../system/os.ts'

const changes = [
  'openSync',
  'writeSync',
  'fsyncSync',
  'renameSync',
  'unlinkSync',
  'mkdirSync',
  'rmdirSync',
  'symlinkSync',
  'chmodSync',
] as const

export class Crash extends Error {}

export class CrashingOs {
  /** Changes made, and the one at which to crash. */
  count = 0
  crashAt = Number.POSITIVE_INFINITY
  /** Crash before the change, or after it, when only its answer is lost. */
  lost: 'change' | 'answer' = 'change'
  readonly os: Os

  constructor() {
    const wrapped: Record<string, unknown> = { ...realOs }
    for (const name of changes) {
      const real = realOs[name] as (...args: unknown[]) => unknown
      wrapped[name] = (...args: unknown[]) => {
        this.count += 1
        const crashes = this.count >= this.crashAt
        if (crashes && (this.lost === 'change' || this.count > this.crashAt))
          throw new Crash(`${name} no. ${this.count}`)
        const answer = real(...args)
        if (crashes) throw new Crash(`the answer of ${name} no. ${this.count}`)
        return answer
      }
    }
    this.os = wrapped as unknown as Os
  }
}
