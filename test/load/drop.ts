/** All at once: that many jobs in one drop, each copying one small file, on the local scheduler. */
import { readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { judgeWorld } from '../judge/judged-world.ts'
import { list, World } from '../support/world.ts'
import { programs, rssLimitMb, Sampler, tellProgram } from './sampler.ts'

export async function drop(jobs: number): Promise<readonly string[]> {
  const world = new World()
  const sampler = new Sampler(world.dir)
  const broken: string[] = []
  const finished = () => list(world.dropbox).filter((name) => name.endsWith('.job.finished')).length
  try {
    const input = world.input('in.txt', 'content')
    for (let n = 0; n < jobs; n += 1) world.dropCopy(`job-${n}`, input)
    const droppedMs = sampler.nowMs
    let passes = 0
    let lastDone = 0
    while (finished() < jobs && passes < 1000) {
      const ran = await world.tick()
      passes += 1
      const done = finished()
      if (ran.code !== 0) broken.push(`pass ${passes} ended with ${ran.code}: ${ran.stderr.trim().split('\n').at(-1)}`)
      console.log(`${(sampler.nowMs / 1000).toFixed(0)} s: pass ${passes}, ${done} of ${jobs} finished`)
      if (done === lastDone) await sleep(1000)
      lastDone = done
    }
    const seconds = (sampler.nowMs - droppedMs) / 1000
    await world.drained()
    const idleFrom = sampler.nowMs
    await world.tick()
    const idleMs = sampler.nowMs - idleFrom
    sampler.end()

    console.log(`\n${jobs} jobs in one drop: ${finished()} results in ${seconds.toFixed(0)} s and ${passes} passes`)
    for (const program of programs) {
      const { rssMb } = tellProgram(sampler, program)
      if (rssMb > rssLimitMb) broken.push(`${program} took ${rssMb.toFixed(0)} MB, more than ${rssLimitMb}`)
    }
    console.log(`an idle pass beside ${jobs} results: ${idleMs.toFixed(0)} ms`)
    const end = (name: string) =>
      ({ status: 'ok', state: 'done', rc: 0, outputs: { [world.out(name)]: 'content' } }) as const
    const names = Array.from({ length: jobs }, (_, n) => `job-${n}`)
    broken.push(
      ...judgeWorld(
        world,
        names.map((name) => ({ dropbox: world.dropbox, name, ends: [end(name)] })),
      ),
    )
    const journal = readFileSync(`${world.dir}/state/log.jsonl`).length
    console.log(`the log of events: ${(journal / jobs).toFixed(0)} bytes a job`)
  } finally {
    sampler.end()
    await world.end()
  }
  return broken
}
