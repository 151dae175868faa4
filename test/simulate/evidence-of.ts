/** What a simulated world shows the judge. */
import type { Allocation, Evidence, Run } from '../judge/evidence.ts'
import { minuteMs } from './plan.ts'
import type { World } from './world.ts'

export function evidenceOf(world: World): Evidence {
  const { plan } = world
  return {
    view: world.view,
    jobs: world.jobs.map(({ planned }) => planned.job),
    gateways: [...new Set(world.hosts.map(({ dir }) => dir))].map((dir) => ({
      dropbox: `${dir}/dropbox`,
      state: `${dir}/state`,
      destinations: [`${dir}/out`],
    })),
    workspaces: world.sites.map(({ workspace }) => workspace),
    runs: [...runsOf(world), ...neverStarted(world)],
    allocations: allocationsOf(world),
    maxRunners: plan.maxRunners,
    seen: {
      sightings: world.sightings,
      replaced: world.jobs
        .filter(({ finished }) => finished > 1)
        .map(({ planned }) => `${planned.job.dropbox}/${planned.job.name}.job.finished`),
      partial: [...world.partial],
    },
    clocksApart: true,
  }
}

function laneOf(identity: string): string {
  const [, workspace, lane] = identity.split('/')
  return `${workspace}/${lane}`
}

function runsOf(world: World): Run[] {
  return world.runs
    .filter(({ forgotten }) => !forgotten)
    .map(({ token, mark, allocation, restart, startMs, endMs, told, leftMs, afterResult }) => {
      // a node that its scheduler has lost runs copies that count for nothing, from then on
      const { cutOffMs = Number.POSITIVE_INFINITY } = allocation
      const lane = laneOf(allocation.identity)
      const endedMs = endMs ?? Number.POSITIVE_INFINITY
      const end = endedMs > cutOffMs ? { endMs: Math.max(startMs, cutOffMs), told: false } : { endMs: endedMs, told }
      return {
        job: token,
        mark,
        runner: `${lane}/${allocation.id}.${restart}`,
        lane,
        startMs,
        leftMs,
        afterResult: afterResult && startMs <= cutOffMs,
        needsMs: needsOf(world, token, allocation.walltimeMs),
        ...end,
      }
    })
}

/** Written down and never begun: no script ran, and for all that anybody can know one did. */
function neverStarted(world: World): Run[] {
  const begun = new Set(world.runs.map(({ exitFile }) => exitFile))
  return [...world.attempts]
    .filter(([exitFile]) => !begun.has(exitFile))
    .map(([, { job, mark, atMs }]) => ({ job, mark, startMs: atMs, endMs: atMs, told: false }))
}

/** As the runner may know it: the clocks of a site may be two minutes apart. */
function needsOf(world: World, job: string, walltimeMs: number): number {
  const timeMs =
    world.jobs.find(({ planned }) => planned.job.name === job)?.planned.timeMs ?? world.plan.marginMin * minuteMs
  return Math.min(timeMs, 0.95 * walltimeMs) - (world.plan.timed ? 0.5 : 2.5) * minuteMs
}

function allocationsOf(world: World): Allocation[] {
  return world.sites.flatMap(({ name, cluster }) =>
    [...cluster.allocations.values(), ...cluster.vanished]
      .filter(({ byHand }) => !byHand)
      .map(({ id, identity, submittedMs, leftQueueMs }, i) => ({
        id: `${name}/${id}/${i}`,
        lane: laneOf(identity),
        submittedMs,
        ...(leftQueueMs === undefined ? {} : { leftQueueMs }),
      })),
  )
}
