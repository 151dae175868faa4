/** Which jobs a site has room for now: a pure choice. What there is no room for is held with the reason, and fails no job. */
import { renderBytes } from '../contract/units.ts'
import type { JobToSend } from './accept-job.ts'
import type { Gateway } from './gateway.ts'

export interface SizedJob {
  readonly job: JobToSend
  readonly bytes: number
  readonly inodes: number
}

export interface Room {
  readonly space: { readonly bytes: number; readonly inodes: number | null } | null
  /** Jobs in the workspace now, and how many the config allows there. */
  readonly jobs: number
  readonly limit: number | undefined
}

/** Left free at the site for what jobs write and runners record. */
const reserveBytes = 64 * 1024 * 1024
const reserveInodes = 1_000
/** Files and folders a job needs besides its inputs: work and control folders, record, attempt, script, streams, result, key. */
const inodesOfJob = 18

export function sizeOfJob(gateway: Gateway, job: JobToSend): SizedJob {
  let bytes = 4096
  for (const path of job.description.inputs.values()) bytes += gateway.files.sizeOf(path)
  return { job, bytes, inodes: inodesOfJob + 2 * job.description.inputs.size }
}

function inodesLeft({ space }: Room, inodes: number): number | null {
  return space?.inodes === null ? null : inodes + reserveInodes
}

/** `left` is the room for those who come after these. */
export function decideRoom(
  jobs: readonly SizedJob[],
  room: Room,
): { toSend: JobToSend[]; held: { job: JobToSend; why: string }[]; left: Room } {
  const toSend: JobToSend[] = []
  const held: { job: JobToSend; why: string }[] = []
  let bytes = (room.space?.bytes ?? Number.POSITIVE_INFINITY) - reserveBytes
  let inodes = (room.space?.inodes ?? Number.POSITIVE_INFINITY) - reserveInodes
  let count = room.jobs
  for (const sized of jobs) {
    const why =
      room.limit !== undefined && count >= room.limit
        ? `the site's limit of ${room.limit} jobs is reached`
        : sized.bytes > bytes
          ? `the site has too little space: ${renderBytes(Math.max(0, bytes))} free, its inputs need ${renderBytes(sized.bytes)}`
          : sized.inodes > inodes
            ? 'the site has too few inodes left'
            : undefined
    if (why !== undefined) {
      held.push({ job: sized.job, why })
      continue
    }
    bytes -= sized.bytes
    inodes -= sized.inodes
    count += 1
    toSend.push(sized.job)
  }
  const space = room.space === null ? null : { bytes: bytes + reserveBytes, inodes: inodesLeft(room, inodes) }
  return { toSend, held, left: { ...room, jobs: count, space } }
}
