/**
 * The one seam through which the programs change the world's files: the calls of node:fs they use, and no others. A test that wants a
 * crash, a full disk or a stale listing wraps this object; production passes node:fs itself, so the seam costs nothing.
 */
import * as fs from 'node:fs'

export type Os = Pick<
  typeof fs,
  | 'openSync'
  | 'closeSync'
  | 'readSync'
  | 'writeSync'
  | 'fsyncSync'
  | 'fstatSync'
  | 'fchmodSync'
  | 'fchownSync'
  | 'ftruncateSync'
  | 'lstatSync'
  | 'statSync'
  | 'statfsSync'
  | 'readdirSync'
  | 'opendirSync'
  | 'readlinkSync'
  | 'realpathSync'
  | 'renameSync'
  | 'unlinkSync'
  | 'mkdirSync'
  | 'rmdirSync'
  | 'symlinkSync'
  | 'chmodSync'
  | 'utimesSync'
  | 'accessSync'
  | 'copyFileSync'
>

export const realOs: Os = fs

export const { O_RDONLY, O_RDWR, O_WRONLY, O_CREAT, O_EXCL, O_TRUNC, O_APPEND, O_NOFOLLOW, O_NONBLOCK, O_DIRECTORY } =
  fs.constants
export const { R_OK, W_OK, X_OK } = fs.constants
/** A reflink where the file system can, else a copy. */
export const COPY_CLONE = fs.constants.COPYFILE_FICLONE | fs.constants.COPYFILE_EXCL

/** A reflink, or an error. */
export const CLONE_ONLY = fs.constants.COPYFILE_FICLONE_FORCE | fs.constants.COPYFILE_EXCL

export type Stats = fs.Stats
export type Dir = fs.Dir
export type Dirent = fs.Dirent

/** The errno code of a file-system error, or undefined for any other thrown value. */
export function errno(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined
}

/** True for the codes by which a network file system says "look again" rather than "no". */
export function meansLookAgain(code: string | undefined): boolean {
  return code === 'ESTALE' || code === 'EIO' || code === 'EXDEV'
}
