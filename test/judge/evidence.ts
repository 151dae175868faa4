/**
 * What the judge looks at: the dropbox, the workspace and the destinations as they lie there at the end, the scheduler's books, and the log of
 * what the story did and saw. Every suite that claims a promise fills in one of these, on real folders or on a simulated disk.
 */

/** Reads a tree and changes nothing. Paths are absolute. */
export interface View {
  /** Names in a folder; none when there is no such folder. */
  names(dir: string): readonly string[]
  /** A regular file's text; undefined when there is no such file. */
  text(path: string): string | undefined
}

/** A file by its text, a folder by its files (relative paths), or null: nothing may be there. */
export type Content = string | Readonly<Record<string, string>> | null

/** One way in which a job may rightly end. */
export interface End {
  readonly status: 'ok' | 'error'
  readonly state: 'done' | 'aborted' | 'cancelled'
  /** The exit code in the result; null where no script ended. */
  readonly rc: number | null
  readonly message?: string | RegExp
  readonly stdout?: string
  /** The result says itself that nobody knows whether a script was started: its site could not be asked. */
  readonly startsUnknown?: boolean
  /** Destinations, and what lies there afterwards. */
  readonly outputs: Readonly<Record<string, Content>>
}

/** A job that the story dropped. */
export interface Job {
  readonly dropbox: string
  /** Its base name, without `.job`. */
  readonly name: string
  /** Keys and values that its `args` must still show in the result: proof that the result is its own. */
  readonly args?: Readonly<Record<string, string>>
  /** Several where a race decides, such as that of a job with its cancelling. */
  readonly ends: readonly End[]
  /** It was refused, or may have been cancelled before any start: a result without a run is right. */
  readonly mayNotRun?: boolean
}

/** One start of a job's script, from a log that the scripts themselves or the simulated machine wrote. */
export interface Run {
  readonly job: string
  /** Names this start in a complaint. */
  readonly mark: string
  /** The runner and the lane under which it ran, where the log tells. */
  readonly runner?: string
  readonly lane?: string
  readonly startMs: number
  /** Absent: it was killed and left no word, so when it ended is not known. */
  readonly endMs?: number
  /** Its exit was recorded: nothing may run this job again. */
  readonly told: boolean
  /** Its job had its result when it began. */
  readonly afterResult?: boolean
  /** What its allocation had left when it began, and what it was known to need of that. */
  readonly leftMs?: number
  readonly needsMs?: number
}

/** An allocation in the scheduler's books. */
export interface Allocation {
  readonly id: string
  readonly lane: string
  readonly submittedMs: number
  /** When it began to work or was gone; absent while it waits. */
  readonly leftQueueMs?: number
}

/** The first look a reader had at a result. */
export interface Sighting {
  readonly dropbox: string
  readonly name: string
  readonly outputs: Readonly<Record<string, Content>>
}

/** What a reader of the same folders saw while the story went on. */
export interface Seen {
  readonly sightings: readonly Sighting[]
  /** Results that were replaced after they had appeared. */
  readonly replaced: readonly string[]
  /** Destinations that held, at some moment, neither what was there before nor the whole output. */
  readonly partial: readonly string[]
}

export interface Gateway {
  readonly dropbox: string
  readonly state?: string
  /** Folders that outputs go to; all that lies there must belong to an end. */
  readonly destinations: readonly string[]
  /** Names in the dropbox that the story put there and that are nobody's job. */
  readonly foreign?: readonly string[]
}

export interface Evidence {
  readonly view: View
  readonly jobs: readonly Job[]
  readonly gateways: readonly Gateway[]
  readonly workspaces: readonly string[]
  /** Absent where the story keeps no such log. */
  readonly runs?: readonly Run[]
  readonly allocations?: readonly Allocation[]
  /** How many runners of a lane may work side by side. Default 1. */
  readonly maxRunners?: number
  /** Deaths after which a job may be given up. Default 3. */
  readonly maxAttempts?: number
  readonly seen?: Seen
  /** The machines' clocks were apart: times in histories compare to nothing. */
  readonly clocksApart?: boolean
}
