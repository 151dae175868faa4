/** What every group of rows is given. */
import type { Place } from './place.ts'

export interface Bench {
  readonly place: Place
  /** Turns of each contestant. */
  readonly turns: number
  /** Round-trip times that this machine can have. */
  readonly rtts: readonly number[]
  /** The group was asked for by name: it may take its time. */
  readonly named: boolean
  readonly say: (text: string) => void
}
