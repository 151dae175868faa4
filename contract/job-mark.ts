/** Every process of a job carries this in its environment, so that it is found again whatever session it moved to. */

export const markName = 'HPC_BATCH_JOB'

/** And every launcher of scripts this: it is in the session of the job that it started last, and no process of it. */
export const launcherMark = 'HPC_BATCH_LAUNCHER'

export function jobMark(id: string, attempt: number): string {
  return `${id}.${attempt}`
}
