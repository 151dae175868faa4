/** Every change of files goes through `effects`: node:fs as the programs use it, its promises as the local transport does. */
import fs from 'node:fs'
import type { FileHandle } from 'node:fs/promises'
import { dirname } from 'node:path'
import type { Effects } from './effects.ts'
import type { Kind } from './plan.ts'

export type Call = (...args: unknown[]) => unknown
const table = fs as unknown as Record<string, Call>
const promises = fs.promises as unknown as Record<string, Call>
const { readlinkSync, openSync, writeSync, statSync, mkdirSync } = fs

export function pathOf(fd: unknown): string {
  try {
    return readlinkSync(`/proc/self/fd/${Number(fd)}`)
  } catch {
    return ''
  }
}

function opensToMake(flags: unknown): boolean {
  if (typeof flags === 'string') return /^[wa]/.test(flags)
  return typeof flags === 'number' && (flags & (fs.constants.O_CREAT | fs.constants.O_TRUNC)) !== 0
}

/** The first half of what is to be written. */
export function firstHalf(bytes: Uint8Array): Uint8Array {
  return bytes.subarray(0, Math.floor(bytes.length / 2))
}

function range(args: readonly unknown[]): { bytes: Uint8Array; position: number | null } {
  const [, buffer, offset, length, position] = args as [unknown, Uint8Array, number?, number?, (number | null)?]
  const from = offset ?? 0
  return { bytes: buffer.subarray(from, from + (length ?? buffer.length - from)), position: position ?? null }
}

/** By which argument a call names what it changes. */
const named: readonly (readonly [string, Kind, number])[] = [
  ['renameSync', 'rename', 1],
  ['unlinkSync', 'unlink', 0],
  ['rmdirSync', 'rmdir', 0],
  ['symlinkSync', 'symlink', 1],
  ['chmodSync', 'chmod', 0],
  ['utimesSync', 'utimes', 0],
]
const held: readonly (readonly [string, Kind])[] = [
  ['fsyncSync', 'sync'],
  ['fdatasyncSync', 'sync'],
  ['fchmodSync', 'chmod'],
  ['fchownSync', 'chown'],
  ['ftruncateSync', 'truncate'],
]

export function wrapFiles(effects: Effects): void {
  const wrap = (
    name: string,
    kind: Kind,
    path: (args: unknown[]) => string,
    half?: (args: unknown[]) => () => void,
  ) => {
    const real = table[name] as Call
    table[name] = (...args) => {
      const where = path(args)
      return effects.counts(where) ? effects.make(kind, where, () => real(...args), half?.(args)) : real(...args)
    }
  }
  for (const [name, kind, at] of named) wrap(name, kind, (args) => String(args[at]))
  for (const [name, kind] of held) wrap(name, kind, (args) => pathOf(args[0]))
  wrap(
    'writeSync',
    'write',
    (args) => pathOf(args[0]),
    (args) => () => {
      const { bytes, position } = range(args)
      writeSync(Number(args[0]), firstHalf(bytes), 0, undefined, position)
    },
  )
  const copyFile = table.copyFileSync as Call
  table.copyFileSync = (...args) => {
    const to = String(args[1])
    if (!effects.counts(to)) return copyFile(...args)
    // one call of ours is three of the system: the name, its rights, the content
    for (const kind of ['create', 'chmod'] as const) {
      const isLast = effects.isNext('after')
      effects.make(kind, to, () => isLast && openSync(to, 'wx'))
    }
    const half = () => void writeSync(openSync(to, 'wx'), firstHalf(fs.readFileSync(String(args[0]))))
    return effects.make('copy', to, () => copyFile(...args), half)
  }
  const open = table.openSync as Call
  table.openSync = (...args) => {
    const path = String(args[0])
    return opensToMake(args[1]) && effects.counts(path)
      ? effects.make('create', path, () => open(...args))
      : open(...args)
  }
  table.mkdirSync = (path, options) => {
    const { recursive, mode } = (options ?? {}) as { recursive?: boolean; mode?: number }
    return effects.counts(String(path))
      ? makeFolder(effects, String(path), recursive === true, mode)
      : (mkdirSync as Call)(path, options)
  }
  wrapPromises(effects)
}

/** One effect for each folder made, as the system sees it. */
function makeFolder(effects: Effects, path: string, recursive: boolean, mode = 0o777): void {
  if (recursive) {
    if (statSync(path, { throwIfNoEntry: false })?.isDirectory() === true) return
    if (statSync(dirname(path), { throwIfNoEntry: false }) === undefined) makeFolder(effects, dirname(path), true, mode)
  }
  effects.make('mkdir', path, () => mkdirSync(path, { mode }))
}

function wrapPromises(effects: Effects): void {
  const { open, rename, unlink } = promises as { open: Call; rename: Call; unlink: Call }
  promises.open = async (...args) => {
    const path = String(args[0])
    const make = opensToMake(args[1]) && effects.counts(path)
    const act = async () => (await open(...args)) as FileHandle
    return wrapHandle(effects, make ? await effects.makeLater('create', path, act) : await act())
  }
  promises.mkdir = async (path, options) => table.mkdirSync?.(path, options)
  promises.rename = (from, to) => effects.makeLater('rename', String(to), async () => rename(from, to))
  promises.unlink = (path) => effects.makeLater('unlink', String(path), async () => unlink(path))
}

function wrapHandle(effects: Effects, handle: FileHandle): FileHandle {
  const path = pathOf(handle.fd)
  if (!effects.counts(path)) return handle
  const calls = handle as unknown as Record<string, Call>
  for (const [name, kind] of [
    ['write', 'write'],
    ['sync', 'sync'],
    ['chmod', 'chmod'],
  ] as const) {
    const real = (calls[name] as Call).bind(handle)
    const half = (args: unknown[]) => async () => {
      const { bytes, position } = range([0, ...args])
      writeSync(handle.fd, firstHalf(bytes), 0, undefined, position)
    }
    calls[name] = (...args) =>
      effects.makeLater(kind, path, async () => real(...args), name === 'write' ? half(args) : undefined)
  }
  return handle
}
