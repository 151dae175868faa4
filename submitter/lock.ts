/**
 * The gateway's locks. A lock is taken over only from a holder that is certainly gone: on this host its process is seen to have ended;
 * on another host its sign of life stood still for 60 s of our own clock. Age in calendar time decides nothing, so a clock that jumps
 * or a laptop that sleeps costs no lock.
 */
import { HpcError } from '../contract/errors.ts'
import type { ObserverTime } from '../contract/spool-records.ts'
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

/** Takes the lock, or says who has it. */
export async function takeLock(gateway: Gateway, name: string): Promise<Lock | { readonly heldBy: string }> {
  const { files } = gateway
  const folder = hpcFolder(gateway.config.dropbox)
  const path = folder.lock(name)
  const holderPath = `${path}.holder`
  const nonce = gateway.uuid()
  let lost: string | undefined
  const acquire = async (): Promise<Lock | undefined> => {
    const { default: lockfile } = await import('proper-lockfile')
    let release: () => Promise<void>
    try {
      release = await lockfile.lock(path, {
        lockfilePath: path,
        realpath: false,
        stale: never,
        update: updateMs,
        onCompromised: (error) => {
          lost ??= error.message
        },
      })
    } catch (error) {
      if (error instanceof Error && 'code' in error && error.code === 'ELOCKED') return undefined
      throw error
    }
    const holder: Holder = { host: gateway.host, process: gateway.self, nonce }
    files.publish(holderPath, `${JSON.stringify(holder)}\n`)
    const inode = files.stat(path)?.ino
    return {
      name,
      check: () => {
        const now = files.readJson<Holder>(holderPath)?.nonce
        if (lost === undefined && (files.stat(path)?.ino !== inode || now !== nonce)) lost = 'another process has it'
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
  const first = await acquire()
  if (first !== undefined) return first
  const holder = files.readJson<Holder>(holderPath)
  if (!isGone(gateway, path, holder))
    return { heldBy: holder === undefined ? 'a starting pass' : `pid ${holder.process.pid} on ${holder.host}` }
  return (await steal(gateway, path, holder, acquire)) ?? { heldBy: 'another pass that was quicker' }
}

function isGone(gateway: Gateway, path: string, holder: Holder | undefined): boolean {
  const { files, clock } = gateway
  const here = clock.uptime()
  if (holder !== undefined && holder.process.bootId === here.bootId) return !isAlive(holder.process, here.bootId)
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

/** Only one thief at a time, and only the lock it looked at: the look is repeated under a lock of its own. */
async function steal(
  gateway: Gateway,
  path: string,
  seen: Holder | undefined,
  acquire: () => Promise<Lock | undefined>,
): Promise<Lock | undefined> {
  const { default: lockfile } = await import('proper-lockfile')
  const stealing = `${path}.steal`
  let done: () => Promise<void>
  try {
    done = await lockfile.lock(stealing, {
      lockfilePath: stealing,
      realpath: false,
      stale: 30_000,
      onCompromised: () => undefined,
    })
  } catch {
    return undefined
  }
  try {
    const now = gateway.files.readJson<Holder>(`${path}.holder`)
    if (now?.nonce !== seen?.nonce) return undefined
    gateway.log.warn(`taking over the lock ${path}: its holder is gone`)
    gateway.files.removeTree(path)
    return await acquire()
  } finally {
    await done().catch(() => undefined)
  }
}
