/** What befalls a world: which kinds of fault, how often, until when. All drawn from the seed; a schedule has some kinds, seldom all. */
import type { Chance } from './kernel.ts'

/** Chances of one occasion: one process started, one call on a file of the site, one command of the scheduler, one connection … */
const occasions = {
  killSubmitter: 0.5,
  killQueuer: 0.4,
  killRunner: 0.5,
  // instead of the process alone, its machine
  crashes: 0.8,
  pause: 0.2,
  lostAnswer: 0.01,
  lookAgain: 0.002,
  staleListing: 0.7,
  cut: 0.4,
  stall: 0.2,
  refuse: 0.3,
  hung: 0.2,
  deaf: 0.3,
  truncated: 0.2,
  vanish: 0.2,
  // of one allocation
  nodeFails: 0.4,
  cutOff: 0.3,
  requeued: 0.3,
  cancelled: 0.3,
  preempted: 0.3,
} as const

/** … and what comes of itself, so often an hour at most. */
const hourly = {
  gatewayCrash: 8,
  loginCrash: 8,
  nodeCrash: 8,
  sitePower: 4,
  clockJump: 8,
  noSpace: 4,
} as const

type Occasion = keyof typeof occasions
export type Disaster = keyof typeof hourly

export type Storm = { readonly [K in Occasion | Disaster]: number } & { endsMs: number }

export function stormOf(chance: Chance, endsMs: number): Storm {
  const part = endsMs === 0 ? 0 : chance.pick([0.2, 0.4, 0.6])
  const drawn = Object.entries({ ...occasions, ...hourly }).map(([kind, most]) => [
    kind,
    chance.happens(part) ? most * chance.next() : 0,
  ])
  return { endsMs, ...(Object.fromEntries(drawn) as { [K in Occasion | Disaster]: number }) }
}
