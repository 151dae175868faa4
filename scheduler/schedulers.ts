/** The one place that knows which schedulers there are. */

import { HpcError, quoted } from '../contract/errors.ts'
import { local } from './local.ts'
import type { Scheduler } from './scheduler.ts'
import { slurm } from './slurm.ts'

const schedulers: readonly Scheduler[] = [local, slurm]

export const schedulerNames: readonly string[] = schedulers.map(({ name }) => name)

export function schedulerFor(name: string): Scheduler {
  const found = schedulers.find((scheduler) => scheduler.name === name)
  if (found !== undefined) return found
  throw new HpcError('config', `Cannot use the scheduler ${quoted(name)}: it is none of ${schedulerNames.join(', ')}`)
}
