/** Whose trouble an error is: the machine's and its file system's, which the next job would meet too, or only this job's. */
import { errno } from './os.ts'

const machineCodes = new Set(
  'ENOSPC EDQUOT EIO ESTALE EXDEV EROFS EMFILE ENFILE ENOMEM EAGAIN ETIMEDOUT ENOTCONN EHOSTDOWN EREMOTEIO ESHUTDOWN'.split(
    ' ',
  ),
)

export function isMachineTrouble(error: unknown): boolean {
  return machineCodes.has(errno(error) ?? '')
}
