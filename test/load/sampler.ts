/** What our programs take while they work: memory and descriptors, read from the system a few times a second. */
import { readdirSync, readFileSync } from 'node:fs'

/** What each program may take, whatever the load. */
export const rssLimitMb = 200

export const programs = ['hpc-submitter', 'hpc_queuer', 'hpc_runner'] as const
export type Program = (typeof programs)[number]

export interface Sample {
  readonly atMs: number
  readonly rssMb: number
  readonly descriptors: number
}

export class Sampler {
  readonly #samples: Record<Program, Sample[]> = { 'hpc-submitter': [], hpc_queuer: [], hpc_runner: [] }
  readonly #began = performance.now()
  readonly #dir: string
  readonly #timer: NodeJS.Timeout

  /** Watches the programs that have this folder in a word of their command line. */
  constructor(dir: string, everyMs = 250) {
    this.#dir = dir
    this.#timer = setInterval(() => this.#look(), everyMs)
  }

  of(program: Program, fromMs = 0, toMs = Number.POSITIVE_INFINITY): readonly Sample[] {
    return this.#samples[program].filter(({ atMs }) => atMs >= fromMs && atMs < toMs)
  }

  get nowMs(): number {
    return performance.now() - this.#began
  }

  end(): void {
    clearInterval(this.#timer)
  }

  #look(): void {
    for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
      try {
        const program = this.#programOf(pid)
        if (program === undefined) continue
        const kb = Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0)
        const descriptors = readdirSync(`/proc/${pid}/fd`).length
        this.#samples[program].push({ atMs: this.nowMs, rssMb: kb / 1024, descriptors })
      } catch {
        // it ended meanwhile
      }
    }
  }

  #programOf(pid: string): Program | undefined {
    const words = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0')
    if (!words[0]?.endsWith('node') || !words.some((word) => word.includes(this.#dir))) return undefined
    return programs.find((name) => words[1]?.includes(name))
  }
}

export function most(samples: readonly Sample[], what: 'rssMb' | 'descriptors'): number {
  return Math.max(0, ...samples.map((each) => each[what]))
}

/** Prints what a program took, in its first quarter and its last. */
export function tellProgram(sampler: Sampler, program: Program): { readonly rssMb: number } {
  const of = sampler.of(program)
  const quarter = Math.ceil(of.length / 4)
  const said = (samples: readonly Sample[]) =>
    `${most(samples, 'rssMb').toFixed(0)} MB and ${most(samples, 'descriptors')} descriptors`
  console.log(
    `${program}: at most ${said(of)} (first quarter ${said(of.slice(0, quarter))}; last ${said(of.slice(-quarter))}), ${of.length} samples`,
  )
  return { rssMb: most(of, 'rssMb') }
}
