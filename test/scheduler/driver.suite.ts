/** What every scheduler driver must do, whatever is behind it. Run on Slurm (the real one), the local driver (for real) and the fake. */
import { deepEqual, equal, match, ok } from 'node:assert/strict'
import { randomBytes, randomUUID } from 'node:crypto'
import { after, describe, it } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import * as fc from 'fast-check'
import type { Allocation, AllocationRequest, Command, Reply, Scheduler } from '../../scheduler/scheduler.ts'

export interface Bench {
  readonly label: string
  readonly scheduler: Scheduler
  run(command: Command): Reply | Promise<Reply>
  /** Writes an executable file as the user who submits and gives its path; undefined where nothing is ever run. */
  readonly write?: (name: string, text: string) => string
  /** Reads a file of that folder; undefined while it is not there. */
  readonly read?: (path: string) => string | undefined
  /** A folder of that user, with a blank, a quote and a percent sign in its path. */
  readonly folder: string
  /** What the request needs beyond the rest. */
  readonly request?: Partial<AllocationRequest>
}

export function describeDriver(bench: Bench): void {
  const { scheduler, label } = bench
  const workspace = randomUUID()
  const prefix = `hpc-batch/${workspace}/`
  const identity = (lane = 'default') => `${prefix}${lane}/${randomBytes(8).toString('hex')}`

  const request = (own: string, script: string): AllocationRequest => ({
    name: 'hpc_runner',
    identity: own,
    script,
    stdoutPath: `${bench.folder}/stdout`,
    stderrPath: `${bench.folder}/stderr`,
    workDir: bench.folder,
    walltimeMs: 10 * 60_000,
    warnSeconds: 60,
    options: [],
    ...bench.request,
  })
  const sleeper = () =>
    bench.write?.(
      'sleeper.sh',
      '#!/bin/bash\nexec /bin/sh -c \'trap "exit 0" TERM; sleep 300 & wait\' runner "$1"\n',
    ) ?? '/none'
  async function submit(own: string, script = sleeper()): Promise<string> {
    const submission = scheduler.readSubmission(await bench.run(scheduler.submitCommand(request(own, script))))
    equal(submission.outcome, 'submitted', JSON.stringify(submission))
    return submission.outcome === 'submitted' ? submission.nativeId : ''
  }
  async function queue(of = prefix): Promise<readonly Allocation[]> {
    const answer = scheduler.readQueue(await bench.run(scheduler.queueCommand(of)), of)
    ok(answer.certain, JSON.stringify(answer))
    return answer.value
  }
  async function cancel(nativeId: string): Promise<void> {
    const answer = scheduler.readCancel(await bench.run(scheduler.cancelCommand(nativeId)))
    deepEqual(answer, { certain: true, value: 'sent' })
  }
  async function until<T>(what: string, look: () => Promise<T | undefined> | T | undefined): Promise<T> {
    for (const end = Date.now() + 20_000; Date.now() < end; await sleep(50)) {
      const found = await look()
      if (found !== undefined) return found
    }
    throw new Error(`waited in vain: ${what}`)
  }
  const gone = (of = prefix) => until('an empty queue', async () => ((await queue(of)).length === 0 ? true : undefined))

  describe(`the driver ${label}`, () => {
    after(async () => {
      for (const { nativeId } of await queue()) await cancel(nativeId)
      await gone()
    })

    it(`MI-07: ${label}: with none of ours the queue is certainly empty`, async () => {
      deepEqual(await queue(), [])
    })

    it(`MI-07: ${label}: an allocation is found by its identity, under the id of its submission, until it ends`, async () => {
      const own = identity()
      const nativeId = await submit(own)
      const [found, ...others] = await queue()
      deepEqual(others, [])
      deepEqual([found?.nativeId, found?.identity], [nativeId, own])
      ok(found?.state === 'pending' || found?.state === 'running', found?.state)
      await cancel(nativeId)
      await gone()
    })

    it(`MI-07: ${label}: allocations of another workspace are not ours`, async () => {
      const nativeId = await submit(identity())
      deepEqual(await queue(`hpc-batch/${randomUUID()}/`), [])
      await cancel(nativeId)
      await gone()
    })

    it(`P-MI-01 MI-11: ${label}: two matching allocations are both stopped by id, a third stays, a second cancel does no harm`, async () => {
      const first = await submit(identity('a'))
      const second = await submit(identity('a'))
      const third = await submit(identity('b'))
      equal(new Set([first, second, third]).size, 3)
      for (const { nativeId } of await queue(`${prefix}a/`)) await cancel(nativeId)
      await gone(`${prefix}a/`)
      deepEqual(
        (await queue()).map(({ nativeId }) => nativeId),
        [third],
      )
      await cancel(first)
      await cancel(third)
      await gone()
    })

    it(`MI-07: ${label}: check names a version and the queues`, async () => {
      const answer = scheduler.readCheck(await bench.run(scheduler.checkCommand()))
      ok(answer.certain, JSON.stringify(answer))
      match(answer.value.version, /\d/)
      ok(answer.value.queues.every((queue) => /^[\w.-]+$/.test(queue)))
    })

    if (bench.write !== undefined && bench.read !== undefined) {
      const { write, read } = bench
      it(`HB-21: ${label}: the script gets the identity, its id, restart and node; the logs are <path>.<id>; odd paths work`, async () => {
        const script = write(
          "say it's.sh",
          `#!/bin/bash\n${scheduler.environment}\necho "$1 $NATIVE_ID $RESTART $NODE $PWD"\necho trouble >&2\n`,
        )
        const own = identity()
        const nativeId = await submit(own, script)
        const whole = (stream: string) =>
          until(stream, () => {
            const text = read(`${bench.folder}/${stream}.${nativeId}`)
            return text?.endsWith('\n') === true ? text : undefined
          })
        const said = await whole('stdout')
        match(said, new RegExp(`^${own} ${nativeId} 0 \\S+ `))
        ok(said.includes(bench.folder), said)
        equal(await whole('stderr'), 'trouble\n')
        await gone()
      })

      it(`MI-07: ${label}: a failed start leaves nothing in the queue`, async () => {
        await submit(identity(), write('fails.sh', '#!/bin/bash\nexit 3\n'))
        await gone()
      })
    }

    it(`HB-19: ${label}: a command that failed, was killed or timed out is never an answer`, async () => {
      const good = await bench.run(scheduler.queueCommand(prefix))
      for (const bad of [
        { code: 1 },
        { code: 255 },
        { code: null },
        { timedOut: true, code: null },
        { code: 0, stdout: '' },
      ]) {
        const reply: Reply = { ...good, ...bad }
        equal(scheduler.readQueue(reply, prefix).certain, false, JSON.stringify(bad))
      }
      const checked = await bench.run(scheduler.checkCommand())
      equal(scheduler.readCheck({ ...checked, code: 1 }).certain, false)
      equal(scheduler.readCancel({ code: null, stdout: '', stderr: '', timedOut: true }).certain, false)
      const silent = scheduler.readSubmission({ code: null, stdout: '', stderr: '', timedOut: true })
      equal(silent.outcome, 'ambiguous')
      equal(scheduler.readSubmission({ code: 0, stdout: '', stderr: '', timedOut: false }).outcome, 'ambiguous')
    })

    describeReplies(label, scheduler)
  })
}

/** Whatever bytes come back, a driver neither throws nor draws a conclusion from a failure. */
export function describeReplies(label: string, scheduler: Scheduler): void {
  const separators = fc.constantFrom(
    '\x1f',
    '\x1e\n',
    '\n',
    '|',
    ' ',
    'end\n',
    '12345',
    'JOBID',
    'hpc-batch/u/l/n',
    'PENDING',
    'S 1 ',
  )
  const text = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.array(fc.oneof(separators, fc.string({ maxLength: 6 }))).map((parts) => parts.join('')),
  )
  const reply = fc.record({
    code: fc.oneof(fc.constant(null), fc.constant(0), fc.integer({ min: 1, max: 255 })),
    stdout: text,
    stderr: text,
    timedOut: fc.boolean(),
  })

  it(`MI-07: ${label}: any reply is an answer or unknown, and a failing one never "certainly none"`, () => {
    fc.assert(
      fc.property(reply, (given) => {
        const failed = given.code !== 0 || given.timedOut
        const queue = scheduler.readQueue(given, 'hpc-batch/u/')
        if (failed) equal(queue.certain, false)
        if (queue.certain) {
          for (const { nativeId, identity } of queue.value) {
            ok(identity.startsWith('hpc-batch/u/'))
            scheduler.cancelCommand(nativeId)
          }
        }
        const ends = scheduler.readEnds(given, 'hpc-batch/u/')
        if (failed) deepEqual(ends, [])
        for (const { identity } of ends) ok(identity.startsWith('hpc-batch/u/'))
        const submission = scheduler.readSubmission(given)
        if (submission.outcome === 'refused') ok(given.code !== 0 && given.code !== null && !given.timedOut)
        scheduler.readCancel(given)
        if (failed) equal(scheduler.readCheck(given).certain, false)
      }),
      { numRuns: 2000 },
    )
  })
}
