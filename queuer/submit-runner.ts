/** Submitting one runner: an intent with a nonce first, the queue asked again under it, then the submission, then what became of it. */
import { join } from 'node:path'
import { describeError } from '../contract/errors.ts'
import { allocationName, makeIdentity, parseIdentity } from '../contract/spool.ts'
import type { IntentEnd, IntentRecord, LaneReport, LaneShape } from '../contract/spool-records.ts'
import type { Allocation, AllocationRequest, Answer, Command, Scheduler } from '../scheduler/scheduler.ts'
import { isoTime } from '../system/clock.ts'
import { claimNumber } from '../system/numbered-file.ts'
import { type Intent, readIntents } from './lane-files.ts'
import { observerOf, type Pass, type Queuer } from './queuer.ts'
import { trampoline } from './trampoline.ts'

export const schedulerTimeoutMs = 30_000
const settleMs = 60_000

export function settleIntent(queuer: Queuer, lane: string, number: number, end: Omit<IntentEnd, 'at'>): void {
  const path = join(queuer.spool.lane(lane).intents, `${number}.end`)
  queuer.files.createExclusive(path, `${JSON.stringify({ ...end, at: isoTime(queuer.clock.now()) })}\n`)
}

interface Absence {
  readonly bootId: string
  readonly ms: number
}

/** Settles the newest intent where the facts allow it; true when it stays open and nothing may be submitted. */
export function isUnsettled(queuer: Queuer, pass: Pass, lane: string, queue: Answer<readonly Allocation[]>): boolean {
  const { files, spool } = queuer
  const intent = readIntents(queuer, lane).at(-1)
  if (intent === undefined || intent.end !== undefined) return false
  const paths = spool.lane(lane)
  const nonce = intent.record?.nonce
  const found =
    queue.certain && nonce !== undefined
      ? queue.value.find(({ identity }) => parseIdentity(identity)?.nonce === nonce)
      : undefined
  const started = nonce !== undefined && files.listFresh(paths.runners).some((runner) => runner.endsWith(`.${nonce}`))
  if (found !== undefined || started) {
    settleIntent(queuer, lane, intent.number, {
      outcome: 'submitted',
      ...(found === undefined ? {} : { nativeId: found.nativeId }),
    })
    return false
  }
  if (!queue.certain) return true
  const path = join(paths.intents, `${intent.number}.absent.${observerOf(pass)}`)
  const first = files.readJson<Absence>(path)
  if (first === undefined || first.bootId !== pass.observer.bootId) {
    files.publish(path, `${JSON.stringify(pass.observer)}\n`)
    return true
  }
  if (pass.observer.ms - first.ms < settleMs) return true
  settleIntent(queuer, lane, intent.number, {
    outcome: 'absent',
    why: 'two certain answers a minute apart did not show it',
  })
  return false
}

/**
 * Slurm may warn a minute early and more: in a short allocation that would be at its start, when nobody hears it, and the runner would begin
 * nothing. It knows its end without; 0 asks for no warning.
 */
export function warnSecondsOf({ timeMs, marginMs }: Pick<LaneShape, 'timeMs' | 'marginMs'>): number {
  const seconds = Math.max(60, Math.round(marginMs / 1000))
  return timeMs > (seconds + 120) * 1000 ? seconds : 0
}

function request(queuer: Queuer, pass: Pass, shape: LaneShape, nonce: string): AllocationRequest {
  const paths = queuer.spool.lane(shape.lane)
  return {
    name: allocationName(shape.name),
    identity: makeIdentity(pass.workspace, shape.lane, nonce),
    script: join(paths.logs, `hpc_runner.${nonce}.sh`),
    stdoutPath: join(paths.logs, `hpc_runner_stdout.${nonce}`),
    stderrPath: join(paths.logs, `hpc_runner_stderr.${nonce}`),
    workDir: queuer.spool.root,
    ...(shape.queue === undefined ? {} : { queue: shape.queue }),
    ...(shape.gres === undefined ? {} : { gres: shape.gres }),
    ...(shape.memoryBytes === undefined ? {} : { memoryBytes: shape.memoryBytes }),
    ...(shape.cpus === undefined ? {} : { cpus: shape.cpus }),
    ...(shape.nodes === undefined ? {} : { nodes: shape.nodes }),
    ...(shape.email === undefined ? {} : { email: shape.email }),
    walltimeMs: shape.timeMs,
    warnSeconds: warnSecondsOf(shape),
    options: shape.options,
  }
}

/**
 * Submits one runner for a lane. `stillNeeded` is asked with a queue answer got after the intent was taken, so that two gateways that
 * decide at the same moment cannot both submit: the second finds the number taken, or the first one's allocation in its answer.
 */
export async function submitRunner(
  queuer: Queuer,
  pass: Pass,
  shape: LaneShape,
  scheduler: Scheduler,
  askQueue: () => Promise<Answer<readonly Allocation[]>>,
  stillNeeded: (queue: Answer<readonly Allocation[]>) => boolean,
): Promise<{ action: LaneReport['action']; trouble?: string; nativeId?: string }> {
  const { files, spool } = queuer
  const paths = spool.lane(shape.lane)
  const highest: Intent | undefined = readIntents(queuer, shape.lane).at(-1)
  if (highest !== undefined && highest.end === undefined)
    return { action: 'waiting', trouble: 'another submission is under way' }
  const number = (highest?.number ?? 0) + 1
  const nonce = queuer.uuid().replaceAll('-', '').slice(0, 16)
  const record: IntentRecord = { nonce, by: pass.gateway, at: isoTime(queuer.clock.now()) }
  if (claimNumber(files, paths.intents, number, record) === undefined) {
    return { action: 'waiting', trouble: 'another gateway submits at this moment' }
  }
  const queue = await askQueue()
  if (!queue.certain || !stillNeeded(queue)) {
    settleIntent(queuer, shape.lane, number, { outcome: 'not-needed' })
    return queue.certain
      ? { action: 'none' }
      : { action: 'waiting', trouble: `the scheduler did not answer: ${queue.why}` }
  }
  let command: Command
  try {
    const wanted = request(queuer, pass, shape, nonce)
    files.publish(wanted.script, trampoline(queuer, shape, scheduler, nonce, wanted.identity), 0o700)
    command = scheduler.submitCommand(wanted)
  } catch (error) {
    // nothing was asked of the scheduler, and the intent says so
    settleIntent(queuer, shape.lane, number, { outcome: 'not-needed', why: describeError(error) })
    throw error
  }
  const submission = scheduler.readSubmission(await queuer.run(command, schedulerTimeoutMs))
  switch (submission.outcome) {
    case 'submitted':
      settleIntent(queuer, shape.lane, number, { outcome: 'submitted', nativeId: submission.nativeId })
      queuer.log.info(`submitted runner ${submission.nativeId} for lane ${shape.lane}`)
      return { action: 'submitted', nativeId: submission.nativeId }
    case 'refused':
      settleIntent(queuer, shape.lane, number, { outcome: 'refused', why: submission.why })
      return { action: 'refused', trouble: `the scheduler refused the runner: ${submission.why}` }
    case 'ambiguous':
      return { action: 'ambiguous', trouble: `the scheduler may have taken the runner: ${submission.why}` }
  }
}
