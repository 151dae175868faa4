/**
 * The log in which scripts on a real machine count themselves: one line at a start, one at an end, each a single append, so that no two mix.
 * Times are the kernel's clock since boot, which all of this machine share and nobody sets.
 */
import { existsSync, readFileSync } from 'node:fs'
import type { Run } from './evidence.ts'

/**
 * Shell lines for the top of a template; a start is named by the mark of its attempt, its runner by the allocation where there is one. `job` and `file` are shell words, such as `<<token>>`. The end is written by an EXIT trap, which no
 * KILL runs: a start without an end was killed, or still runs.
 */
export function countsItself(job: string, file: string): string {
  return `
_said() { read -r up _ </proc/uptime; echo "$1 ${job} $HPC_BATCH_JOB $up \${SLURM_JOB_ID:--}.\${SLURM_RESTART_COUNT:-0}" >>${file}; }
_said start
trap '_said end' EXIT
`
}

/** `told`: whether the exit of a start that ended of itself was recorded; true unless the story kills wrappers too. */
export function readRuns(file: string, told: (mark: string) => boolean = () => true): readonly Run[] {
  if (!existsSync(file)) return []
  const runs = new Map<string, Run>()
  for (const line of readFileSync(file, 'utf8').split('\n').slice(0, -1)) {
    const [what, job = '', mark = '', up = '', allocation = ''] = line.split(' ')
    const atMs = Number(up) * 1000
    const begun = runs.get(mark)
    const runner = allocation.startsWith('-') ? {} : { runner: allocation }
    if (what === 'start') runs.set(mark, { job, mark, ...runner, startMs: atMs, told: false })
    else if (begun !== undefined) runs.set(mark, { ...begun, endMs: atMs, told: told(mark) })
  }
  return [...runs.values()]
}
