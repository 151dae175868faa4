/** What every group of rows is given. */
import type { Place } from './place.ts'

export interface Bench {
  readonly place: Place
  /** Turns of each contestant. */
  readonly turns: number
  /** Round-trip times that this machine can have. */
  readonly rtts: readonly number[]
  readonly say: (text: string) => void
}
