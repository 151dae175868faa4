/** Every process of a job carries this in its environment, so that it is found again whatever session it moved to. */

export const markName = 'HPC_BATCH_JOB'

export function jobMark(id: string, attempt: number): string {
  return `${id}.${attempt}`
}
