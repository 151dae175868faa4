/** One local file to a site over SFTP: written beside with many requests under way, flushed, renamed. Never seen half-written. */
import { randomBytes } from 'node:crypto'
import { type FileHandle, open } from 'node:fs/promises'
import { posix } from 'node:path'
import type { SFTPWrapper } from 'ssh2'
import { HpcError, printable, quoted } from '../../contract/errors.ts'

/** 64 kB × 32 = the 2 MB an SSH channel may have under way. */
const blockSize = 65_536
const blocksUnderWay = 32

/** SSH_FX_… of the SFTP draft. */
const noSuchFile = 2
const permissionDenied = 3

export interface SftpPut {
  readonly localPath: string
  readonly remotePath: string
  readonly mode: number
  readonly onBytes: ((sent: number) => void) | undefined
  /** No answer of any kind for this long: given up (the server's disk hangs while its sshd still answers). */
  readonly patienceMs: number
}

type Answer<T> = (error: Error | null | undefined, value: T) => void

export async function putOverSftp(sftp: SFTPWrapper, put: SftpPut): Promise<void> {
  const folder = posix.dirname(put.remotePath)
  const temporary = posix.join(folder, `.${randomBytes(9).toString('hex')}.part`)
  let created = false

  /** One request; fails when its answer takes too long. */
  const ask = <T = void>(send: (answer: Answer<T>) => void): Promise<T> =>
    new Promise((resolve, reject) => {
      const timer = setTimeout(
        () => reject(new Error(`the server did not answer an SFTP request for ${put.patienceMs / 1000} s`)),
        put.patienceMs,
      )
      send((error, value) => {
        clearTimeout(timer)
        if (error) reject(error)
        else resolve(value)
      })
    })
  const create = (): Promise<Buffer> => ask<Buffer>((answer) => sftp.open(temporary, 'wx', { mode: 0o600 }, answer))

  /** With all above it, for nobody else from the beginning: programs that we run will lie there. */
  const makeFolder = async (path: string): Promise<void> => {
    const make = () => ask((answer) => sftp.mkdir(path, { mode: 0o700 }, answer as (error?: Error | null) => void))
    await make().catch(async (error: unknown) => {
      if (statusOf(error) === permissionDenied) throw error
      // any other refusal may mean that it is there by now: creating the file tells
      if (statusOf(error) !== noSuchFile || path === posix.dirname(path)) return
      await makeFolder(posix.dirname(path))
      await make().catch(() => undefined)
    })
  }

  const source = await open(put.localPath, 'r').catch((error: unknown) => {
    throw failure(put, error)
  })
  try {
    if (!(await source.stat()).isFile()) throw new Error('it is no file')
    const handle = await create().catch(async (error: unknown) => {
      if (statusOf(error) !== noSuchFile) throw error
      await makeFolder(folder)
      return create()
    })
    created = true
    const size = await writeAll(sftp, handle, source, ask, put.onBytes)
    await Promise.all([
      ask((answer) => sftp.fsetstat(handle, { mode: put.mode }, answer as (error?: Error | null) => void)),
      flush(sftp, handle, ask),
    ])
    const found = await ask<{ size: number }>((answer) => sftp.fstat(handle, answer as Answer<unknown> as never))
    await ask((answer) => sftp.close(handle, answer as (error?: Error | null) => void))
    if (found.size !== size) throw new Error(`${found.size} bytes arrived of ${size}`)
    await replace(sftp, temporary, put.remotePath, ask)
  } catch (error) {
    if (created) await tidyUp(sftp, temporary)
    throw failure(put, error)
  } finally {
    await source.close()
  }
}

/** Best effort: the connection may be what failed, and then it is the workspace's sweep that finds the file. */
function tidyUp(sftp: SFTPWrapper, temporary: string): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, 2000)
    const done = (): void => {
      clearTimeout(timer)
      resolve()
    }
    try {
      sftp.unlink(temporary, done)
    } catch {
      done()
    }
  })
}

type Ask = <T = void>(send: (answer: Answer<T>) => void) => Promise<T>

/** Reads in order, writes side by side; the number of bytes when all are acknowledged. */
async function writeAll(
  sftp: SFTPWrapper,
  handle: Buffer,
  source: FileHandle,
  ask: Ask,
  onBytes: ((sent: number) => void) | undefined,
): Promise<number> {
  let position = 0
  let acknowledged = 0
  let ended = false
  const lane = async (): Promise<void> => {
    const block = Buffer.allocUnsafe(blockSize)
    while (!ended) {
      const at = position
      position += blockSize
      const { bytesRead } = await source.read(block, 0, blockSize, at)
      if (bytesRead > 0)
        await ask((answer) => sftp.write(handle, block, 0, bytesRead, at, answer as (error?: Error | null) => void))
      if (bytesRead < blockSize) ended = true
      if (bytesRead > 0) {
        acknowledged += bytesRead
        onBytes?.(acknowledged)
      }
    }
  }
  const lanes = Array.from({ length: blocksUnderWay }, () =>
    lane().catch((error: unknown) => {
      ended = true
      throw error
    }),
  )
  const settled = await Promise.allSettled(lanes)
  const failed = settled.find((each) => each.status === 'rejected')
  if (failed !== undefined) throw failed.reason
  return acknowledged
}

async function flush(sftp: SFTPWrapper, handle: Buffer, ask: Ask): Promise<void> {
  await ask((answer) => {
    try {
      sftp.ext_openssh_fsync(handle, answer as Answer<unknown>)
    } catch {
      // thrown by ssh2 when the server has no such extension: then its close must do
      answer(undefined, undefined)
    }
  })
}

async function replace(sftp: SFTPWrapper, from: string, to: string, ask: Ask): Promise<void> {
  let atomic = true
  await ask((answer) => {
    try {
      sftp.ext_openssh_rename(from, to, answer as (error?: Error | null) => void)
    } catch {
      atomic = false
      answer(undefined, undefined)
    }
  })
  if (atomic) return
  // plain SFTP refuses to rename onto a file (P-GW-06)
  await ask((answer) => sftp.unlink(to, answer as (error?: Error | null) => void)).catch((error: unknown) => {
    if (statusOf(error) !== noSuchFile) throw error
  })
  await ask((answer) => sftp.rename(from, to, answer as (error?: Error | null) => void))
}

function statusOf(error: unknown): unknown {
  return (error as { code?: unknown } | null)?.code
}

function failure(put: SftpPut, error: unknown): HpcError {
  if (error instanceof HpcError) return error
  const { code, message } = error as { code?: unknown; message: string }
  const denied = code === permissionDenied || code === 'EACCES'
  const hint = code === 4 ? { hint: 'the disk or a quota there may be full' } : {}
  return new HpcError(
    denied ? 'denied' : 'transient',
    `Cannot put ${quoted(put.localPath)} as ${quoted(put.remotePath)}: ${printable(message)}`,
    { cause: error, concerns: { path: put.remotePath }, ...hint },
  )
}
