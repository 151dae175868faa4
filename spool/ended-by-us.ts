/** Why a script was ended from our side: on request, or because its time was over. Told by what is on file, so whoever finds its end can tell. */
import type { ControlPaths } from '../contract/spool.ts'
import type { JobRecord } from '../contract/spool-records.ts'
import { renderDuration } from '../contract/units.ts'
import type { Files } from '../system/files.ts'

/** Why a job ended otherwise than by its script. */
export interface Ended {
  readonly state: 'done' | 'aborted' | 'cancelled'
  readonly message: string
}

/** The request to stop that lies with the job, if one does. */
export function readCancel(files: Files, control: ControlPaths): Ended | undefined {
  const request = files.readJson<{ cause: 'cancelled' | 'aborted'; why: string }>(control.cancel)
  return request === undefined ? undefined : { state: request.cause, message: request.why }
}

/** A script that has run so long, when that is longer than its job's time. */
export function overtime({ timeMs }: Pick<JobRecord, 'timeMs'>, ranMs: number): Ended | undefined {
  if (timeMs === undefined || ranMs <= timeMs) return undefined
  const message = `The script ran longer than its time of ${renderDuration(timeMs)} and was ended`
  return { state: 'done', message }
}
