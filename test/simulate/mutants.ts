/** Faults of our own making, one at a time: each takes one of the design's cares out of the code, and the simulation must notice. */
import { buildPrograms, type Change } from './programs.ts'
import { runSchedule } from './schedule.ts'

export interface Mutant {
  readonly name: string
  readonly changes: readonly Change[]
}

const one = (name: string, file: string, from: string, to: string): Mutant => ({ name, changes: [{ file, from, to }] })

export const mutants: readonly Mutant[] = [
  one(
    'unknown is read as none',
    'scheduler/slurm.ts',
    'if (!records.certain) return records\n    const allocations',
    'if (!records.certain) return { certain: true, value: [] }\n    const allocations',
  ),
  one(
    'a pending allocation is not counted',
    'queuer/ensure-runner.ts',
    "if (started.length === 0 || state === 'pending') return true",
    "if (started.length === 0 || state === 'pending') return false",
  ),
  one(
    'the exit of a script is ignored',
    'spool/attempt.ts',
    "return interruptions.has(attempt.end?.cause ?? '') ? undefined : attempt.exit",
    'return undefined',
  ),
  one(
    "what a script says of our signal is taken for its work's end",
    'spool/attempt.ts',
    "return interruptions.has(attempt.end?.cause ?? '') ? undefined : attempt.exit",
    'return attempt.exit',
  ),
  one(
    "the scheduler's TERM is taken for the script's own end",
    'runner/attend-job.ts',
    "return this.#runner.stopping() === 'terminated' && exit?.rc !== 0",
    'return false',
  ),
  one(
    'the keys of living runners are returned, and their attempts ended',
    'queuer/repair.ts',
    'if (!hasEnded(files, lane, runner)) continue',
    '',
  ),
  one(
    '.finished before the outputs',
    'submitter/deliver.ts',
    'for (const { temporary, destination } of receiver.outputs) {\n    lock.check()',
    'renameToFinished(gateway, lock, hpc)\n  for (const { temporary, destination } of receiver.outputs) {\n    lock.check()',
  ),
  one(
    'clean before delivery',
    'submitter/collect.ts',
    'const block = deliver(gateway, work.lock, submitted, receiver)',
    'await clean(id, key, 0)\n        await gateway.clock.sleep(1000)\n        const block = deliver(gateway, work.lock, submitted, receiver)',
  ),
  one(
    'a site that breaks off ends the process',
    'submitter/site-pass.ts',
    'asked?.catch(() => undefined)',
    'void asked',
  ),
  one(
    'a login that says nothing is waited for',
    'submitter/session.ts',
    '    silenceMs,\n    answer.then(',
    '    1e9,\n    answer.then(',
  ),
]

export interface Hunt {
  readonly seeds: number
  readonly broken: string | undefined
}

/** The first seed whose schedule breaks a promise, if one of so many does. */
export async function hunt(mutant: Mutant, first: number, seeds: number, stray: () => string[]): Promise<Hunt> {
  const programs = await buildPrograms(mutant.changes)
  for (let n = 1; n <= seeds; n++) {
    const { broken } = await runSchedule(first + n - 1, programs)
    const [said] = [...broken, ...stray()]
    if (said !== undefined) return { seeds: n, broken: `seed ${first + n - 1}: ${said}` }
  }
  return { seeds, broken: undefined }
}
