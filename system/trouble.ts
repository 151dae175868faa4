/** Whose trouble an error is: the machine's and its file system's, which the next job would meet too, or only this job's. */
import { errno } from './os.ts'

const machineCodes = new Set(
  'ENOSPC EDQUOT EIO ESTALE EXDEV EROFS EMFILE ENFILE ENOMEM EAGAIN ETIMEDOUT ENOTCONN EHOSTDOWN EREMOTEIO ESHUTDOWN'.split(
    ' ',
  ),
)

/** What has no code that says so, and yet is certainly no job's fault. */
export class MachineTrouble extends Error {
  constructor(cause: unknown) {
    super(cause instanceof Error ? cause.message : String(cause), { cause })
  }
}

export function isMachineTrouble(error: unknown): boolean {
  return error instanceof MachineTrouble || machineCodes.has(errno(error) ?? '')
}
