/** The one short list of errors a caller must act on. Expected ends (a job failed, a description was refused) are values, not these. */

/** Exit codes after sysexits(3), and whether the same call can succeed later without anybody changing anything. */
const codes = {
  usage: { exitCode: 64, transient: false },
  description: { exitCode: 65, transient: false },
  site: { exitCode: 69, transient: true },
  bug: { exitCode: 70, transient: false },
  transient: { exitCode: 75, transient: true },
  denied: { exitCode: 77, transient: false },
  config: { exitCode: 78, transient: false },
} as const

export type ErrorCode = keyof typeof codes

export interface Concerns {
  readonly job?: string
  readonly path?: string
  readonly site?: string
}

/**
 * `message` says what we could not do, then what is the case ("Cannot read the queue of "x": squeue exited with 1"), values quoted,
 * no full stop; `hint` says what to do next.
 */
export class HpcError extends Error {
  readonly code: ErrorCode
  readonly hint: string | undefined
  readonly concerns: Concerns

  constructor(code: ErrorCode, message: string, more: { hint?: string; concerns?: Concerns; cause?: unknown } = {}) {
    super(message, more.cause === undefined ? {} : { cause: more.cause })
    this.name = 'HpcError'
    this.code = code
    this.hint = more.hint
    this.concerns = more.concerns ?? {}
  }

  get exitCode(): number {
    return codes[this.code].exitCode
  }

  get transient(): boolean {
    return codes[this.code].transient
  }
}

/** What went wrong in one line, for any thrown value; ours bring their hint along. */
export function describeError(error: unknown): string {
  if (error instanceof HpcError) return error.hint === undefined ? error.message : `${error.message}; ${error.hint}`
  if (error instanceof Error) return error.message
  return String(error)
}

/** Text from outside, fit for a terminal or a one-line message: control characters and direction marks shown escaped. */
export function printable(text: string): string {
  return text.replace(
    /[\u0000-\u001f\u007f-\u009f\u200e\u200f\u202a-\u202e\u2066-\u2069\u2028\u2029\ufeff]/g,
    (character) =>
      character.charCodeAt(0) < 0x100
        ? `\\x${character.charCodeAt(0).toString(16).padStart(2, '0')}`
        : `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )
}

/** `"value"`, printable and cut to a readable length. */
export function quoted(value: string, limit = 120): string {
  const shown = printable(value)
  return `"${shown.length > limit ? `${shown.slice(0, limit)}…` : shown}"`
}
