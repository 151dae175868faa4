/** Faults of our own making, one at a time: each takes one of the design's cares out of the code, and the simulation must notice. */
import type { Change } from './programs.ts'

export interface Mutant {
  readonly name: string
  readonly changes: readonly Change[]
}

const one = (name: string, file: string, from: string, to: string): Mutant => ({ name, changes: [{ file, from, to }] })

export const mutants: readonly Mutant[] = [
  one(
    'unknown is read as none',
    'scheduler/slurm.ts',
    'if (!records.certain) return records\n    const allocations',
    'if (!records.certain) return { certain: true, value: [] }\n    const allocations',
  ),
  one(
    'a pending allocation is not counted',
    'queuer/ensure-runner.ts',
    "if (started.length === 0 || state === 'pending') return true",
    "if (started.length === 0 || state === 'pending') return false",
  ),
  one(
    'the exit of a script is ignored',
    'spool/attempt.ts',
    "return interruptions.has(attempt.end?.cause ?? '') ? undefined : attempt.exit",
    'return undefined',
  ),
  {
    name: "what a script says of our signal is taken for its work's end",
    changes: [
      {
        file: 'spool/attempt.ts',
        from: "return interruptions.has(attempt.end?.cause ?? '') ? undefined : attempt.exit",
        to: 'return attempt.exit',
      },
      {
        file: 'spool/attempt.ts',
        from: 'if (exit === undefined || onRequest || !endingSignals.has(exit.rc)) return exit',
        to: 'if (exit === undefined || onRequest || endingSignals.size > 0) return exit',
      },
    ],
  },
  one(
    "the scheduler's TERM is taken for the script's own end",
    'runner/attend-job.ts',
    "return this.#runner.stopping() === 'terminated' && exit?.rc !== 0",
    'return false',
  ),
  one(
    'the keys of living runners are returned, and their attempts ended',
    'queuer/repair.ts',
    'if (!hasEnded(files, lane, runner)) continue',
    '',
  ),
  one(
    '.finished before the outputs',
    'submitter/deliver.ts',
    'for (const { temporary, destination } of receiver.outputs) {\n    lock.check()',
    'renameToFinished(gateway, lock, hpc)\n  for (const { temporary, destination } of receiver.outputs) {\n    lock.check()',
  ),
  one(
    'clean before delivery',
    'submitter/collect.ts',
    'const block = deliver(gateway, work.lock, submitted, receiver)',
    'await clean(id, key, 0)\n        await gateway.clock.sleep(1000)\n        const block = deliver(gateway, work.lock, submitted, receiver)',
  ),
  one(
    'a site that breaks off ends the process',
    'submitter/site-pass.ts',
    'asked?.catch(() => undefined)',
    'void asked',
  ),
  one(
    'a login that says nothing is waited for',
    'submitter/session.ts',
    '    silenceMs,\n    answer.then(',
    '    1e9,\n    answer.then(',
  ),
  one(
    'a submission that may have gone through is read as refused',
    'scheduler/slurm-refusals.ts',
    "if (onTheWay.test(stderr)) return { outcome: 'ambiguous', why }",
    "if (onTheWay.test(stderr)) return { outcome: 'refused', why, permanent: false }",
  ),
  one(
    'a runner that finds nothing leaves without a second look',
    'runner/drain.ts',
    'if (queue.hasWork()) {',
    'if (queue === undefined) {',
  ),
  one(
    'a runner starts what its walltime cannot hold',
    'runner/claim.ts',
    'return fits(job, remainingMs(runner), shape) || tooLongForLane(job, shape.timeMs) !== undefined',
    'return fits(job, remainingMs(runner), shape) || tooLongForLane(job, shape.timeMs) === undefined',
  ),
  one(
    'a seat is taken from a runner that lives',
    'spool/seat.ts',
    'if (record !== undefined && !hasEnded(files, lane, record.runner)) continue',
    'if (record === undefined && hasEnded(files, lane, "")) continue',
  ),
  one(
    'an attempt whose number somebody has is started all the same',
    'spool/attempt.ts',
    "if (claimNumber(files, control.attempts, attempt, record, '', 'later') === undefined) return false",
    "claimNumber(files, control.attempts, attempt, record, '', 'later')",
  ),
  {
    // that no key of a living runner comes back is another care for the same: with this one left out alone nothing is noticed
    name: 'the next attempt begins while the one before lives, whose key came back',
    changes: [
      { file: 'queuer/repair.ts', from: 'if (!hasEnded(files, lane, runner)) continue', to: '' },
      {
        file: 'queuer/repair.ts',
        from: 'if (open?.record !== undefined) {',
        to: 'if (open?.record !== undefined && hasEnded(files, spool.lane(lane), runner)) {',
      },
      {
        file: 'runner/choose-job.ts',
        from: "if (last?.end === undefined && !sight.hasEnded(record.runner)) return { do: 'drop' }",
        to: '',
      },
    ],
  },
  one(
    'names are taken before they are written down',
    'submitter/accept.ts',
    'writePending(gateway, written)',
    'void written',
  ),
  {
    name: '.submitted tells of a job only when it was sent',
    changes: [
      {
        file: 'submitter/accept-job.ts',
        from: "publishSubmitted(gateway, lock, read.bytes, ready, undefined, 'later')",
        to: '',
      },
      {
        file: 'submitter/site-pass.ts',
        from: "import { MadeLanes } from './lane-shapes.ts'\n",
        to: "import { MadeLanes } from './lane-shapes.ts'\nimport { publishSubmitted } from './finish-unsent.ts'\n",
      },
      {
        file: 'submitter/site-pass.ts',
        from: '      report.published.push(hpc.id)\n',
        to: '      publishSubmitted(gateway, work.lock, sent.job.original, hpc)\n      report.published.push(hpc.id)\n',
      },
    ],
  },
  {
    name: 'a lock is stolen from a sleeper, who does not look before he goes on',
    changes: [
      {
        file: 'submitter/lock.ts',
        from: 'return here.ms - seen.since.ms >= stillMs',
        to: 'return here.ms >= seen.since.ms',
      },
      { file: 'submitter/lock.ts', from: "lost = 'another process has it'", to: 'void lost' },
    ],
  },
  one(
    'content is not on disk before its name is',
    'system/files.ts',
    "if (sync === 'synced') this.os.fsyncSync(fd)",
    'void sync',
  ),
  one(
    'names are not put on disk',
    'system/files.ts',
    'const fd = this.os.openSync(path, O_RDONLY | O_DIRECTORY)\n    try {\n      this.os.fsyncSync(fd)',
    'const fd = this.os.openSync(path, O_RDONLY | O_DIRECTORY)\n    try {\n      void fd',
  ),
  one(
    'streams are not on disk before the result that tells of them',
    'spool/finish.ts',
    'if (bytes > 0) files.syncFile(path)\n    return bytes\n  }) as [number, number]\n  files.syncFolder(control.attempts)',
    'return bytes\n  }) as [number, number]',
  ),
  one(
    'outputs are not on disk before the result that tells of them',
    'spool/outputs.ts',
    'os.fsyncSync(opened.fd)',
    '',
  ),
  one(
    'the names in a delivered folder are not on disk before it is',
    'submitter/deliver.ts',
    'receiver.syncFolders()',
    '',
  ),
  one(
    'what arrives at the site is not verified',
    'queuer/receive.ts',
    'if (file.size !== request.last.size || sha256 !== request.last.sha256) {',
    'if (request.last.size < 0) {',
  ),
  one(
    'what a job gets from the store is not verified',
    'queuer/copy-content.ts',
    "if (hash.digest('hex') !== sha256 || (",
    'if (hash === undefined || (',
  ),
  one(
    'silence of the scheduler counts as absence of a runner',
    'queuer/decide-runners.ts',
    'live === undefined ? (before?.absences ?? 0) : live',
    'live',
  ),
  one(
    'a pass that was overtaken goes on',
    'queuer/open-workspace.ts',
    'return highestNumber(queuer.files, queuer.spool.passes(pass.gateway)) === pass.generation',
    'return pass.generation > 0',
  ),
  one(
    'a site is not told of what ended here',
    'submitter/end-at-site.ts',
    'if (list.length === 0) return',
    'if (list.length >= 0) return',
  ),
  one(
    'an end that lost its content is no end',
    'spool/end-file.ts',
    '  } catch {\n    return unknown',
    '  } catch {\n    return undefined',
  ),
  one(
    'a heartbeat of zeros is a sign of life',
    'queuer/lane-files.ts',
    'return Number.isSafeInteger(count) ? count : 0',
    'return count',
  ),
  one(
    'nothing is touched before the scratch cleaner comes',
    'queuer/keep-fresh.ts',
    'if (marker === undefined || nowMs - marker.mtimeMs < dayMs) return 0',
    'if (nowMs > 0) return 0',
  ),
  one(
    'what was reserved by a pass that died is reserved for ever',
    'submitter/accept.ts',
    'if (names.submitted.size === 0) forgetReservations(gateway)',
    '',
  ),
  one(
    'a job that is cancelled at its site gets no fence',
    'queuer/cancel.ts',
    'if (!openAttempt(files, control, fence)) {',
    'if (fence.attempt < 0) {',
  ),
  one(
    'nobody notices that a runner is dead',
    'queuer/decide-runners.ts',
    "if (absences >= 2 && still >= stillMs) return { sight, verdict: 'dead' }",
    '',
  ),
  one(
    'the queue is not asked again before a submission',
    'queuer/submit-runner.ts',
    'if (!queue.certain || !stillNeeded(queue)) {',
    'if (!queue.certain) {',
  ),
  one(
    'a submission without an answer holds nobody up',
    'queuer/decide-runners.ts',
    '  if (lane.unsettled) {',
    '  if (lane.unsettled && lane.maxRunners < 1) {',
  ),
  one(
    'one certain answer settles a submission',
    'queuer/submit-runner.ts',
    'if (pass.observer.ms - first.ms < settleMs) return true',
    '',
  ),
  one('a request to cancel outlives its job', 'submitter/finish-unsent.ts', 'clearName(gateway, paths.cancel)', ''),
  one(
    'a job that two dying passes wrote down is sent twice',
    'submitter/pending.ts',
    'return [...new Map(jobs.map((job) => [job.name, job])).values()]',
    'return [...jobs]',
  ),
]
