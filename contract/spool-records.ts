/** What the programs write into the workspace for each other: JSON (which is YAML too), one shape per file. */
import type { ArgValue } from './job-description.ts'

/** `.hpc-workspace`: this folder is a workspace of ours. */
export interface WorkspaceMarker {
  readonly uuid: string
  readonly format: number
}

/** A regular file by content. `mode` only its permission bits. */
export interface FileEntry {
  readonly path: string
  readonly size: number
  readonly sha256: string
  readonly mode: number
}

/** `control/<id>/job.yml`: all a runner must know; written by the gateway, checked and published by the queuer. */
export interface JobRecord {
  readonly format: number
  readonly id: string
  /** Base name in the gateway's dropbox, without `.job`. */
  readonly name: string
  readonly gateway: string
  readonly site: string
  readonly lane: string
  readonly key: string
  readonly template: { readonly name: string; readonly text: string }
  readonly hpcEnv: Readonly<Record<string, string>>
  readonly scripts: string
  readonly containers: string
  readonly args: Readonly<Record<string, ArgValue>>
  /** Inputs by key; `path` is the base name in `input/`. */
  readonly inputs: Readonly<Record<string, FileEntry>>
  readonly outputs: Readonly<Record<string, { readonly name: string; readonly optional: boolean }>>
  /** Known run time; the script is ended after it. */
  readonly timeMs?: number
  readonly maxAttempts: number
  readonly maxInterruptions: number
  /** How much of each stream travels in the result. */
  readonly streamCapBytes: number
}

/** `control/<id>/attempts/<n>`: one start of the script, or the fence that forbids it. */
export interface AttemptRecord {
  readonly nonce: string
  readonly attempt: number
  readonly runner: string
  readonly node: string
  readonly bootId: string
  readonly startedAt: string
  /** The starting machine's forward-only clock, to be compared with what the launcher writes. */
  readonly uptimeMs: number
  /** The process that starts the script and writes its exit: while it lives on that machine, an exit may still come. */
  readonly launcher?: { readonly pid: number; readonly startTicks: string }
  /** Name in `attempts/` of the file with its exit, where its launcher had opened that before the number was taken; else `<n>.rc`. */
  readonly exit?: string
  /** Set when the number was taken to end the job, not to run it. */
  readonly fence?: 'cancelled' | 'aborted'
  /** With a fence: the sentence for people, so that whoever finds the job can finish it. */
  readonly why?: string
}

/** Why an attempt ended without a result of its own. */
export const endCauses = [
  'died-alone',
  'died-together',
  'walltime',
  'interrupted',
  'preempted',
  'never-started',
] as const
export type EndCause = (typeof endCauses)[number]

/** `control/<id>/attempts/<n>.end` */
export interface AttemptEnd {
  readonly cause: EndCause
  readonly at: string
  readonly by: string
  readonly detail?: string
}

export interface OutputEntry {
  readonly key: string
  readonly name: string
  readonly kind: 'file' | 'folder'
  /** For a file one entry with path ''; for a folder the files in it, relative, and `folders` the empty ones too. */
  readonly files: readonly FileEntry[]
  readonly folders: readonly { readonly path: string; readonly mode: number }[]
}

export interface HistoryEvent {
  readonly state: string
  readonly at: string
  readonly note?: string
}

/** `control/<id>/result/result.json`: how the job ended. The first attempt to create the folder counts. */
export interface ResultRecord {
  readonly nonce: string
  readonly attempt: number
  readonly state: 'done' | 'aborted' | 'cancelled'
  /** Exit code; a signal as its negative number; null when no script ended. */
  readonly rc: number | null
  /** For people; absent where the exit code says it all. */
  readonly message?: string
  readonly start: string | null
  readonly end: string | null
  readonly cpuMs?: number
  readonly peakMemoryBytes?: number
  readonly runner: string
  readonly node: string
  readonly outputs: readonly OutputEntry[]
  /** Declared outputs that are not there, by name. */
  readonly missing: readonly string[]
  readonly stdoutBytes: number
  readonly stderrBytes: number
  readonly attempts: readonly AttemptSummary[]
  readonly warnings: readonly string[]
}

export interface AttemptSummary {
  readonly attempt: number
  readonly runner: string
  readonly node: string
  readonly start: string
  readonly end?: string
  readonly cause: string
}

/** `lanes/<lane>/shape.json`: the allocation a lane's runners get, and how they work in it. */
export interface LaneShape {
  readonly lane: string
  readonly name: string
  readonly scheduler: 'slurm' | 'sge' | 'lsf' | 'local'
  readonly options: readonly string[]
  readonly queue?: string
  readonly gres?: string
  readonly memoryBytes?: number
  readonly cpus?: number
  readonly nodes?: number
  readonly email?: string
  readonly timeMs: number
  readonly marginMs: number
  readonly lingerMs: number
  readonly slots: number | 'auto'
  readonly preflight?: string
  /** A path of Node, or a `module load …` line that puts it on PATH. */
  readonly node?: string
  readonly maxRunners: number
  readonly debug?: boolean
}

/** `lanes/<lane>/runners/<runner>`: the start mark of a runner. */
export interface RunnerRecord {
  readonly nonce: string
  readonly runner: string
  readonly lane: string
  readonly nativeId: string
  readonly node: string
  readonly bootId: string
  readonly pid: number
  readonly startTicks: string
  readonly startedAt: string
  readonly uptimeMs: number
}

/** `lanes/<lane>/runners/<runner>.end`: written by the runner itself, or by the queuer that proved it dead. */
export interface RunnerEnd {
  readonly how: 'drained' | 'no-seat' | 'walltime' | 'signal' | 'superseded' | 'preflight' | 'dead' | 'failed'
  readonly at: string
  readonly jobs: number
  readonly detail?: string
  /** With `dead`: what ended its allocation, where the scheduler's books told. */
  readonly allocation?: AllocationEnd
}

/** `lanes/<lane>/intents/<g>`: an allocation is about to be submitted. */
export interface IntentRecord {
  readonly nonce: string
  readonly by: string
  readonly at: string
}

/** `lanes/<lane>/intents/<g>.end`: what became of it. */
export interface IntentEnd {
  readonly outcome: 'submitted' | 'refused' | 'absent' | 'not-needed'
  readonly nativeId?: string
  readonly why?: string
  readonly at: string
}

/** `lanes/<lane>/seats/<k>.<g>` */
export interface SeatRecord {
  readonly nonce: string
  readonly runner: string
}

/** `lanes/<lane>/health.json`: failed starts in a row and until when nothing is submitted, on the observer's clock. */
export interface LaneHealth {
  readonly failedStarts: number
  readonly reason: string
  readonly since: ObserverTime
  readonly backOffMs: number
  /** Intents up to this number are accounted for, and these beyond it: an older runner may still be at work. */
  readonly countedIntent: number
  readonly alsoCounted?: readonly number[]
}

/** A forward-only clock of one machine's boot; times of different boots are not comparable. */
export interface ObserverTime {
  readonly bootId: string
  readonly ms: number
}

/** What a scheduler says of an allocation it still keeps; `unknown` is neither running nor gone. */
export type AllocationState = 'pending' | 'running' | 'ending' | 'unknown'

/** What ended an allocation from outside, by the scheduler's books: somebody's cancel, a preemption, the end of its walltime. */
export type AllocationEnd = 'cancelled' | 'preempted' | 'walltime'

export interface LaneReport {
  readonly lane: string
  readonly name: string
  readonly waiting: number
  readonly running: number
  readonly firstTurn: number
  readonly lastTurn: number
  readonly allocations: readonly {
    readonly nativeId: string
    readonly state: AllocationState
    readonly reason?: string
    readonly stuck?: boolean
    readonly hint?: string
  }[]
  /** Why no runner was asked for although there is work; absent when all is well. */
  readonly trouble?: string
  readonly action: 'none' | 'submitted' | 'refused' | 'ambiguous' | 'waiting' | 'back-off'
}
