/** One story, told once to count its effects, then once for each point at which it can be stopped. */
import assert from 'node:assert/strict'
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import type { Job } from '../judge/evidence.ts'
import { CrashWorld } from './crash-world.ts'
import { tells } from './launcher-points.ts'
import type { Strike } from './plan.ts'
import type { Point, Told } from './points.ts'
import { passHere, recover, watchJobs } from './recover.ts'
import { type Story, take } from './stories.ts'

export interface Outcome {
  readonly point: Point
  /** What was struck; undefined when the program lived to its end. */
  readonly struck: string | undefined
  readonly passes: number
  readonly broken: readonly string[]
}

/** A world in which the story has been told up to each of its steps. */
export class Stage {
  readonly crash: CrashWorld
  readonly story: Story
  readonly jobs: readonly Job[]

  private constructor(crash: CrashWorld, story: Story, jobs: readonly Job[]) {
    this.crash = crash
    this.story = story
    this.jobs = jobs
  }

  /** Tells the story once, without any strike, and keeps the world before each step. */
  static async set(preload: string, story: Story, traced: boolean): Promise<{ stage: Stage; steps: Told[] }> {
    const crash = new CrashWorld(preload)
    try {
      return await Stage.#tell(crash, story, traced)
    } catch (error) {
      await crash.end()
      throw error
    }
  }

  static async #tell(crash: CrashWorld, story: Story, traced: boolean): Promise<{ stage: Stage; steps: Told[] }> {
    if (story.warm) await warmUp(crash)
    const jobs = story.drop(crash.world, crash.runs)
    const reader = watchJobs(jobs)
    const steps: Told[] = []
    for (const [number, step] of story.steps.entries()) {
      await crash.keep(number)
      await take(step, crash, { hold: step === 'pass' || step === 'cancel', traced })
      assert.ok(await crash.quiet(60_000), `${story.name}: step ${number} does not end`)
      steps.push({ programs: crash.effects(), answers: crash.answers() })
    }
    const { passes, broken } = await recover(crash, story, jobs, reader, () => undefined)
    reader.end()
    assert.deepEqual(broken, [], `${story.name}, undisturbed`)
    assert.equal(passes, 1)
    return { stage: new Stage(crash, story, jobs), steps }
  }

  async play(point: Point): Promise<Outcome> {
    const { crash, story, jobs } = this
    await crash.restore(point.step)
    const reader = watchJobs(jobs)
    try {
      await take(story.steps[point.step] ?? 'pass', crash, { strike: point.strike })
      // the strike may come later than the step's own end
      const untold = () => (leavesUntold(point.strike) ? crash.struck() : undefined)
      const recovery = await recover(crash, story, jobs, reader, untold)
      return { point, struck: crash.struck(), ...recovery }
    } finally {
      reader.end()
      await crash.quiet(60_000)
    }
  }
}

/** One job that comes and goes. */
async function warmUp(crash: CrashWorld): Promise<void> {
  const { world } = crash
  world.dropCopy('before', world.input('before', 'before'))
  await passHere(crash)
  await crash.quiet(60_000)
  await passHere(crash)
  rmSync(join(world.dropbox, 'before.job.finished'))
  rmSync(world.out('before'))
}

/** A launcher that dies before its last word leaves a script whose exit nobody knows. */
function leavesUntold(strike: Strike): boolean {
  return strike.what === 'death' && strike.program === 'launcher' && !tells(strike.at, strike.when)
}
