/** Where a step of a story can be stopped, and how a point is written down so that it can be reached again. */
import type { Effects } from './crash-world.ts'
import type { Effect, Kind, Program, Strike, When } from './plan.ts'
import type { Story } from './stories.ts'

export interface Point {
  readonly story: Story
  /** Its number in the story, from 0. */
  readonly step: number
  readonly strike: Strike
}

/** What one step did when nobody disturbed it. */
export interface Told {
  readonly programs: ReadonlyMap<Program, Effects>
  /** How many answers the submitter got. */
  readonly answers: number
}

/**
 * Before the first effect, after each, and in the middle of those that have one. Right after one effect is right before the next: the
 * process changes nothing in between. Only where it has set somebody else to work, by a command or over the channel, both are tried.
 */
function deathsOf(program: Program, effects: readonly Effect[]): Strike[] {
  return effects.flatMap(({ halves }, i) => {
    const before = effects[i - 1]
    const moments: When[] = before === undefined || setsToWork.has(before.kind) ? ['before'] : []
    if (halves) moments.push('half')
    moments.push('after')
    return moments.map((when) => ({ what: 'death' as const, program, at: i + 1, when }))
  })
}

const setsToWork: ReadonlySet<Kind> = new Set<Kind>(['exec', 'transfer'])

/** Every death, every answer of hpc_queuer that can be lost, every reply of the scheduler. */
export function pointsOf(story: Story, steps: readonly Told[]): Point[] {
  return steps.flatMap(({ programs, answers }, step) => {
    const deaths = [...programs].flatMap(([program, { effects }]) => deathsOf(program, effects))
    const numbers = (count: number) => Array.from({ length: count }, (_, i) => i + 1)
    const commands = programs.get('queuer')?.effects.filter(({ kind }) => kind === 'exec').length ?? 0
    const strikes: Strike[] = [
      ...deaths,
      ...numbers(answers).map((at) => ({ what: 'answer' as const, program: 'submitter' as const, at })),
      ...numbers(commands).map((at) => ({ what: 'reply' as const, program: 'queuer' as const, at })),
    ]
    return strikes.map((strike) => ({ story, step, strike }))
  })
}

/** The words of the command line that repeat it. */
export function describePoint({ story, step, strike }: Point): string {
  const how = strike.what === 'death' ? `--when ${strike.when}` : `--lost ${strike.what}`
  return `--story ${story.name} --step ${step} --program ${strike.program} --at ${strike.at} ${how}`
}
