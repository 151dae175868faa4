/** The `job:` block of a result: the five keys hpc_batch's callers know, and ours beside them. */
import { printable, quoted } from '../contract/errors.ts'
import type { HistoryEvent, ResultRecord } from '../contract/spool-records.ts'

export interface JobBlock {
  readonly status: 'ok' | 'error'
  readonly message: string
  readonly stdout: string
  readonly stderr: string
  readonly rc: number | null
  readonly start: string | null
  readonly end: string | null
  readonly state: 'done' | 'aborted' | 'cancelled'
  readonly id: string
  readonly site: string | null
  readonly attempts: number
  readonly history: readonly HistoryEvent[]
  readonly warnings?: readonly string[]
  /** Where the job's files are kept at the site, and until the end of which day. */
  readonly kept?: { readonly path: string; readonly until: string }
}

/** Whether the outputs are to be delivered, and the sentence for the caller: a pure reading of the result. */
export function verdictOf(result: ResultRecord): { readonly status: 'ok' | 'error'; readonly message: string } {
  const error = (message: string) => ({ status: 'error', message }) as const
  if (result.message !== undefined) return error(printable(result.message))
  if (result.state !== 'done' || result.rc === null) return error(`The job was ${result.state}`)
  if (result.rc !== 0) return error(`Remote command failed with return code ${result.rc}`)
  const [first, ...more] = result.missing
  if (first !== undefined) {
    const names = [first, ...more].map((name) => quoted(name)).join(', ')
    return error(
      `The script ended with return code 0 but did not write ${names}: see that it writes to <<workspace>>/output/ (or beside it) under that name, or mark the key with "?" in output_map`,
    )
  }
  return { status: 'ok', message: 'processed OK' }
}

/** The result of a job that no site ever ended. */
export function unsentBlock(
  id: string,
  site: string | undefined,
  state: 'done' | 'aborted' | 'cancelled',
  message: string,
  history: readonly HistoryEvent[],
): JobBlock {
  return {
    status: 'error',
    message,
    stdout: '',
    stderr: '',
    rc: null,
    start: null,
    end: null,
    state,
    id,
    site: site ?? null,
    attempts: 0,
    history,
  }
}
