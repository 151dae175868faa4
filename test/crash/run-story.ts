/** A story and its points: told once, then stopped at each of the chosen ones, in several worlds side by side. */

import type { Program } from './plan.ts'
import { programs } from './plan.ts'
import { describePoint, type Point, pointsOf, type Told } from './points.ts'
import { type Outcome, Stage } from './stage.ts'
import type { Story } from './stories.ts'

export interface Options {
  readonly preload: string
  readonly sideBySide: number
  readonly traced: boolean
  /** Which of the story's points are tried. */
  readonly choose: (point: Point, index: number) => boolean
  readonly onOutcome?: (outcome: Outcome, done: number, of: number) => void
}

/** One program in one story. */
export interface Figures {
  readonly program: Program
  /** All that it does outside of itself, and how much of that went over the channel, which is no file. */
  readonly effects: number
  readonly transfers: number
  /** What the system saw it do to names, files and processes; undefined without strace. */
  readonly seen: number | undefined
  /** Points at which it was killed, and answers kept from it. */
  readonly deaths: number
  readonly lost: number
  /** The program ended before it came to the point: its effects vary by a few with time. */
  readonly unreached: number
}

export interface Report {
  readonly story: Story
  readonly figures: readonly Figures[]
  /** Counts that are not what the system saw, and promises broken, each with how to repeat it. */
  readonly wrong: readonly string[]
  readonly tried: number
}

export async function runStory(story: Story, options: Options): Promise<Report> {
  const { sideBySide, choose, onOutcome } = options
  const first = await Stage.set(options.preload, story, options.traced)
  const points = pointsOf(story, first.steps).filter(choose)
  const lanes = Math.max(1, Math.min(sideBySide, points.length))
  const others = await Promise.all(Array.from({ length: lanes - 1 }, () => Stage.set(options.preload, story, false)))
  const outcomes: Outcome[] = []
  const left = [...points]
  const play = async (stage: Stage) => {
    for (let point = left.shift(); point !== undefined; point = left.shift()) {
      const outcome = await stage.play(point).catch((error: unknown) => {
        const said = `it could not be told to its end: ${error instanceof Error ? error.stack : error}`
        return { point, struck: undefined, passes: 0, broken: [said] }
      })
      outcomes.push(outcome)
      onOutcome?.(outcome, outcomes.length, points.length)
    }
  }
  const stages = [first.stage, ...others.map(({ stage }) => stage)]
  try {
    await Promise.all(stages.map(play))
  } finally {
    for (const stage of stages) await stage.crash.end()
  }
  const broken = outcomes.flatMap(({ point, struck, broken }) =>
    broken.length === 0 ? [] : [`${describePoint(point)} (${struck}): ${broken.join('; ')}`],
  )
  return {
    story,
    figures: programs.flatMap((program) => figuresOf(program, first.steps, outcomes)),
    wrong: [...first.steps.flatMap((step, i) => unequal(`${story.name}, step ${i}`, step)), ...broken],
    tried: outcomes.length,
  }
}

function figuresOf(program: Program, steps: readonly Told[], outcomes: readonly Outcome[]): Figures[] {
  const mine = steps.flatMap((step) => step.programs.get(program) ?? [])
  const effects = mine.flatMap((one) => one.effects)
  if (effects.length === 0) return []
  const tried = outcomes.filter(({ point }) => point.strike.program === program)
  const seen = mine.every((one) => one.seen !== undefined)
    ? mine.flatMap((one) => [...(one.seen?.values() ?? [])]).reduce((sum, count) => sum + count, 0)
    : undefined
  return [
    {
      program,
      effects: effects.length,
      transfers: effects.filter(({ kind }) => kind === 'transfer').length,
      seen,
      deaths: tried.filter(({ point }) => point.strike.what === 'death').length,
      lost: tried.filter(({ point }) => point.strike.what !== 'death').length,
      unreached: tried.filter(({ struck }) => struck === undefined).length,
    },
  ]
}

/** Kind by kind: what we counted is what the system saw, in the same run. */
function unequal(where: string, { programs }: Told): string[] {
  return [...programs].flatMap(([program, { effects, seen }]) => {
    if (seen === undefined) return []
    const counted = new Map<string, number>()
    for (const { kind } of effects) if (kind !== 'transfer') counted.set(kind, (counted.get(kind) ?? 0) + 1)
    const kinds = new Set([...counted.keys(), ...seen.keys()])
    return [...kinds].flatMap((kind) => {
      const [ours, theirs] = [counted.get(kind) ?? 0, seen.get(kind as never) ?? 0]
      return ours === theirs ? [] : [`${where}: ${program} counts ${ours} ${kind}, strace ${theirs}`]
    })
  })
}
