/** One schedule from one seed: the plan, the story, its end, and the judgement. */
import { judge } from './judge.ts'
import { Chance } from './kernel.ts'
import type { Programs } from './programs.ts'
import { stormOf } from './storm.ts'
import { type Host, hourMs, type Plan, World } from './world.ts'

const minuteMs = 60_000
/** Everything must have ended so long after the last arrival. */
const patienceMs = 20 * hourMs

export interface Outcome {
  readonly seed: number
  readonly broken: string[]
  readonly injected: ReadonlyMap<string, number>
  readonly jobs: number
  readonly events: number
  readonly simulatedMs: number
}

export function planOf(seed: number, faults: boolean): Plan {
  const chance = new Chance(seed ^ 0x5eed)
  return {
    gateways: chance.pick([1, 1, 2]),
    jobs: chance.between(1, 8),
    maxRunners: chance.pick([1, 1, 2]),
    slots: chance.pick([1, 1, 2]),
    walltime: chance.pick(['15m', '1h', '1h']),
    twin: faults && chance.happens(0.3),
    storm: stormOf(chance, faults ? 90 * minuteMs : 0),
  }
}

/** The crontab of one host. */
async function cron(world: World, host: Host, goesOn: () => boolean): Promise<void> {
  const underWay = new Set<Promise<unknown>>()
  while (goesOn()) {
    await world.sleep(world.chance.between(20_000, 90_000))
    const pass = world.tick(host)
    // most crons wait for nobody
    if (world.plan.twin) underWay.add(pass.finally(() => underWay.delete(pass)))
    else await pass
  }
  await Promise.all(underWay)
}

export async function runSchedule(
  seed: number,
  programs: Programs,
  { faults = true, trace }: { faults?: boolean; trace?: (line: string) => void } = {},
): Promise<Outcome> {
  const plan = planOf(seed, faults)
  const world = new World(seed, plan, programs, trace)
  const { kernel, chance } = world
  for (let number = 1; number <= plan.jobs; number++) {
    const host = chance.pick(world.hosts)
    kernel.after(chance.between(0, 20 * minuteMs), () => world.drop(host, number))
  }
  let over = false
  const crons = world.hosts.map((host) => cron(world, host, () => !over))
  const allFinished = () => world.jobs.length === plan.jobs && world.jobs.every(({ finished }) => finished > 0)
  const done = await kernel.run(allFinished, patienceMs)
  if (!done) {
    const left = world.jobs.filter(({ finished }) => finished === 0).map(({ name }) => name)
    world.breaks(`no result for ${left.join(', ')} after ${patienceMs / hourMs} h`)
  }
  // what was left at the site goes with the next job, in calm
  if (kernel.now < plan.storm.endsMs) await kernel.run(() => false, plan.storm.endsMs)
  for (const [at, host] of world.hosts.entries()) world.drop(host, plan.jobs + 1 + at)
  const last = () => world.jobs.every(({ finished }) => finished > 0)
  if (done && !(await kernel.run(last, kernel.now + patienceMs))) world.breaks('no result for the last job')
  const simulatedMs = kernel.now
  // what was left by a death goes with the passes that follow
  over = true
  let rested = false
  const rest = async () => {
    await Promise.all(crons)
    for (const waitMs of [minuteMs, minuteMs, 10 * minuteMs, 2 * hourMs, minuteMs]) {
      await world.sleep(waitMs)
      for (const host of world.hosts) await world.tick(host)
    }
    rested = true
  }
  void rest()
  if (!(await kernel.run(() => rested, kernel.now + 10 * hourMs))) world.breaks('the passes after the end do not end')
  judge(world)
  for (const task of [...world.tasks]) task.end(null)
  return { seed, broken: world.broken, injected: world.injected, jobs: plan.jobs, events: kernel.events, simulatedMs }
}
