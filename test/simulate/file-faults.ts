/** The faults one process meets at its files: its own death at a change, and the moods of the site's file system. */
import { osError } from './disk.ts'
import type { FileFaults } from './fs.ts'
import type { Chance } from './kernel.ts'
import type { Storm } from './storm.ts'
import { Death, type Task } from './task.ts'

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
  /** Whether it lies on the network file system of a site. */
  readonly isRemote: (path: string) => boolean
  readonly done: (call: string, path: string) => void
  /** The machine on which the process is crashes. */
  readonly crash: () => void
}

export interface Kill {
  readonly effect: number
  readonly when: 'before' | 'after'
  /** Its machine goes with it. */
  readonly crash: boolean
}

const folderOf = (path: string) => path.slice(0, path.lastIndexOf('/'))
const cacheMs = 30_000

/** One machine's cache of folders. */
export class ListingCache {
  readonly #known = new Map<string, { names: string[]; atMs: number }>()

  listing(shaking: Shaking, path: string, fresh: string[]): string[] {
    const { chance, storm, nowMs, fault } = shaking
    const known = this.#known.get(path)
    const now = nowMs()
    if (known !== undefined && now < storm.endsMs && now - known.atMs < cacheMs && chance.happens(storm.staleListing)) {
      if (known.names.join('/') !== fresh.join('/')) fault('stale listing')
      return [...known.names]
    }
    this.#known.set(path, { names: [...fresh], atMs: now })
    return fresh
  }

  changed(path: string): void {
    this.#known.delete(folderOf(path))
  }
}

export function fileFaults(
  task: Task,
  name: string,
  shaking: Shaking,
  cache: ListingCache,
  killAt: () => Kill | undefined,
): FileFaults {
  const { chance, storm, nowMs, fault, isRemote } = shaking
  const stormy = (path: string) => isRemote(path) && nowMs() < storm.endsMs
  const die = ({ when, crash }: Kill): never => {
    fault(`${name} ${crash ? 'goes with its machine' : 'killed'} ${when} a change`)
    if (crash) shaking.crash()
    return task.kill()
  }
  return {
    before: (call, path) => {
      if (!task.alive) throw new Death('killed')
      if (changes.has(call)) {
        task.effects += 1
        const kill = killAt()
        if (task.effects === kill?.effect && kill.when === 'before') die(kill)
      }
      if (storm.lookAgain > 0 && shaken.has(call) && stormy(path) && chance.happens(storm.lookAgain)) {
        const code = call === 'rename' && chance.happens(0.5) ? 'EXDEV' : chance.pick(['ESTALE', 'EIO'])
        fault(code)
        throw osError(code, call, path)
      }
    },
    after: (call, path, from) => {
      if (!changes.has(call)) return
      if (storm.staleListing > 0) {
        cache.changed(path)
        if (from !== undefined) cache.changed(from)
      }
      shaking.done(call, path)
      const kill = killAt()
      if (task.effects === kill?.effect && kill.when === 'after') die(kill)
      const code = storm.lostAnswer > 0 ? saidAgain[call] : undefined
      if (code !== undefined && stormy(path) && chance.happens(storm.lostAnswer)) {
        fault(`answer to ${call} lost`)
        throw osError(code, call, path)
      }
    },
    listing: (path, fresh) => (storm.staleListing > 0 && isRemote(path) ? cache.listing(shaking, path, fresh) : fresh),
  }
}
