/** What the judge of all suites does not know of: two starts of one job side by side, runners of a lane that take turns. Pure. */
import type { Run } from '../judge/evidence.ts'

/** Each runner of a lane works from its first start to its last: at no start do more of them than allowed. */
export function judgeTurns(runs: readonly Run[], maxRunners: number): readonly string[] {
  const said: string[] = []
  for (const lane of new Set(runs.map((run) => run.lane))) {
    const mine = runs.filter((run) => run.lane === lane)
    const spans = [...new Set(mine.map(({ runner }) => runner))].map((runner) => {
      const starts = mine.filter((run) => run.runner === runner).map(({ startMs }) => startMs)
      return { runner, first: Math.min(...starts), last: Math.max(...starts) }
    })
    for (const { mark, startMs } of mine) {
      const atWork = spans.filter(({ first, last }) => first <= startMs && startMs <= last)
      if (atWork.length > maxRunners)
        said.push(`${atWork.map(({ runner }) => runner).join(' and ')} of ${lane} worked side by side at ${mark}`)
    }
  }
  return said
}

/** Attempts that a result says were interrupted, or died: what their script told was not taken down, so it may run again. */
export function endedOtherwise(history: readonly { readonly note?: string }[]): ReadonlySet<number> {
  const told = /^attempt (\d+) on \S+ in \S+: (.*)$/
  return new Set(
    history.flatMap(({ note }) => {
      const [, attempt, cause] = told.exec(note ?? '') ?? []
      return attempt !== undefined && cause !== 'exited' ? [Number(attempt)] : []
    }),
  )
}
