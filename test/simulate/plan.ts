/** What a schedule is made of; all of it drawn from the seed. */
import { Chance } from './kernel.ts'
import { type Storm, stormOf } from './storm.ts'

export const minuteMs = 60_000
export const hourMs = 60 * minuteMs

export interface Plan {
  readonly gateways: number
  readonly sites: readonly string[]
  readonly jobs: number
  readonly maxRunners: number
  readonly slots: number
  readonly walltime: string
  /** Of every lane, in minutes. */
  readonly marginMin: number
  /** So long an allocation may wait in the queue. */
  readonly longestWaitMs: number
  /** From pass to pass of a cron, at most. */
  readonly cronMs: number
  /** All jobs come within that. */
  readonly arrivalsMs: number
  /** A second host serves the dropbox of the first gateway too, and passes overlap. */
  readonly twin: boolean
  /** The site's scratch cleaner takes what is older than that, every night. */
  readonly cleanedAfterMs: number | undefined
  /** What is in the input that several jobs read. */
  readonly shared: string
  /** Whether its file systems can share blocks between files. */
  readonly clones: boolean
  /** Somebody alters what a site's store keeps. */
  readonly harmed: boolean
  /** Each host passes as soon as something comes, as a `watch` does. */
  readonly watching: boolean
  /** Tools drop a job when a script of another is about to end: just when its runner may leave. */
  readonly eager: boolean
  /** Many short jobs at once, so that runners claim ahead; and tools change their minds often, just when a runner has taken their job. */
  readonly fickle: boolean
  /** Somebody of the site's account submits scripts of ours once more. */
  readonly meddled: boolean
  /** All jobs say how long they take, and the site's clocks go alike: what no longer fits an allocation is known to half a minute. */
  readonly timed: boolean
  readonly storm: Storm
}

export function planOf(seed: number, faults: boolean): Plan {
  const chance = new Chance(seed ^ 0x5eed)
  // drawn apart, so that the other seeds stay what they were: one that the site's store keeps, and one that goes with the large ones
  const store = new Chance(seed ^ 0x5707e)
  const pace = new Chance(seed ^ 0x9ace)
  const kept = store.pick([0, 0, store.between(1_024, 6_000), store.between(8_200, 20_000)])
  // days in the queue, a pass an hour, a cleaner at night: what is still needed must not look old
  const slow = faults && chance.happens(0.05)
  const fickle = faults && !slow && pace.happens(0.2)
  const timed = !slow && pace.happens(0.2)
  const walltime = chance.pick(['8m', '15m', '1h'])
  return {
    gateways: chance.pick([1, 1, 2]),
    sites: chance.pick([['here'], ['here'], ['here', 'there']]),
    jobs: chance.between(1, 6) + (fickle ? 6 : 0),
    maxRunners: chance.pick([1, 1, 2]),
    slots: chance.pick([1, 1, 2]),
    walltime: timed ? '8m' : walltime,
    marginMin: timed ? 1 : 5,
    longestWaitMs: slow ? 72 * hourMs : 4 * minuteMs,
    cronMs: slow ? 2 * hourMs : 150_000,
    arrivalsMs: fickle ? minuteMs / 2 : chance.pick([minuteMs / 2, 2 * minuteMs, 10 * minuteMs]),
    twin: faults && chance.happens(0.3),
    cleanedAfterMs: slow ? 48 * hourMs : undefined,
    shared: [store.hex(kept), chance.hex(chance.between(0, 60))].find((text) => text !== '') ?? '',
    clones: store.happens(0.5),
    harmed: faults && store.happens(0.5),
    watching: !slow && pace.happens(0.5),
    eager: !slow && !fickle && pace.happens(0.5),
    fickle,
    timed,
    meddled: faults && new Chance(seed ^ 0x4a9d).happens(0.1),
    storm: stormOf(chance, faults ? (slow ? 120 * hourMs : 90 * minuteMs) : 0),
  }
}
