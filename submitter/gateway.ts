/** What every step of a pass works with: the config, the folders of this gateway, and the outside world handed in. */
import { join } from 'node:path'
import type { Clock } from '../system/clock.ts'
import type { Files } from '../system/files.ts'
import type { Log } from '../system/logger.ts'
import type { ProcessIdentity } from '../system/process.ts'
import type { Config, Site } from './config.ts'
import type { Programs } from './programs.ts'
import type { Transport } from './transport/transport.ts'

export interface Options {
  readonly noCleanup: boolean
  readonly email: string | undefined
  readonly debug: boolean
  readonly takeOver: boolean
}

export interface Gateway {
  readonly config: Config
  readonly files: Files
  readonly clock: Clock
  readonly log: Log
  readonly uuid: () => string
  readonly host: string
  readonly self: ProcessIdentity
  /** Effective user of this process; 0 may give files to their owners. */
  readonly uid: number
  readonly options: Options
  readonly programs: () => Programs
  readonly transportFor: (site: Site) => Transport
  /** Groups of a local user, by number; for judging what an owner may read. */
  readonly groupsOf: (uid: number) => ReadonlySet<number>
  readonly userName: (uid: number) => string | undefined
  /** True when a process we can see has the file open for writing. */
  readonly isOpenForWriting: (device: number, inode: number) => boolean
  readonly progress: (line: Progress) => void
}

export interface Progress {
  readonly what: string
  readonly done: number
  readonly total: number
}

/** Files in the dropbox's own dot folder: the uuid of the gateway and all its locks. */
export function hpcFolder(dropbox: string): { dir: string; uuid: string; lock: (name: string) => string } {
  const dir = join(dropbox, '.hpc')
  return { dir, uuid: join(dir, 'uuid'), lock: (name) => join(dir, `${name}.lock`) }
}

/** Files in `state`: losing them loses no job. */
export function statePaths(state: string) {
  return {
    dir: state,
    gateways: join(state, 'gateways.json'),
    pending: join(state, 'pending.json'),
    looks: join(state, 'looks.json'),
    owners: join(state, 'owners.json'),
    turns: join(state, 'turns.json'),
    digests: join(state, 'digests.json'),
    log: join(state, 'log.jsonl'),
    reserved: join(state, 'reserved'),
    site: (name: string) => join(state, 'sites', `${name}.json`),
    sites: join(state, 'sites'),
    withdraw: join(state, 'withdraw'),
    giving: join(state, 'giving'),
  }
}
