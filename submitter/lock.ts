/**
 * The gateway's locks. A lock is taken over only from a holder that is certainly gone: on this host its process is seen to have ended;
 * on another host its sign of life stood still for 60 s of our own clock. Age in calendar time decides nothing, so a clock that jumps
 * or a laptop that sleeps costs no lock.
 */
import { basename, dirname, join } from 'node:path'
import { HpcError, quoted } from '../contract/errors.ts'
import type { ObserverTime } from '../contract/spool-records.ts'
import type { Files } from '../system/files.ts'
import { errno } from '../system/os.ts'
import { isAlive, type ProcessIdentity } from '../system/process.ts'
import { type Gateway, hpcFolder } from './gateway.ts'

export interface Lock {
  readonly name: string
  /** Throws when the lock is no longer ours; called right before every rename in the dropbox or at a destination. */
  check(): void
  release(): Promise<void>
}

interface Holder {
  readonly host: string
  readonly process: ProcessIdentity
  readonly nonce: string
}

interface Sighting {
  readonly nonce: string
  readonly sign: number
  readonly since: ObserverTime
}

const never = 1_000_000_000_000
const updateMs = 10_000
const stillMs = 60_000
const tombstonesKept = 20

/** Takes the lock, or says who has it. */
export async function takeLock(gateway: Gateway, name: string): Promise<Lock | { readonly heldBy: string }> {
  const path = hpcFolder(gateway.config.dropbox).lock(name)
  const first = await acquire(gateway, name, path)
  if (first !== undefined) return first
  const holder = readHolder(gateway, path)
  // it was given back between the two looks
  if (holder === undefined && !gateway.files.exists(path)) {
    return (await acquire(gateway, name, path)) ?? { heldBy: 'another pass that was quicker' }
  }
  if (!isGone(gateway, path, holder))
    return { heldBy: holder === undefined ? 'a pass that ends' : `pid ${holder.process.pid} on ${holder.host}` }
  if (holder !== undefined) bury(gateway, path, holder)
  return (await acquire(gateway, name, path)) ?? { heldBy: 'another pass that was quicker' }
}

/** As `takeLock`, for short work that must not be left out because another pass is at the same short work. */
export async function waitForLock(gateway: Gateway, name: string, patienceMs: number): Promise<Lock | undefined> {
  const endMs = gateway.clock.monotonicMs() + patienceMs
  for (;;) {
    const lock = await takeLock(gateway, name)
    if (!('heldBy' in lock)) return lock
    if (gateway.clock.monotonicMs() >= endMs) return undefined
    await gateway.clock.sleep(100)
  }
}

function holderPath(path: string): string {
  return join(path, 'holder.json')
}

function readHolder(gateway: Gateway, path: string): Holder | undefined {
  return gateway.files.readJson<Holder>(holderPath(path))
}

async function acquire(gateway: Gateway, name: string, path: string): Promise<Lock | undefined> {
  const { files } = gateway
  const { default: lockfile } = await import('proper-lockfile')
  const holder: Holder = { host: gateway.host, process: gateway.self, nonce: gateway.uuid() }
  let lost: string | undefined
  let release: () => Promise<void>
  try {
    release = await lockfile.lock(path, {
      lockfilePath: path,
      realpath: false,
      stale: never,
      update: updateMs,
      fs: lockFs(files, holder),
      onCompromised: (error) => {
        lost ??= error.message
      },
    })
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ELOCKED') return undefined
    throw error
  }
  let inode: number | undefined
  try {
    inode = files.stat(path)?.ino
  } catch (error) {
    await release().catch(() => undefined)
    throw error
  }
  return {
    name,
    check: () => {
      if (lost === undefined && (files.stat(path)?.ino !== inode || readHolder(gateway, path)?.nonce !== holder.nonce))
        lost = 'another process has it'
      if (lost !== undefined) {
        throw new HpcError('transient', `Cannot go on with this pass: the lock "${name}" was lost, ${lost}`, {
          hint: 'the next pass goes on where this one stopped',
        })
      }
    },
    release: async () => {
      if (lost === undefined) await release().catch(() => undefined)
    },
  }
}

function folderGone(path: string): HpcError {
  return new HpcError('transient', `Cannot take a lock: the folder ${quoted(path)} is gone`, {
    hint: 'see that the dropbox is mounted; nothing is lost meanwhile',
    concerns: { path },
  })
}

type Done = (error: unknown, value?: unknown) => void

/**
 * What proper-lockfile does with its folder, so that a lock comes into being together with the word of who holds it: the folder is
 * filled beside and renamed into place, which fails where a full one is. So there is no moment in which a lock has no holder.
 */
function lockFs(files: Files, holder: Holder): object {
  const calling = (act: () => unknown, done: Done) => {
    let value: unknown
    try {
      value = act()
    } catch (error) {
      done(error)
      return
    }
    done(null, value)
  }
  const take = (path: string) => {
    // never made here: where the folder with the marker is gone, something else lies at its place, such as an empty mount point
    if (!files.exists(dirname(path))) throw folderGone(dirname(path))
    const beside = join(dirname(path), files.temporaryName())
    files.makeFolder(beside)
    try {
      files.createExclusive(holderPath(beside), `${JSON.stringify(holder)}\n`)
      files.os.renameSync(beside, path)
    } catch (error) {
      files.removeTree(beside)
      const code = errno(error)
      throw code === 'ENOTEMPTY' || code === 'EEXIST' ? Object.assign(new Error('held'), { code: 'EEXIST' }) : error
    }
  }
  const give = (path: string) => {
    if (files.readJson<Holder>(holderPath(path))?.nonce !== holder.nonce) return
    files.remove(holderPath(path))
    files.os.rmdirSync(path)
  }
  return {
    mkdir: (path: string, done: Done) => calling(() => take(path), done),
    rmdir: (path: string, done: Done) => calling(() => give(path), done),
    rmdirSync: give,
    stat: (path: string, done: Done) => calling(() => files.os.statSync(path), done),
    utimes: (path: string, atime: Date, mtime: Date, done: Done) =>
      calling(() => files.os.utimesSync(path, atime, mtime), done),
  }
}

function isGone(gateway: Gateway, path: string, holder: Holder | undefined): boolean {
  const { files, clock } = gateway
  const here = clock.uptime()
  // containers on one machine share its boot and not its processes: only under our own name can a process be looked for
  if (holder !== undefined && holder.host === gateway.host && holder.process.bootId === here.bootId)
    return !isAlive(holder.process, here.bootId)
  // this very machine, started anew since
  if (
    holder !== undefined &&
    holder.host === gateway.host &&
    holder.process.bootId !== here.bootId &&
    !sharesDropbox(holder, gateway)
  )
    return true
  const sign = files.stat(path)?.mtimeMs ?? 0
  const seenPath = `${path}.seen`
  const seen = files.readJson<Sighting>(seenPath)
  const nonce = holder?.nonce ?? ''
  if (seen === undefined || seen.nonce !== nonce || seen.sign !== sign || seen.since.bootId !== here.bootId) {
    const sighting: Sighting = { nonce, sign, since: here }
    files.publish(seenPath, `${JSON.stringify(sighting)}\n`)
    return false
  }
  return here.ms - seen.since.ms >= stillMs
}

/** Two machines of one name that share a dropbox cannot be told apart: then only stillness counts. */
function sharesDropbox(holder: Holder, gateway: Gateway): boolean {
  return holder.host === 'localhost' || gateway.host === 'localhost'
}

/**
 * Moves the lock of a dead holder aside, to a name made of the holder's nonce that is kept: so it can be done once only, and a thief who
 * comes late with an old look cannot move the lock of whoever took it meanwhile.
 */
function bury(gateway: Gateway, path: string, holder: Holder): void {
  const { files } = gateway
  const tombstones = `${basename(path)}.dead.`
  gateway.log.warn(`taking over the lock ${path}: its holder, pid ${holder.process.pid} on ${holder.host}, is gone`)
  try {
    files.os.renameSync(path, join(dirname(path), `${tombstones}${holder.nonce}`))
  } catch (error) {
    if (!['ENOTEMPTY', 'EEXIST', 'ENOENT'].includes(errno(error) ?? '')) throw error
  }
  const old = files
    .list(dirname(path))
    .filter((name) => name.startsWith(tombstones))
    .map((name) => ({ name, at: files.stat(join(dirname(path), name))?.ctimeMs ?? 0 }))
    .sort((a, b) => b.at - a.at)
  for (const { name } of old.slice(tombstonesKept)) files.removeTree(join(dirname(path), name))
}

/** Overlapping passes share out the work by the locks: what another pass holds is left to it. */
export async function withLock<T>(
  gateway: Gateway,
  name: string,
  busy: string[],
  act: (lock: Lock) => Promise<T>,
): Promise<T | undefined> {
  const lock = await takeLock(gateway, name)
  if ('heldBy' in lock) {
    busy.push(`${name}: ${lock.heldBy}`)
    return undefined
  }
  try {
    return await act(lock)
  } finally {
    await lock.release()
  }
}
