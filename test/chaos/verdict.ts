/** What the judge of all suites does not know of: two starts of one job side by side, runners of a lane that take turns. Pure. */
import type { Run } from '../judge/evidence.ts'

/** With one runner to a lane, the starts of each are in one piece: after another's first start it starts nothing. */
export function judgeTurns(runs: readonly Run[]): readonly string[] {
  const said: string[] = []
  for (const lane of new Set(runs.map((run) => run.lane))) {
    const left = new Set<string>()
    let atWork: Run | undefined
    for (const run of runs.filter((one) => one.lane === lane).sort((a, b) => a.startMs - b.startMs)) {
      if (atWork?.runner !== undefined && run.runner !== atWork.runner) left.add(atWork.runner)
      if (run.runner !== undefined && left.has(run.runner))
        said.push(`runner ${run.runner} of ${lane} started ${run.mark} after ${atWork?.runner} had begun to work`)
      atWork = run
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
