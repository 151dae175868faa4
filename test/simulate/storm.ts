/** What befalls a world: which kinds of fault, how often, until when. All drawn from the seed; a schedule has some kinds, seldom all. */
import { type FileFaults, osError } from './disk.ts'
import type { Chance } from './kernel.ts'
import { Death, type Task } from './task.ts'

/** Chances, each of one occasion: one process started, one call on a file of the site, one command of the scheduler, one connection. */
export interface Storm {
  readonly endsMs: number
  readonly killSubmitter: number
  readonly killQueuer: number
  readonly killRunner: number
  readonly pause: number
  readonly lostAnswer: number
  readonly lookAgain: number
  readonly staleListing: number
  readonly cut: number
  readonly stall: number
  readonly refuse: number
  readonly hung: number
  readonly deaf: number
  readonly truncated: number
  readonly vanish: number
  /** Allocations: the part of them that comes to such an end. */
  readonly nodeFails: number
  readonly requeued: number
  readonly cancelled: number
}

export function stormOf(chance: Chance, endsMs: number): Storm {
  const maybe = (most: number) => (chance.happens(0.4) ? most * chance.next() : 0)
  return {
    endsMs,
    killSubmitter: maybe(0.5),
    killQueuer: maybe(0.4),
    killRunner: maybe(0.5),
    pause: maybe(0.2),
    lostAnswer: maybe(0.01),
    lookAgain: maybe(0.002),
    staleListing: maybe(0.7),
    cut: maybe(0.4),
    stall: maybe(0.2),
    refuse: maybe(0.3),
    hung: maybe(0.2),
    deaf: maybe(0.3),
    truncated: maybe(0.2),
    vanish: maybe(0.2),
    nodeFails: maybe(0.4),
    requeued: maybe(0.3),
    cancelled: maybe(0.3),
  }
}

const changes = new Set(['create', 'openWrite', 'write', 'rename', 'unlink', 'mkdir', 'rmdir', 'symlink', 'fsync'])
const shaken = new Set(['openRead', 'openWrite', 'create', 'rename', 'list', 'stat', 'unlink', 'fsync'])
/** What a server that did it already says to a call that is sent again. */
const saidAgain: Readonly<Record<string, string>> = {
  rename: 'ENOENT',
  create: 'EEXIST',
  unlink: 'ENOENT',
  rmdir: 'ENOENT',
}

export interface Shaking {
  readonly chance: Chance
  readonly storm: Storm
  readonly nowMs: () => number
  readonly fault: (kind: string) => void
  /** Whether it lies on the network file system of the site. */
  readonly isRemote: (path: string) => boolean
  readonly done: (call: string, path: string) => void
}

const folderOf = (path: string) => path.slice(0, path.lastIndexOf('/'))
const cacheMs = 30_000

/** One machine's cache of folders. */
export class ListingCache {
  readonly #known = new Map<string, { names: string[]; atMs: number }>()

  listing(shaking: Shaking, path: string, fresh: string[]): string[] {
    const { chance, storm, nowMs, fault } = shaking
    const known = this.#known.get(path)
    if (
      known !== undefined &&
      nowMs() < storm.endsMs &&
      nowMs() - known.atMs < cacheMs &&
      chance.happens(storm.staleListing)
    ) {
      if (known.names.join('/') !== fresh.join('/')) fault('stale listing')
      return [...known.names]
    }
    this.#known.set(path, { names: [...fresh], atMs: nowMs() })
    return fresh
  }

  changed(path: string): void {
    this.#known.delete(folderOf(path))
  }
}

/** The faults one process meets at its files: its own death at a change, and the moods of the site's file system. */
export function fileFaults(
  task: Task,
  name: string,
  shaking: Shaking,
  cache: ListingCache,
  killAt: () => { readonly effect: number; readonly when: 'before' | 'after' } | undefined,
): FileFaults {
  const { chance, storm, nowMs, fault, isRemote } = shaking
  const stormy = (path: string) => isRemote(path) && nowMs() < storm.endsMs
  const die = (when: string): never => {
    fault(`${name} killed ${when} a change`)
    return task.kill()
  }
  return {
    before: (call, path) => {
      if (!task.alive) throw new Death('killed')
      if (changes.has(call)) {
        task.effects += 1
        const kill = killAt()
        if (task.effects === kill?.effect && kill.when === 'before') die('before')
      }
      if (storm.lookAgain > 0 && shaken.has(call) && stormy(path) && chance.happens(storm.lookAgain)) {
        const code = call === 'rename' && chance.happens(0.5) ? 'EXDEV' : chance.pick(['ESTALE', 'EIO'])
        fault(code)
        throw osError(code, call, path)
      }
    },
    after: (call, path, from) => {
      cache.changed(path)
      if (from !== undefined) cache.changed(from)
      shaking.done(call, path)
      const kill = changes.has(call) ? killAt() : undefined
      if (task.effects === kill?.effect && kill.when === 'after') die('after')
      const code = saidAgain[call]
      if (code !== undefined && storm.lostAnswer > 0 && stormy(path) && chance.happens(storm.lostAnswer)) {
        fault(`answer to ${call} lost`)
        throw osError(code, call, path)
      }
    },
    listing: (path, fresh) => (storm.staleListing > 0 && isRemote(path) ? cache.listing(shaking, path, fresh) : fresh),
  }
}
