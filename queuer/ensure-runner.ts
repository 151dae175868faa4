/** Keeping enough runners queued: settle, repair, count, decide, submit; lane by lane, with one question to the scheduler for all. */
import { describeError } from '../contract/errors.ts'
import { keysIn, parseIdentity, turnOfKey } from '../contract/spool.ts'
import type { LaneHealth, LaneReport, LaneShape, RunnerEnd } from '../contract/spool-records.ts'
import type { Allocation, Answer, EndedAllocation, Scheduler } from '../scheduler/scheduler.ts'
import { schedulerFor } from '../scheduler/schedulers.ts'
import { seatedRunners } from '../spool/seat.ts'
import { adoptKeys, isHopeless, successorOf } from './adopt-keys.ts'
import { decideRunners, type LaneSituation } from './decide-runners.ts'
import { forgetOldRunners, readIntents, readRunners, readShapes } from './lane-files.ts'
import { backOffRest, updateHealth } from './lane-health.ts'
import type { Pass, Queuer } from './queuer.ts'
import { noteDeadRunners, returnKeys } from './repair.ts'
import { isUnsettled, schedulerTimeoutMs, submitRunner } from './submit-runner.ts'

export interface Ensured {
  readonly lanes: LaneReport[]
  readonly trouble?: string
  readonly repaired: number
}

type Queue = Answer<readonly Allocation[]>

/** What one question told: the allocations that live, and how others ended. */
interface Books {
  readonly queue: Queue
  readonly ends: readonly EndedAllocation[]
}

/** Asks each scheduler in use once, whatever the number of lanes. */
function asker(queuer: Queuer, pass: Pass): (scheduler: Scheduler) => Promise<Books> {
  const prefix = `hpc-batch/${pass.workspace}/`
  return async (scheduler) => {
    const reply = await queuer.run(scheduler.queueCommand(prefix), schedulerTimeoutMs)
    return { queue: scheduler.readQueue(reply, prefix), ends: scheduler.readEnds(reply, prefix) }
  }
}

function ofLane(queue: readonly Allocation[], lane: string): Allocation[] {
  return queue.filter(({ identity }) => parseIdentity(identity)?.lane === lane)
}

/** Allocations that still stand for a runner: those ending, those whose runner has ended or closes its seat are not counted. */
function countRunners(queuer: Queuer, lane: string, allocations: readonly Allocation[]): number {
  const runners = readRunners(queuer, lane)
  // read after a probe: the keys were written before, as a runner that closes writes before it reads
  const seated = seatedRunners(queuer.files, queuer.spool.lane(lane))
  const leaving = new Set(seated.filter((seat) => seat.leaving).map((seat) => seat.runner))
  return allocations.filter(({ identity, state }) => {
    if (state === 'ending') return false
    const nonce = parseIdentity(identity)?.nonce
    const started = runners.filter((runner) => runner.nonce === nonce)
    if (started.length === 0 || state === 'pending') return true
    return started.some(({ runner, end }) => (end === undefined && !leaving.has(runner)) || mayComeAgain(end))
  }).length
}

/** A runner that was ended from outside, in an allocation that lives: the scheduler may just be starting it anew (a requeue). */
function mayComeAgain(end: RunnerEnd | undefined): boolean {
  return end?.how === 'signal' || end?.how === 'dead'
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
  // an intent settled after the scheduler was asked may name an allocation younger than the answer
  const settled = new Map(
    shapes.map(({ lane }) => {
      const ended = readIntents(queuer, lane).filter(({ hasEnded }) => hasEnded)
      return [lane, new Set(ended.map(({ number }) => number))]
    }),
  )
  let trouble: string | undefined
  for (const name of new Set(shapes.map(({ scheduler }) => scheduler))) {
    // a lane that no config names, with nothing in it, asks nobody
    if (!shapes.some((shape) => shape.scheduler === name && (named.has(shape.lane) || hasWork(queuer, shape.lane))))
      continue
    const scheduler = schedulerFor(name)
    const { queue, ends } = await ask(scheduler)
    answers.set(name, queue)
    if (!queue.certain) trouble = `the scheduler of the site did not answer: ${queue.why}`
    for (const shape of shapes.filter((one) => one.scheduler === name)) {
      for (const id of noteDeadRunners(queuer, pass, shape.lane, name, queue, ends)) {
        queuer.log.warn(`cancelling ${id}: it has been silent for 15 minutes`)
        await queuer.run(scheduler.cancelCommand(id), schedulerTimeoutMs)
      }
    }
  }
  const repaired = (await returnKeys(queuer)) + (await leaveOldLanes(queuer, pass, shapes, answers))
  const lanes: LaneReport[] = []
  for (const shape of shapes) {
    const queue = answers.get(shape.scheduler)
    if (queue === undefined) continue
    try {
      const askAgain = async () => (await ask(schedulerFor(shape.scheduler))).queue
      lanes.push(await ensureLane(queuer, pass, shape, queue, askAgain, settled.get(shape.lane) ?? new Set()))
    } catch (error) {
      // one lane's trouble is its own
      trouble = `lane ${shape.name}: ${describeError(error)}`
      queuer.log.warn(trouble)
    }
  }
  return { lanes, repaired, ...(trouble === undefined ? {} : { trouble }) }
}

/** Jobs in a shape the config has given up go on in the one that replaced it, if nothing can start in theirs. */
async function leaveOldLanes(
  queuer: Queuer,
  pass: Pass,
  shapes: readonly LaneShape[],
  answers: ReadonlyMap<string, Queue>,
): Promise<number> {
  const { files, spool } = queuer
  let moved = 0
  for (const shape of shapes) {
    const queue = answers.get(shape.scheduler)
    const successor = successorOf(pass, shape)
    if (successor === undefined || queue?.certain !== true) continue
    const allocations = ofLane(queue.value, shape.lane)
    if (!isHopeless(allocations, files.readJson<LaneHealth>(spool.lane(shape.lane).health))) continue
    moved += adoptKeys(queuer, pass, shape, successor)
    if (keysIn(files.listFresh(spool.queue(shape.lane))).length > 0) continue
    for (const { nativeId, state } of allocations) {
      if (state !== 'pending') continue
      queuer.log.info(`cancelling ${nativeId}: it can never start, and nothing waits for it any more`)
      await queuer.run(schedulerFor(shape.scheduler).cancelCommand(nativeId), schedulerTimeoutMs)
    }
  }
  return moved
}

function hasWork(queuer: Queuer, lane: string): boolean {
  const { files, spool } = queuer
  return (
    keysIn(files.list(spool.queue(lane))).length > 0 ||
    files.list(spool.runnings).some((runner) => runner.startsWith(`${lane}~`)) ||
    readRunners(queuer, lane).some((runner) => !runner.hasEnded)
  )
}

async function ensureLane(
  queuer: Queuer,
  pass: Pass,
  shape: LaneShape,
  queue: Queue,
  askQueue: () => Promise<Queue>,
  settled: ReadonlySet<number>,
): Promise<LaneReport> {
  const unsettled = isUnsettled(queuer, pass, shape.lane, queue)
  const health = updateHealth(queuer, pass, shape.lane, queue, countKeys(queuer, shape.lane).waiting, settled)
  forgetOldRunners(queuer, shape.lane)
  const restMs = health === undefined ? 0 : backOffRest(queuer, pass, shape.lane, health)
  const keys = () => {
    const { waiting, running } = countKeys(queuer, shape.lane)
    return { waiting, running }
  }
  const situation = (answer: Queue): LaneSituation => ({
    ...keys(),
    maxRunners: shape.maxRunners,
    queue: answer,
    counted: answer.certain ? countRunners(queuer, shape.lane, ofLane(answer.value, shape.lane)) : 0,
    allocations: answer.certain ? answer.value.length : 0,
    allocationLimit: pass.allocationLimit,
    unsettled,
    health,
    restMs,
  })
  const decision = decideRunners(situation(queue))
  const counts = countKeys(queuer, shape.lane)
  const allocations = (queue.certain ? ofLane(queue.value, shape.lane) : []).map(({ identity: _, ...rest }) => rest)
  const stuck = allocations.find((allocation) => allocation.stuck === true)
  const report = { lane: shape.lane, name: shape.name, ...counts, allocations }
  if (queue.certain && counts.waiting === 0 && counts.running === 0) await cancelStuck(queuer, shape, queue.value)
  if (decision.action !== 'submit') {
    const why = 'why' in decision ? decision.why : undefined
    const told = why ?? (counts.waiting > 0 ? stuckSentence(stuck) : undefined)
    return { ...report, action: decision.action, ...(told === undefined ? {} : { trouble: told }) }
  }
  const done = await submitRunner(queuer, pass, shape, schedulerFor(shape.scheduler), askQueue, (answer) => {
    return decideRunners(situation(answer)).action === 'submit'
  })
  const submitted = done.nativeId === undefined ? [] : [{ nativeId: done.nativeId, state: 'pending' as const }]
  const trouble = done.trouble ?? failedStarts(health)
  return {
    ...report,
    allocations: [...allocations, ...submitted],
    action: done.action,
    ...(trouble === undefined ? {} : { trouble }),
  }
}

/** What went wrong with the runner before this one, a node that is not fit, say: told at once, not only when the lane has to wait. */
function failedStarts(health: LaneHealth | undefined): string | undefined {
  if (health === undefined || health.failedStarts === 0) return undefined
  const who = health.failedStarts === 1 ? 'the last runner' : `the last ${health.failedStarts} runners`
  return `${who} failed to start: ${health.reason}; another one is asked for`
}

/** An allocation that can never start, for which nothing waits any more, does not stay in the site's queue. */
async function cancelStuck(queuer: Queuer, shape: LaneShape, queue: readonly Allocation[]): Promise<void> {
  for (const { nativeId, state, stuck } of ofLane(queue, shape.lane)) {
    if (state !== 'pending' || stuck !== true) continue
    queuer.log.info(`cancelling ${nativeId}: it can never start, and nothing waits for it any more`)
    await queuer.run(schedulerFor(shape.scheduler).cancelCommand(nativeId), schedulerTimeoutMs)
  }
}

function stuckSentence(stuck: { nativeId: string; reason?: string; hint?: string } | undefined): string | undefined {
  if (stuck === undefined) return undefined
  const hint = stuck.hint === undefined ? '' : `: ${stuck.hint}`
  return `allocation ${stuck.nativeId} will not start by itself (${stuck.reason})${hint}`
}
