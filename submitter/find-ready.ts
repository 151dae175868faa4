/**
 * New job files that are complete. What may still be written is looked at once more after it has had time to change, and else remembered, so
 * that a later pass sees how long it has stood still.
 */
import { jobFile, moveAside, type Names, readRegular } from './dropbox.ts'
import { type Gateway, statePaths } from './gateway.ts'
import { decideReadiness, type Look, nextLook } from './readiness.ts'

/** New jobs that one pass looks at and takes: all of them are in memory until it ends. */
const mostArrivals = 2_000

export interface Found {
  /** Oldest first. */
  readonly ready: readonly { readonly name: string; readonly look: Look | undefined; readonly uid: number }[]
  readonly waiting: readonly { readonly name: string; readonly why: string }[]
  /** Of those, the ones that may still be written. */
  readonly growing: readonly string[]
  /** There is more than a pass takes. */
  readonly more: boolean
}

interface Aged {
  readonly name: string
  readonly uid: number
  readonly mtimeMs: number
}

/** `woken`: there may be other names than these. */
export async function findReady(gateway: Gateway, names: Names, woken: boolean): Promise<Found> {
  const { clock, config } = gateway
  const { free, taken } = sortOut(gateway, names)
  const chosen = choose(gateway, free)
  const looking = new Looking(gateway)
  const again = [...chosen].filter((name) => looking.at(name) === 'look-again')
  if (again.length > 0) {
    await clock.sleep(config.settleMs)
    for (const name of again) looking.at(name)
  }
  const there = new Set(names.jobs)
  looking.save((name) => !chosen.has(name) && (woken || there.has(name)))
  const growing = [...looking.growing]
  const left = free.filter((name) => !chosen.has(name))
  return {
    ready: looking.ready.sort(byAge),
    growing,
    more: left.length > 0,
    waiting: [
      ...taken,
      ...left.map((name) => ({ name, why: `a pass takes ${mostArrivals} jobs; the next one goes on` })),
      ...growing.map((name) => ({ name, why: 'it may still be written; it is taken when it stands still' })),
    ],
  }
}

/** A name is free when no job of that name is under way and no result of it lies there. */
function sortOut(gateway: Gateway, names: Names): { free: string[]; taken: { name: string; why: string }[] } {
  const free: string[] = []
  const taken: { name: string; why: string }[] = []
  for (const name of names.jobs) {
    const { finished } = jobFile(gateway, name)
    if (names.finished.has(name) && gateway.files.stat(finished)?.isFile() === false) {
      moveAside(gateway, finished)
      names.finished.delete(name)
    }
    if (names.submitted.has(name)) taken.push({ name, why: 'a job of this name is under way' })
    else if (names.finished.has(name))
      taken.push({ name, why: 'the result of an earlier job of this name has not been taken away' })
    else free.push(name)
  }
  return { free, taken }
}

function byAge(a: Aged, b: Aged): number {
  return a.mtimeMs - b.mtimeMs || (a.name < b.name ? -1 : 1)
}

/** As many as a pass takes, the oldest of each owner in turn; of the others nothing is read. */
function choose(gateway: Gateway, names: readonly string[]): ReadonlySet<string> {
  if (names.length <= mostArrivals) return new Set(names)
  const ofOwner = new Map<number, Aged[]>()
  for (const name of names) {
    const stats = gateway.files.stat(jobFile(gateway, name).job)
    if (stats === undefined) continue
    const { uid, mtimeMs } = stats
    const own = ofOwner.get(uid)
    if (own === undefined) ofOwner.set(uid, [{ name, uid, mtimeMs }])
    else own.push({ name, uid, mtimeMs })
  }
  const queues = [...ofOwner.values()].map((own) => own.sort(byAge))
  const chosen = new Set<string>()
  for (let turn = 0; chosen.size < mostArrivals; turn++) {
    const before = chosen.size
    for (const queue of queues) {
      const one = queue[turn]
      if (one !== undefined && chosen.size < mostArrivals) chosen.add(one.name)
    }
    if (chosen.size === before) break
  }
  return chosen
}

/** Looks at files, beside what earlier passes saw of them. */
class Looking {
  readonly #gateway: Gateway
  readonly #path: string
  readonly #remembered: Readonly<Record<string, Look>>
  readonly #looks: Record<string, Look> = {}
  readonly ready: (Aged & { readonly look: Look | undefined })[] = []

  constructor(gateway: Gateway) {
    this.#gateway = gateway
    this.#path = statePaths(gateway.config.state).looks
    this.#remembered = gateway.files.readJson<Record<string, Look>>(this.#path) ?? {}
  }

  get growing(): readonly string[] {
    return Object.keys(this.#looks)
  }

  at(name: string): 'ready' | 'look-again' | 'growing' | 'gone' {
    const { files, clock, config } = this.#gateway
    const path = jobFile(this.#gateway, name).job
    const stats = files.stat(path)
    if (stats === undefined) return this.#gone(name)
    const read = stats.isFile() ? readRegular(this.#gateway, path) : { fault: 'it is no regular file' }
    if (read === undefined) return this.#gone(name)
    // what can never be read is accepted at once, to be refused with a reason
    if ('fault' in read) {
      this.ready.push({ name, look: undefined, uid: stats.uid, mtimeMs: stats.mtimeMs })
      return 'ready'
    }
    const { bytes, stats: found } = read
    const now = clock.uptime()
    const seen = { size: found.size, mtimeMs: found.mtimeMs, inode: found.ino, since: now }
    const look = nextLook(this.#looks[name] ?? this.#remembered[name], seen)
    const decision = decideReadiness(bytes, look, now, config.settleMs)
    const isReady = decision === 'ready'
    if (isReady && (look.since === now || !this.#gateway.isOpenForWriting(found.dev, found.ino))) {
      delete this.#looks[name]
      this.ready.push({ name, look, uid: found.uid, mtimeMs: found.mtimeMs })
      return 'ready'
    }
    this.#looks[name] = look
    return isReady ? 'growing' : decision
  }

  #gone(name: string): 'gone' {
    delete this.#looks[name]
    return 'gone'
  }

  /** Keeps what was seen now, and of what was not looked at what `isLeft`. */
  save(isLeft: (name: string) => boolean): void {
    const others = Object.entries(this.#remembered).filter(([name]) => isLeft(name))
    const after = { ...Object.fromEntries(others), ...this.#looks }
    if (JSON.stringify(after) !== JSON.stringify(this.#remembered))
      this.#gateway.files.replace(this.#path, `${JSON.stringify(after)}\n`)
  }
}
