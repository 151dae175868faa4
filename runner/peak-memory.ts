/**
 * The most memory a job was seen to use: resident memory of all its processes together, sampled while it runs, and the peak of the
 * largest of them as the kernel kept it. Sampled seldom; of a job that ended before the first sample it is unknown.
 */
import { markName } from '../contract/job-mark.ts'
import { memoryOf, processesMarked } from '../system/process.ts'

const firstMs = 900
const everyMs = 5_000

export class PeakMemory {
  readonly #mark: string
  #nextMs = firstMs
  #bytes: number | undefined

  constructor(mark: string) {
    this.#mark = mark
  }

  get bytes(): number | undefined {
    return this.#bytes
  }

  sample(ranMs: number): void {
    if (ranMs < this.#nextMs) return
    this.#nextMs = ranMs + everyMs
    let together = 0
    let largest = 0
    for (const pid of processesMarked(markName, this.#mark)) {
      const memory = memoryOf(pid)
      together += memory?.residentBytes ?? 0
      largest = Math.max(largest, memory?.peakBytes ?? 0)
    }
    const seen = Math.max(together, largest)
    if (seen > 0) this.#bytes = Math.max(this.#bytes ?? 0, seen)
  }
}
