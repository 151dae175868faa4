/** One schedule from one seed: the plan, the story, its end, and the judgement. */
import type { Wake } from '../../submitter/dropbox.ts'
import { judge } from '../judge/judge.ts'
import { letLoose } from './disasters.ts'
import { evidenceOf } from './evidence-of.ts'
import type { GatewayHost } from './gateway-host.ts'
import { planJob } from './jobs.ts'
import { hourMs, minuteMs, planOf } from './plan.ts'
import type { Programs } from './programs.ts'
import { World } from './world.ts'

export interface Outcome {
  readonly seed: number
  readonly broken: string[]
  readonly injected: ReadonlyMap<string, number>
  readonly jobs: number
  readonly events: number
  readonly simulatedMs: number
}

/** The crontab of one host. */
async function cron(world: World, host: GatewayHost, goesOn: () => boolean): Promise<void> {
  const underWay = new Set<Promise<unknown>>()
  while (goesOn()) {
    const wake = await nextWake(world, host)
    const pass = host.tick(wake)
    // most crons wait for nobody
    if (world.plan.twin) underWay.add(pass.finally(() => underWay.delete(pass)))
    else await pass
  }
  await Promise.all(underWay)
}

/** Waits for the host's next pass: what woke it; undefined when it is to look at everything. */
async function nextWake(world: World, host: GatewayHost): Promise<Wake | undefined> {
  const { chance, pace, plan } = world
  const byClock = world.sleep(chance.between(30_000, plan.cronMs))
  if (!plan.watching) {
    await byClock
    return wakeOf(world, host)
  }
  await Promise.race([byClock, pace.woken(host)])
  await world.sleep(chance.between(20, 500))
  // some events are lost
  const wake = pace.take(host)
  return chance.happens(0.1) ? undefined : wake
}

/** Some passes are those of a `watch`, woken for some of the files alone; what no event told of is left to the others. */
function wakeOf({ chance, jobs }: World, { dir }: GatewayHost): Wake | undefined {
  if (!chance.happens(0.4)) return undefined
  const here = jobs
    .filter(({ planned }) => planned.job.dropbox === `${dir}/dropbox`)
    .map(({ planned }) => planned.job.name)
  return { names: new Set(here.filter(() => chance.happens(0.5))), news: chance.happens(0.5) }
}

/** Each of the jobs from that number on when a script of one before is about to end, or when none started for long. */
function dropAtEnds(world: World, number: number, drop: (host: GatewayHost, number: number) => void): void {
  const { chance, kernel, pace, plan, hosts } = world
  if (number > plan.jobs) return
  let isOver = false
  const dropIn = (ms: number) => {
    if (isOver) return
    isOver = true
    kernel.after(ms, () => {
      drop(chance.pick(hosts), number)
      dropAtEnds(world, number + 1, drop)
    })
  }
  pace.atStart((ms) => dropIn(Math.max(0, ms - chance.between(0, 4_000))))
  kernel.after(15 * minuteMs, () => dropIn(0))
}

export async function runSchedule(
  seed: number,
  programs: Programs,
  { faults = true, trace }: { faults?: boolean; trace?: (line: string) => void } = {},
): Promise<Outcome> {
  const plan = planOf(seed, faults)
  const world = new World(seed, plan, programs, trace)
  const { kernel, chance, storm } = world
  const patienceMs = (plan.cleanedAfterMs === undefined ? 20 : 500) * hourMs
  const drop = (host: GatewayHost, number: number, calm = false) => {
    const wishes = {
      refused: !calm && chance.happens(0.06),
      cancelled: !calm && faults && chance.happens(plan.fickle ? 0.5 : 0.12),
      large: chance.happens(0.12),
      sites: plan.sites,
      shared: plan.shared,
      brief: plan.fickle,
      timed: plan.timed,
      mayBeFull: storm.noSpace > 0,
    }
    world.drop(host, planJob(chance, host.dir, `j${number}`, wishes))
  }
  for (let number = 1; number <= (plan.eager ? 1 : plan.jobs); number++) {
    const host = chance.pick(world.hosts)
    kernel.after(chance.between(0, plan.arrivalsMs), () => drop(host, number))
  }
  if (plan.eager) dropAtEnds(world, 2, drop)
  letLoose(world)
  let over = false
  const crons = world.hosts.map((host) => cron(world, host, () => !over))
  const allFinished = () => world.jobs.length >= plan.jobs && world.jobs.every(({ finished }) => finished > 0)
  const done = await kernel.run(allFinished, patienceMs)
  if (!done) {
    const left = world.jobs.filter(({ finished }) => finished === 0).map(({ planned }) => planned.job.name)
    world.breaks(`no result for ${left.join(', ')} after ${patienceMs / hourMs} h`)
  }
  // what was left at the site goes with the next job, in calm
  storm.endsMs = Math.min(storm.endsMs, kernel.now)
  world.fullUntilMs.clear()
  await kernel.run(() => world.machines.every(({ isUp }) => isUp), kernel.now + hourMs)
  for (const [at, host] of world.hosts.entries()) drop(host, plan.jobs + 1 + at, true)
  if (done && !(await kernel.run(allFinished, kernel.now + patienceMs))) world.breaks('no result for the last job')
  const simulatedMs = kernel.now
  // what was left by a death goes with the passes that follow
  over = true
  let rested = false
  const rest = async () => {
    await Promise.all(crons)
    for (const waitMs of [minuteMs, minuteMs, 10 * minuteMs, 2 * hourMs, minuteMs]) {
      await world.sleep(waitMs)
      for (const host of world.hosts) await host.tick()
    }
    rested = true
  }
  void rest()
  if (!(await kernel.run(() => rested, kernel.now + 10 * hourMs))) world.breaks('the passes after the end do not end')
  const broken = [...world.broken, ...judge(evidenceOf(world))]
  for (const text of broken) world.log(`BROKEN: ${text}`)
  for (const task of [...world.tasks]) task.end(null)
  return { seed, broken, injected: world.injected, jobs: plan.jobs, events: kernel.events, simulatedMs }
}
