/**
 * What a batch scheduler must say. A scheduler is pairs of pure functions: a command out, a reply in; the queuer runs the commands.
 * It never guesses: a reply that does not certainly answer the question is an Unknown, which is neither "none" nor "gone".
 */
import type { AllocationEnd, AllocationState } from '../contract/spool-records.ts'

/** A command to run on the login node, no shell in between. `stdin` is fed whole. */
export interface Command {
  readonly argv: readonly [string, ...string[]]
  readonly stdin?: string
  readonly env?: Readonly<Record<string, string>>
}

/** What came back. `code` is null when a signal or our own time-out ended it. */
export interface Reply {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
  readonly timedOut: boolean
}

/** The scheduler's id of an allocation. */
export type NativeId = string

/** Everything the scheduler needs to know about one runner allocation. */
export interface AllocationRequest {
  /** Scheduler's job name: `hpc_runner`, other lanes `hpc_runner.<lane>`. */
  readonly name: string
  /** `hpc-batch/<workspace uuid>/<lane>/<nonce>`: by this alone an allocation is known as ours. */
  readonly identity: string
  /** Absolute path of the trampoline script, mode 0700, first line `#!/bin/bash`. */
  readonly script: string
  /** Beginning of the log files' absolute paths, in a folder that exists; the driver adds `.<native id>`. */
  readonly stdoutPath: string
  readonly stderrPath: string
  readonly workDir: string
  readonly queue?: string
  readonly gres?: string
  readonly memoryBytes?: number
  readonly walltimeMs?: number
  readonly cpus?: number
  readonly nodes?: number
  readonly email?: string
  /** Seconds before the end of the walltime at which the warning signal (USR2) is wanted. */
  readonly warnSeconds: number
  /** Extra options of the site, one argv word each. */
  readonly options: readonly string[]
}

export type { AllocationEnd, AllocationState }

/** An allocation the scheduler still keeps. `reason` is the scheduler's own word for why it waits. */
export interface Allocation {
  readonly nativeId: NativeId
  readonly identity: string
  readonly state: AllocationState
  readonly reason?: string
  /** True when the reason means it will never start by itself; `hint` says what to do. */
  readonly stuck?: boolean
  readonly hint?: string
  readonly estimatedStart?: string
}

/** An allocation the scheduler still keeps in its books, though something from outside has ended it. */
export interface EndedAllocation {
  readonly identity: string
  readonly end: AllocationEnd
}

export type Answer<T> =
  | { readonly certain: true; readonly value: T }
  | { readonly certain: false; readonly why: string }

export type Submission =
  | { readonly outcome: 'submitted'; readonly nativeId: NativeId }
  /** Certainly not created; `why` for the operator, `permanent` when only a change of config can help. */
  | { readonly outcome: 'refused'; readonly why: string; readonly permanent: boolean }
  /** It may exist (time-out, connection lost): nothing more may be submitted until the queue certainly tells. */
  | { readonly outcome: 'ambiguous'; readonly why: string }

export interface Scheduler {
  readonly name: 'slurm' | 'sge' | 'lsf' | 'local'
  /** Starts the allocation. */
  submitCommand(request: AllocationRequest): Command
  readSubmission(reply: Reply): Submission
  /** All live allocations whose identity starts with `identityPrefix` (`hpc-batch/<workspace uuid>/`), of the user. */
  queueCommand(identityPrefix: string): Command
  /** Live ones only: pending, running, held, suspended, ending. Finished ones are left out. */
  readQueue(reply: Reply, identityPrefix: string): Answer<readonly Allocation[]>
  /** From the same reply: those that were ended from outside, and what did. One that is not named may have ended in any way. */
  readEnds(reply: Reply, identityPrefix: string): readonly EndedAllocation[]
  /** Cancels one allocation. */
  cancelCommand(nativeId: NativeId): Command
  readCancel(reply: Reply): Answer<'sent'>
  /** What `check` asks: is it there, which version, which queues. */
  checkCommand(): Command
  readCheck(reply: Reply): Answer<{ readonly version: string; readonly queues: readonly string[] }>
  /** Shell text that, inside the allocation, sets NATIVE_ID, RESTART and NODE (three assignments of a POSIX shell). */
  readonly environment: string
}
