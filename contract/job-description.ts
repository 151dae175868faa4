/** What a tool asks for: the checked form of a `.job` file. */

/** Text exactly as the YAML had it (`6.0` stays `6.0`); a list keeps its items. */
export type ArgValue = string | readonly string[]

export interface OutputTarget {
  /** Absolute local path the output is delivered to; its base name is the output's name on HPC. */
  readonly path: string
  /** `name?:` in the output_map: may be missing after a successful run. */
  readonly optional: boolean
}

export interface Resources {
  readonly cpus?: number
  readonly memoryBytes?: number
  readonly gpus?: number
  readonly nodes?: number
  readonly timeMs?: number
}

export interface JobDescription {
  readonly script: string
  readonly args: ReadonlyMap<string, ArgValue>
  /** key → absolute local path */
  readonly inputs: ReadonlyMap<string, string>
  readonly outputs: ReadonlyMap<string, OutputTarget>
  readonly site?: string
  readonly target?: string
  readonly size?: string
  readonly requirements?: string
  readonly rank?: string
  readonly resources: Resources
  /** 0 … 100, 50 when not given; higher runs earlier. */
  readonly priority: number
  readonly after: readonly string[]
  readonly expiryMs?: number
  readonly maxAttempts?: number
  readonly notify: readonly string[]
}

/** One thing wrong with a description: where (key path, line and column from 1 where known), what, and what to do. */
export interface Problem {
  readonly key: string
  readonly line?: number
  readonly column?: number
  readonly message: string
}
