/** Keeping enough runners queued: settle, repair, count, decide, submit; lane by lane, with one question to the scheduler for all. */
import { keysIn, parseIdentity, turnOfKey } from '../contract/spool.ts'
import type { LaneHealth, LaneReport, LaneShape } from '../contract/spool-records.ts'
import type { Allocation, Answer, Scheduler } from '../scheduler/scheduler.ts'
import { schedulerFor } from '../scheduler/schedulers.ts'
import { readSeats } from '../spool/seat.ts'
import { decideRunners, healthAfterStart, type LaneSituation } from './decide-runners.ts'
import { forgetOldRunners, logTail, readIntents, readRunners, readShapes } from './lane-files.ts'
import type { Pass, Queuer } from './queuer.ts'
import { noteDeadRunners, returnKeys } from './repair.ts'
import { isUnsettled, schedulerTimeoutMs, submitRunner } from './submit-runner.ts'

export interface Ensured {
  readonly lanes: LaneReport[]
  readonly trouble?: string
  readonly repaired: number
}

type Queue = Answer<readonly Allocation[]>

/** Asks each scheduler in use once, whatever the number of lanes. */
function asker(queuer: Queuer, pass: Pass): (scheduler: Scheduler) => Promise<Queue> {
  const prefix = `hpc-batch/${pass.workspace}/`
  return async (scheduler) =>
    scheduler.readQueue(await queuer.run(scheduler.queueCommand(prefix), schedulerTimeoutMs), prefix)
}

function ofLane(queue: readonly Allocation[], lane: string): Allocation[] {
  return queue.filter(({ identity }) => parseIdentity(identity)?.lane === lane)
}

/** Allocations that still stand for a runner: those ending, those whose runner has ended or closes its seat are not counted. */
function countRunners(queuer: Queuer, lane: string, allocations: readonly Allocation[]): number {
  const runners = readRunners(queuer, lane)
  const closing = new Set(
    readSeats(queuer.files, queuer.spool.lane(lane))
      .filter((seat) => seat.closing)
      .map((seat) => seat.runner),
  )
  return allocations.filter(({ identity, state }) => {
    if (state === 'ending') return false
    const nonce = parseIdentity(identity)?.nonce
    const started = runners.filter((runner) => runner.nonce === nonce)
    if (started.length === 0 || state === 'pending') return true
    return started.some(({ runner, end }) => end === undefined && !closing.has(runner))
  }).length
}

/** Starts that failed since the last look, in order: refused, never started, or ended with nothing done although there was work. */
function updateHealth(queuer: Queuer, pass: Pass, lane: string, queue: Queue): LaneHealth | undefined {
  const { files, spool } = queuer
  const path = spool.lane(lane).health
  const before = files.readJson<LaneHealth>(path)
  if (!queue.certain) return before
  const live = new Set(queue.value.map(({ identity }) => parseIdentity(identity)?.nonce))
  const runners = readRunners(queuer, lane)
  let health = before
  for (const intent of readIntents(queuer, lane)) {
    if (intent.number <= (health?.countedIntent ?? 0)) continue
    const nonce = intent.record?.nonce
    if (intent.end === undefined || nonce === undefined || live.has(nonce)) break
    const fault = startFault(queuer, lane, intent.end, nonce, runners)
    if (fault === 'running') break
    if (fault !== 'not-tried') health = healthAfterStart(health, intent.number, fault, pass.observer)
    else
      health = { ...(health ?? healthAfterStart(undefined, 0, undefined, pass.observer)), countedIntent: intent.number }
  }
  if (health !== undefined && health !== before) files.publish(path, `${JSON.stringify(health)}\n`)
  return health
}

function startFault(
  queuer: Queuer,
  lane: string,
  end: { outcome: string; why?: string },
  nonce: string,
  runners: ReturnType<typeof readRunners>,
): string | undefined | 'running' | 'not-tried' {
  if (end.outcome === 'not-needed') return 'not-tried'
  if (end.outcome === 'refused') return end.why ?? 'the scheduler refused it'
  const started = runners.filter((runner) => runner.nonce === nonce)
  const tail = () => logTail(queuer, lane, nonce)
  if (started.length === 0)
    return end.outcome === 'absent' ? 'not-tried' : tail() || 'it ended before hpc_runner had started, and left no log'
  if (started.some((runner) => runner.end === undefined)) return 'running'
  const worst = started.find(
    (runner) => runner.jobs === 0 && ['dead', 'failed', 'preflight'].includes(runner.end?.how ?? ''),
  )
  if (worst === undefined || started.some((runner) => runner.jobs > 0)) return undefined
  return worst.end?.detail ?? (tail() || 'the runner died before it had finished a job')
}

function countKeys(
  queuer: Queuer,
  lane: string,
): { waiting: number; running: number; firstTurn: number; lastTurn: number } {
  const { files, spool } = queuer
  // written keys are read after a probe: a runner that closes writes before it reads, and so do we
  const keys = keysIn(files.listFresh(spool.queue(lane)))
  let running = 0
  for (const runner of files.list(spool.runnings)) {
    if (runner.startsWith(`${lane}~`)) running += keysIn(files.list(spool.running(runner))).length
  }
  return {
    waiting: keys.length,
    running,
    firstTurn: turnOfKey(keys[0] ?? '') || 0,
    lastTurn: turnOfKey(keys.at(-1) ?? '') || 0,
  }
}

export async function ensureRunners(queuer: Queuer, pass: Pass): Promise<Ensured> {
  const named = new Set(pass.lanes.map(({ lane }) => lane))
  const shapes = readShapes(queuer)
  const ask = asker(queuer, pass)
  const answers = new Map<string, Queue>()
  let trouble: string | undefined
  for (const name of new Set(shapes.map(({ scheduler }) => scheduler))) {
    // a lane that no config names, with nothing in it, asks nobody
    if (!shapes.some((shape) => shape.scheduler === name && (named.has(shape.lane) || hasWork(queuer, shape.lane))))
      continue
    const scheduler = schedulerFor(name)
    const queue = await ask(scheduler)
    answers.set(name, queue)
    if (!queue.certain) trouble = `the scheduler of the site did not answer: ${queue.why}`
    for (const shape of shapes.filter((one) => one.scheduler === name)) {
      for (const id of noteDeadRunners(queuer, pass, shape.lane, name, queue)) {
        queuer.log.warn(`cancelling ${id}: it has been silent for 15 minutes`)
        await queuer.run(scheduler.cancelCommand(id), schedulerTimeoutMs)
      }
    }
  }
  const repaired = await returnKeys(queuer)
  const lanes: LaneReport[] = []
  for (const shape of shapes) {
    const queue = answers.get(shape.scheduler)
    if (queue !== undefined)
      lanes.push(await ensureLane(queuer, pass, shape, queue, () => ask(schedulerFor(shape.scheduler))))
  }
  return { lanes, repaired, ...(trouble === undefined ? {} : { trouble }) }
}

function hasWork(queuer: Queuer, lane: string): boolean {
  const { files, spool } = queuer
  return (
    keysIn(files.list(spool.queue(lane))).length > 0 ||
    files.list(spool.runnings).some((runner) => runner.startsWith(`${lane}~`)) ||
    readRunners(queuer, lane).some((runner) => runner.end === undefined)
  )
}

async function ensureLane(
  queuer: Queuer,
  pass: Pass,
  shape: LaneShape,
  queue: Queue,
  askQueue: () => Promise<Queue>,
): Promise<LaneReport> {
  const unsettled = isUnsettled(queuer, pass, shape.lane, queue)
  const health = updateHealth(queuer, pass, shape.lane, queue)
  forgetOldRunners(queuer, shape.lane)
  const situation = (answer: Queue): LaneSituation => ({
    waiting: countKeys(queuer, shape.lane).waiting,
    maxRunners: shape.maxRunners,
    queue: answer,
    counted: answer.certain ? countRunners(queuer, shape.lane, ofLane(answer.value, shape.lane)) : 0,
    allocations: answer.certain ? answer.value.length : 0,
    allocationLimit: pass.allocationLimit,
    unsettled,
    health,
    observer: pass.observer,
  })
  const decision = decideRunners(situation(queue))
  const counts = countKeys(queuer, shape.lane)
  const allocations = (queue.certain ? ofLane(queue.value, shape.lane) : []).map(({ identity: _, ...rest }) => rest)
  const stuck = allocations.find((allocation) => allocation.stuck === true)
  const report = { lane: shape.lane, name: shape.name, ...counts, allocations }
  if (decision.action !== 'submit') {
    const why = 'why' in decision ? decision.why : undefined
    const told = why ?? (counts.waiting > 0 ? stuckSentence(stuck) : undefined)
    return { ...report, action: decision.action, ...(told === undefined ? {} : { trouble: told }) }
  }
  const done = await submitRunner(queuer, pass, shape, schedulerFor(shape.scheduler), askQueue, (answer) => {
    return decideRunners(situation(answer)).action === 'submit'
  })
  const submitted = done.nativeId === undefined ? [] : [{ nativeId: done.nativeId, state: 'pending' as const }]
  return {
    ...report,
    allocations: [...allocations, ...submitted],
    action: done.action,
    ...(done.trouble === undefined ? {} : { trouble: done.trouble }),
  }
}

function stuckSentence(stuck: { nativeId: string; reason?: string; hint?: string } | undefined): string | undefined {
  if (stuck === undefined) return undefined
  const hint = stuck.hint === undefined ? '' : `: ${stuck.hint}`
  return `allocation ${stuck.nativeId} will not start by itself (${stuck.reason})${hint}`
}
