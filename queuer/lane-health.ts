/** A lane's health: starts of its runners that failed, in a row, and the back-off that follows. */
import { join } from 'node:path'
import { parseIdentity } from '../contract/spool.ts'
import type { IntentEnd, LaneHealth } from '../contract/spool-records.ts'
import type { Allocation, Answer } from '../scheduler/scheduler.ts'
import { type BackOffSight, goodHealth, healthAfterStart, lookAtBackOff, restOfBackOff } from './decide-runners.ts'
import { type KnownRunner, logTail, readIntents, readRunners } from './lane-files.ts'
import { observerOf, type Pass, type Queuer } from './queuer.ts'

/** Milliseconds until the lane may be tried again, by a clock of this gateway's own: several gateways may look after one lane. */
export function backOffRest(queuer: Queuer, pass: Pass, lane: string, health: LaneHealth): number {
  if (health.backOffMs === 0) return 0
  const { files, spool } = queuer
  const path = join(spool.lane(lane).dir, `back-off.${observerOf(pass)}.json`)
  const seen = files.readJson<BackOffSight>(path)
  const sight = lookAtBackOff(seen, health, pass.observer)
  if (sight !== seen) files.publish(path, `${JSON.stringify(sight)}\n`)
  return restOfBackOff(sight, health, pass.observer)
}

/** Starts that failed since the last look, in order: refused, never started, or ended with nothing done although there was work. */
export function updateHealth(
  queuer: Queuer,
  pass: Pass,
  lane: string,
  queue: Answer<readonly Allocation[]>,
  waiting: number,
  settled: ReadonlySet<number>,
): LaneHealth | undefined {
  const { files, spool } = queuer
  const path = spool.lane(lane).health
  const before = files.readJson<LaneHealth>(path)
  if (!queue.certain) return before
  const live = new Set(queue.value.map(({ identity }) => parseIdentity(identity)?.nonce))
  // the probe makes a start mark from a worker visible here, on whose absence something is decided
  files.listFresh(spool.lane(lane).runners)
  const runners = readRunners(queuer, lane)
  const otherLives = queue.value.some(({ identity }) => parseIdentity(identity)?.lane === lane)
  let health = before
  const intents = readIntents(queuer, lane)
  // what has been dropped as history needs no account
  let upTo = Math.max(before?.countedIntent ?? 0, (intents[0]?.number ?? 1) - 1)
  const beyond = new Set((before?.alsoCounted ?? []).filter((number) => number > upTo))
  for (const intent of intents) {
    const { number } = intent
    if (number <= upTo || beyond.has(number) || !settled.has(number)) continue
    const { record, end } = intent
    if (end === undefined || (record !== undefined && live.has(record.nonce))) continue
    // one whose record was never written submitted nothing
    const fault =
      record === undefined ? 'not-tried' : startFault(queuer, lane, end, record.nonce, runners, waiting, otherLives)
    if (fault === 'running') continue
    beyond.add(number)
    if (fault !== 'not-tried') health = healthAfterStart(health, fault, pass.observer)
  }
  while (beyond.delete(upTo + 1)) upTo += 1
  if (upTo === before?.countedIntent && beyond.size === (before.alsoCounted?.length ?? 0)) return before
  if (before === undefined && upTo === 0 && beyond.size === 0) return undefined
  const after = { ...(health ?? goodHealth(pass.observer)), countedIntent: upTo, alsoCounted: [...beyond] }
  files.publish(path, `${JSON.stringify(after)}\n`)
  return after
}

function startFault(
  queuer: Queuer,
  lane: string,
  end: IntentEnd,
  nonce: string,
  runners: readonly KnownRunner[],
  waiting: number,
  otherLives: boolean,
): string | undefined | 'running' | 'not-tried' {
  if (end.outcome === 'not-needed') return 'not-tried'
  if (end.outcome === 'refused') return end.why ?? 'the scheduler refused it'
  const started = runners.filter((runner) => runner.nonce === nonce)
  const tail = () => logTail(queuer, lane, nonce)
  if (started.length === 0)
    return end.outcome === 'absent' ? 'not-tried' : tail() || 'it ended before hpc_runner had started, and left no log'
  if (started.some((runner) => !runner.hasEnded)) return 'running'
  if (started.some((runner) => runner.jobs > 0)) return undefined
  const worst = started.find((runner) => ['dead', 'failed', 'preflight'].includes(runner.end?.how ?? ''))
  if (worst !== undefined) return worst.end?.detail ?? (tail() || 'the runner died before it had finished a job')
  // it saw the queue and found nothing it could start, and there is work: asking again at once would change nothing
  const idle = started.find((runner) => runner.end?.how === 'drained')
  if (idle === undefined || waiting === 0) return undefined
  return otherLives ? 'not-tried' : 'the runner found no job it could start'
}
