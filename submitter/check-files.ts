/**
 * What a job file makes us read and write, judged for its owner: a gateway must not be talked into opening what the owner could not.
 * Inputs are judged on the opened descriptor; outputs on the opened folder. Where owner and gateway differ, `paths:` is the rule.
 */
import { basename, dirname, join, resolve } from 'node:path'
import { quoted } from '../contract/errors.ts'
import type { JobDescription, Problem } from '../contract/job-description.ts'
import { errno, O_DIRECTORY, O_NONBLOCK, O_RDONLY, type Stats, W_OK, X_OK } from '../system/os.ts'
import type { Gateway } from './gateway.ts'

export interface Owner {
  readonly uid: number
  readonly gid: number
}

/** True when the owner is the gateway's own user: then the system's own checks on us are the owner's. */
function isOurself(gateway: Gateway, owner: Owner): boolean {
  return owner.uid === gateway.uid
}

function may(gateway: Gateway, owner: Owner, stats: Stats, bits: number): boolean {
  if (owner.uid === 0) return true
  const mode = Number(stats.mode)
  if (stats.uid === owner.uid) return (mode & (bits << 6)) === bits << 6
  if (stats.gid === owner.gid || gateway.groupsOf(owner.uid).has(stats.gid)) return (mode & (bits << 3)) === bits << 3
  return (mode & bits) === bits
}

function isUnder(path: string, roots: readonly string[]): boolean {
  return roots.some((root) => path === root || path.startsWith(root.endsWith('/') ? root : `${root}/`))
}

/** What the descriptor really is, whatever the name said. */
function realPathOf(gateway: Gateway, fd: number, name: string): string {
  try {
    return gateway.files.os.readlinkSync(`/proc/self/fd/${fd}`)
  } catch {
    return gateway.files.os.realpathSync(name)
  }
}

export interface OpenInput {
  readonly fd: number
  readonly stats: Stats
}

/** Opens an input for reading, or says why not. `transient`: another try may help. */
export function openInput(
  gateway: Gateway,
  owner: Owner,
  path: string,
): OpenInput | { readonly fault: string; readonly transient: boolean } {
  const { os } = gateway.files
  let fd: number
  try {
    fd = os.openSync(path, O_RDONLY | O_NONBLOCK)
  } catch (error) {
    const code = errno(error)
    if (code === 'ENOENT' || code === 'ENOTDIR')
      return { fault: `${quoted(path)} does not exist; write it before the job, or correct its path`, transient: false }
    if (code === 'EACCES' || code === 'EPERM')
      return { fault: `${quoted(path)} may not be read by the gateway; give it read permission`, transient: false }
    if (code === 'ELOOP') return { fault: `${quoted(path)} is a link that leads in a circle`, transient: false }
    if (code === 'ENAMETOOLONG') return { fault: `${quoted(path)} has too long a name`, transient: false }
    if (code === 'ENXIO') return { fault: `${quoted(path)} is no regular file`, transient: false }
    return { fault: `${quoted(path)} cannot be opened: ${code ?? String(error)}`, transient: true }
  }
  const stats = os.fstatSync(fd)
  const fault = judgeInput(gateway, owner, fd, path, stats)
  if (fault === undefined) return { fd, stats }
  os.closeSync(fd)
  return { fault, transient: false }
}

function judgeInput(gateway: Gateway, owner: Owner, fd: number, path: string, stats: Stats): string | undefined {
  if (stats.isDirectory()) return `${quoted(path)} is a folder, not a regular file`
  if (!stats.isFile()) return `${quoted(path)} is no regular file`
  if (isOurself(gateway, owner)) return undefined
  const real = realPathOf(gateway, fd, path)
  if (!isUnder(real, gateway.config.paths.inputs)) {
    return `${quoted(path)} lies outside of what job files of other users may name (paths.inputs in the config)`
  }
  if (!may(gateway, owner, stats, 4)) return `${quoted(path)} may not be read by the owner of the job file`
  return undefined
}

/** Output folders as they were seen, by name: for the jobs of one drop, which mostly share a few. Delivery looks for itself. */
export type FolderLooks = Map<string, FolderLook>

interface FolderLook {
  readonly stats: Stats
  /** Where it is, whatever its name said. */
  readonly real: string
  readonly writable: boolean
}

/** Whether an output may be delivered to `path`; the same check at acceptance and right before delivery. */
export function judgeOutput(
  gateway: Gateway,
  owner: Owner,
  path: string,
  looks: FolderLooks = new Map(),
): Fault | undefined {
  const known = looks.get(dirname(path))
  if (known !== undefined) {
    const fault = judgeTarget(gateway, owner, path, known)
    return fault === undefined ? undefined : { fault, transient: false }
  }
  const opened = openOutputFolder(gateway, owner, path, looks)
  if ('fault' in opened) return opened
  gateway.files.os.closeSync(opened.fd)
  return undefined
}

export interface Fault {
  readonly fault: string
  readonly transient: boolean
}

/** The folder an output is to be delivered into, judged as it is open. */
export function openOutputFolder(
  gateway: Gateway,
  owner: Owner,
  path: string,
  looks?: FolderLooks,
): { readonly fd: number } | Fault {
  const { os } = gateway.files
  const dir = dirname(path)
  const fix = { transient: false }
  let fd: number
  try {
    fd = os.openSync(dir, O_RDONLY | O_DIRECTORY | O_NONBLOCK)
  } catch (error) {
    const code = errno(error)
    if (code === 'ENOENT')
      return { fault: `${quoted(path)}: its folder ${quoted(dir)} does not exist; create it first`, ...fix }
    if (code === 'ENOTDIR') return { fault: `${quoted(path)}: ${quoted(dir)} is no folder`, ...fix }
    if (code === 'EACCES')
      return { fault: `${quoted(path)}: its folder ${quoted(dir)} may not be entered by the gateway`, ...fix }
    return {
      fault: `${quoted(path)}: its folder ${quoted(dir)} cannot be opened: ${code ?? String(error)}`,
      transient: true,
    }
  }
  const look = lookAtFolder(gateway, fd, dir)
  looks?.set(dir, look)
  const fault = judgeTarget(gateway, owner, path, look)
  if (fault === undefined) return { fd }
  os.closeSync(fd)
  return { fault, ...fix }
}

function lookAtFolder(gateway: Gateway, fd: number, dir: string): FolderLook {
  const { os } = gateway.files
  const stats = os.fstatSync(fd)
  const real = realPathOf(gateway, fd, dir)
  try {
    os.accessSync(dir, W_OK | X_OK)
    return { stats, real, writable: true }
  } catch {
    return { stats, real, writable: false }
  }
}

function judgeTarget(gateway: Gateway, owner: Owner, path: string, look: FolderLook): string | undefined {
  const { stats, real, writable } = look
  const dir = dirname(path)
  if (!writable) return `${quoted(path)}: its folder ${quoted(dir)} is not writable by the gateway`
  const final = join(real, basename(path))
  if (isInternal(gateway, final)) return `${quoted(path)} lies among the gateway's own files`
  const target = gateway.files.stat(path)
  if (target !== undefined && !target.isFile() && !target.isDirectory())
    return `${quoted(path)} is there and is a link or special file`
  if (isOurself(gateway, owner)) return undefined
  if (!isUnder(final, gateway.config.paths.outputs))
    return `${quoted(path)} lies outside of what job files of other users may name (paths.outputs in the config)`
  if (!may(gateway, owner, stats, 3))
    return `${quoted(path)}: its folder ${quoted(dir)} may not be written by the owner of the job file`
  if (target !== undefined && (stats.mode & 0o1000) !== 0 && target.uid !== owner.uid && stats.uid !== owner.uid)
    return `${quoted(path)} belongs to somebody else`
  return undefined
}

/** The dropbox's names and the state folder are not for results of jobs. */
function isInternal(gateway: Gateway, real: string): boolean {
  const { dropbox, state } = gateway.config
  if (isUnder(real, [resolve(state), join(resolve(dropbox), '.hpc')])) return true
  return dirname(real) === resolve(dropbox) && /\.job(\.submitted|\.finished|\.cancel)?$/.test(real)
}

/** All that is wrong with the files a description names, at once. */
export function checkFiles(
  gateway: Gateway,
  owner: Owner,
  description: JobDescription,
  looks?: FolderLooks,
): Problem[] {
  const problems: Problem[] = []
  for (const [key, path] of description.inputs) {
    const opened = openInput(gateway, owner, path)
    if ('fd' in opened) gateway.files.os.closeSync(opened.fd)
    else problems.push({ key: `input_map.${key}`, message: opened.fault })
  }
  for (const [key, { path }] of description.outputs) {
    const fault = judgeOutput(gateway, owner, path, looks)
    if (fault !== undefined) problems.push({ key: `output_map.${key}`, message: fault.fault })
  }
  return problems
}
