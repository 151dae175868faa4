/** Slurm's words for what an allocation does and why it waits, and what we make of them. */

import { renderDuration } from '../contract/units.ts'
import type { AllocationEnd, AllocationState } from './scheduler.ts'

/** Every state `squeue %T` can print (slurm_protocol_defs.c, job_state_string). What is not here is unknown: neither running nor gone. */
export const states: Readonly<Record<string, AllocationState | 'finished'>> = {
  PENDING: 'pending',
  CONFIGURING: 'pending', // nodes are booting for it
  REQUEUED: 'pending',
  REQUEUE_FED: 'pending',
  REQUEUE_HOLD: 'pending',
  RESV_DEL_HOLD: 'pending',
  SPECIAL_EXIT: 'pending', // requeued and held
  EXPEDITING: 'pending', // requeued to run as soon as possible, 25.05
  RUNNING: 'running',
  RESIZING: 'running',
  SIGNALING: 'running',
  STOPPED: 'running', // SIGSTOP: keeps its nodes, and the runner comes back
  SUSPENDED: 'running', // gives its nodes to another job for a while, and the runner comes back
  COMPLETING: 'ending',
  STAGE_OUT: 'ending',
  BOOT_FAIL: 'finished',
  CANCELLED: 'finished',
  COMPLETED: 'finished',
  DEADLINE: 'finished',
  FAILED: 'finished',
  NODE_FAIL: 'finished',
  OUT_OF_MEMORY: 'finished',
  PREEMPTED: 'finished',
  TIMEOUT: 'finished',
  REVOKED: 'unknown', // a federation started it on another cluster: it runs where we do not look
}

/**
 * The finished states that name what ended an allocation from outside; `squeue` tells them for MinJobAge (300 s) from its end. A runner that
 * is killed inside an allocation that nobody touched makes it FAILED or OUT_OF_MEMORY, and a node that fails NODE_FAIL: those may be the doing of its job.
 */
export const ends: ReadonlyMap<string, AllocationEnd> = new Map([
  ['CANCELLED', 'cancelled'],
  ['PREEMPTED', 'preempted'],
  ['TIMEOUT', 'walltime'],
])

export interface Wait {
  readonly partition: string
  readonly limit: string
  readonly lane: string
  readonly id: string
}

/** Why an allocation waits: the reason, whether it can never start unless somebody acts on *it*, and what to do. First match counts. */
export const waits: readonly (readonly [RegExp, 'stuck' | 'waits', (wait: Wait) => string])[] = [
  [
    /^PartitionTimeLimit$/,
    'stuck',
    (wait) =>
      `time ${readableLimit(wait.limit)} is above the limit of partition ${wait.partition}: lower lanes.${wait.lane}.time`,
  ],
  [
    /^PartitionNodeLimit$/,
    'stuck',
    (wait) => `the number of nodes is outside the limits of partition ${wait.partition}: change lanes.${wait.lane}`,
  ],
  [
    // Also shown for a moment right after a submission that then gets a better reason, so not a proof.
    /^PartitionConfig$/,
    'waits',
    (wait) => `partition ${wait.partition} does not take such an allocation now: see lanes.${wait.lane}.queue and time`,
  ],
  [
    /^PartitionDown$/,
    'waits',
    (wait) => `the site has set partition ${wait.partition} down: it starts when the site brings it up`,
  ],
  [
    /^PartitionInactive$/,
    'waits',
    (wait) => `the site has made partition ${wait.partition} inactive: it starts when the site brings it back`,
  ],
  [
    /^(BadConstraints|Constraints)$/,
    'stuck',
    (wait) => `no node fits its constraints: correct gres, memory and options of lanes.${wait.lane}`,
  ],
  [
    /^DependencyNeverSatisfied$/,
    'stuck',
    () => 'what it depends on can no longer happen: take the dependency out of the options',
  ],
  [/^JobHeldUser$/, 'stuck', (wait) => `it is held by the user: release it (scontrol release ${wait.id})`],
  [/^JobHeldAdmin$/, 'stuck', () => 'it is held by an administrator of the site: ask them'],
  [/^JobHoldMaxRequeue$/, 'stuck', () => 'it was requeued too often and is held: cancel it'],
  [
    /requeued held|held state/i,
    'stuck',
    (wait) => `its start failed and it is held: look for a sick node, then scontrol release ${wait.id} or cancel it`,
  ],
  [/^InvalidAccount$/, 'stuck', () => 'its account is not valid: correct --account in scheduler.options'],
  [/^AccountNotAllowed$/, 'stuck', (wait) => `its account may not use partition ${wait.partition}: correct --account`],
  [
    /^(InvalidQOS|QOSNotAllowed)$/,
    'stuck',
    (wait) => `its QOS is not valid in partition ${wait.partition}: correct --qos`,
  ],
  [
    /^Reservation(Deleted|Invalid)$/,
    'stuck',
    () => 'its reservation is gone: correct --reservation in scheduler.options',
  ],
  [/^DeadLine$/, 'stuck', () => 'it can no longer end before its deadline: take --deadline out of the options'],
  [
    /^MaxMemPerLimit$/,
    'stuck',
    (wait) => `it asks for more memory than the site allows: lower lanes.${wait.lane}.memory`,
  ],
  [
    /^(QOS|Assoc)Max.*Per(Job|Node)(Limit)?$|^(QOS|Assoc)Max(Wall|Cpu).*PerJobLimit$|^(QOS|Association)TimeLimit$/,
    'stuck',
    (wait) => `one allocation may not ask for that much: lower time, memory or gres of lanes.${wait.lane}`,
  ],
  [/^QOSMin/, 'stuck', (wait) => `its QOS wants larger allocations: raise gres, memory or cpus of lanes.${wait.lane}`],
  [
    /^(QOS|Assoc)Grp.*Minutes/,
    'waits',
    () => 'the share of its account or QOS is used up: it starts when the site grants more or the period ends',
  ],
  [
    /^(QOS|Assoc)Grp|^AssocMaxJobs|^AssocMaxSubmit|^QOSMax|^Max.*Per(Account|User)/,
    'waits',
    () => 'a limit of its user, account or QOS is reached: it starts when other jobs end',
  ],
  [
    /^(QOS|Association|Accounting)/,
    'waits',
    () => 'a limit of its account or QOS is reached: it starts when other jobs end',
  ],
  [
    /^ReqNodeNotAvail/,
    'waits',
    () => 'nodes it needs are down or reserved, often for maintenance: a shorter lane may still fit before it',
  ],
  [
    /DOWN, DRAINED or reserved/,
    'waits',
    () => 'its nodes are down, drained or promised to other jobs: it starts when they come back',
  ],
  [/^(SystemFailure|NodeDown)$/, 'waits', () => 'the site has trouble with its nodes'],
  [/^Licenses$/, 'waits', () => 'the licenses it needs are in use'],
]

/** What we say about a reason; nothing for the everyday ones (Resources, Priority, Dependency, BeginTime). */
export function waitOf(reason: string, wait: Wait): { stuck: boolean; hint: string } | undefined {
  const row = waits.find(([pattern]) => pattern.test(reason))
  return row === undefined ? undefined : { stuck: row[1] === 'stuck', hint: row[2](wait) }
}

/** `8:00:00` → `8h`, `1-02:30:00` → `1d2h30m`; as it stands when it is no time (`UNLIMITED`). */
export function readableLimit(limit: string): string {
  const match = /^(?:(\d+)-)?(?:(\d+):)?(\d+):(\d+)$/.exec(limit.trim())
  if (match === null) return limit.trim()
  const [d, h, m, s] = match.slice(1).map((part) => Number(part ?? 0)) as [number, number, number, number]
  return renderDuration((((d * 24 + h) * 60 + m) * 60 + s) * 1000)
}

// ---------------------------------------------------------------- replies
