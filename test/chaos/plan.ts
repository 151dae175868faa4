/** What a chaos run will do, drawn from its seed alone: which job comes when, which fault strikes when. The same seed gives the same plan. */
import { Chance } from '../simulate/kernel.ts'

export const jobKinds = ['copy', 'slow', 'large', 'several', 'failing', 'talking'] as const
export type JobKind = (typeof jobKinds)[number]

export const faultKinds = [
  'kill submitter',
  'kill queuer',
  'kill runner',
  'kill slurmstepd',
  'cut connections',
  'restart sshd',
  'restart slurmctld',
  'restart slurmd',
  'restart munged',
  'scancel',
  'scancel with KILL',
  'requeue',
  'node down',
  'stop runner',
  'stop queuer',
  'stop submitter',
  'stop connections',
  'stop slurmctld',
] as const
export type FaultKind = (typeof faultKinds)[number]

export interface PlannedJob {
  readonly name: string
  readonly atMs: number
  readonly gateway: number
  readonly lane: 'default' | 'gpu'
  readonly kind: JobKind
  /** Of its input. */
  readonly bytes: number
  readonly seconds: number
  /** Its tool changes its mind so long after the drop. */
  readonly cancelAfterMs?: number
}

export interface PlannedFault {
  readonly atMs: number
  readonly kind: FaultKind
  /** In [0, 1): which of those that can be struck. */
  readonly victim: number
  /** How long it lasts, where it lasts. */
  readonly lastsMs: number
}

export interface Plan {
  readonly seed: number
  readonly maxRunners: number
  readonly jobs: readonly PlannedJob[]
  readonly faults: readonly PlannedFault[]
}

export interface Scale {
  readonly jobs: number
  readonly seconds: number
  /** One fault in so many seconds, on average. */
  readonly faultEverySeconds: number
  /** Faults from which Slurm itself needs half a minute and more to recover. */
  readonly longOutages: boolean
}

export const gateways = 2

export function planChaos(seed: number, { jobs, seconds, faultEverySeconds, longOutages }: Scale): Plan {
  const chance = new Chance(seed)
  const endMs = seconds * 1000
  const planned = Array.from({ length: jobs }, (_, n): PlannedJob => {
    const kind = chance.pick([...jobKinds, 'copy', 'copy', 'slow'] as const)
    return {
      name: `job-${n}`,
      atMs: Math.round((endMs * n) / jobs),
      gateway: chance.between(0, gateways - 1),
      lane: chance.happens(0.3) ? 'gpu' : 'default',
      kind,
      bytes: kind === 'large' ? chance.between(500_000, 2_000_000) : chance.between(0, 40_000),
      seconds: kind === 'slow' ? chance.between(2, 6) : chance.between(0, 8) / 10,
      ...(chance.happens(0.06) ? { cancelAfterMs: chance.between(0, 8_000) } : {}),
    }
  })
  const faults: PlannedFault[] = []
  const slurmRecoversSlowly: readonly FaultKind[] = ['restart munged', 'requeue', 'node down', 'kill slurmstepd']
  const kinds = faultKinds.filter((kind) => longOutages || !slurmRecoversSlowly.includes(kind))
  for (let atMs = 1500; atMs < endMs; atMs += chance.between(500, faultEverySeconds * 2000 - 500)) {
    const lastsMs = longOutages && chance.happens(0.1) ? chance.between(15_000, 40_000) : chance.between(500, 6_000)
    faults.push({ atMs, kind: chance.pick(kinds), victim: chance.next(), lastsMs })
  }
  return { seed, maxRunners: chance.pick([1, 1, 2]), jobs: planned, faults }
}
