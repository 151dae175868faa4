/** The Slurm driver on recorded replies; on the real thing: test/cluster/slurm-driver.test.ts. */
import { deepEqual, equal, match, ok, throws } from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import * as fc from 'fast-check'
import type { AllocationRequest, Reply } from '../../scheduler/scheduler.ts'
import { schedulerFor } from '../../scheduler/schedulers.ts'
import { slurm } from '../../scheduler/slurm.ts'
import { describeReplies } from './driver.suite.ts'

const fixtures = join(import.meta.dirname, '..', 'fixtures', 'slurm')
const prefix = 'hpc-batch/5f0c2d1e-8a77-4c1b-9b1a-0a4f6f0f4e11/'

/** A recorded reply: a line saying where it came from, `code: …`, then stdout and stderr under their marks. */
function recorded(name: string): Reply {
  const text = readFileSync(join(fixtures, `${name}.txt`), 'utf8')
  const parts = /^# slurm [^\n]+\ncode: ([^\n]+)\n--- stdout\n([\s\S]*)--- stderr\n([\s\S]*)$/.exec(text)
  ok(parts !== null, name)
  const [, code, stdout = '', stderr = ''] = parts
  const timedOut = code === 'timed out'
  return { code: timedOut ? null : Number(code), stdout, stderr, timedOut }
}
const names = (start: string) =>
  readdirSync(fixtures)
    .filter((name) => name.startsWith(start))
    .map((name) => name.replace(/\.txt$/, ''))

const queue = (name: string) => {
  const answer = slurm.readQueue(recorded(name), prefix)
  ok(answer.certain, JSON.stringify(answer))
  return answer.value
}
const header = 'JOBID\x1fSTATE\x1fREASON\x1fSTART_TIME\x1fPARTITION\x1fTIME_LIMIT\x1fCOMMAND\x1fCOMMENT\x1e\n'
const row = (fields: Record<string, string> = {}) => {
  const all = { id: '7', state: 'PENDING', reason: 'None', start: 'N/A', partition: 'dl', limit: '8:00:00' }
  const rest = { command: '/w/run.sh', comment: `${prefix}default/n1` }
  return `${Object.values({ ...all, ...rest, ...fields }).join('\x1f')}\x1e\n`
}
const reply = (stdout: string, more: Partial<Reply> = {}): Reply => ({
  code: 0,
  stdout,
  stderr: '',
  timedOut: false,
  ...more,
})

const request: AllocationRequest = {
  name: 'hpc_runner',
  identity: `${prefix}default/n1`,
  script: '/w/run.sh',
  stdoutPath: '/w/logs/out',
  stderrPath: '/w/logs/err',
  workDir: '/w',
  warnSeconds: 300,
  options: [],
}
/** The words after `env -u …`. */
const words = (more: Partial<AllocationRequest> = {}) => {
  const { argv } = slurm.submitCommand({ ...request, ...more })
  return argv.slice(argv.indexOf('sbatch'))
}

describe('slurm.submitCommand()', () => {
  it('HB-20: asks for what the lane says: time in minutes, whole gigabytes, partition, gres, mail', () => {
    const lane = {
      queue: 'dl',
      gres: 'gpu:v100:1',
      memoryBytes: 32 * 2 ** 30,
      walltimeMs: 8 * 3_600_000,
      email: 'a@example.edu',
    }
    deepEqual(words({ ...lane, options: ['--account=amp', '-C', 'big'] }), [
      ...['sbatch', '-p', 'dl', '--gres', 'gpu:v100:1', '--mem', '32G', '-t', '480'],
      ...['--mail-type', 'ALL', '--mail-user', 'a@example.edu', '--account=amp', '-C', 'big'],
      ...['--parsable', '--no-requeue', '--export=ALL', '-J', 'hpc_runner', '--comment', `${prefix}default/n1`],
      ...['-D', '/w', '-o', '/w/logs/out.%j', '-e', '/w/logs/err.%j', '--signal', 'B:USR2@300'],
      ...['/w/run.sh', `${prefix}default/n1`],
    ])
  })

  it('HB-20: time and memory are rounded up, and a percent sign in a log path is no pattern', () => {
    const asked = words({
      walltimeMs: 90_001,
      memoryBytes: 1.5 * 2 ** 30 + 1,
      stdoutPath: '/100%j/out',
      warnSeconds: 0,
    })
    for (const [option, value] of [
      ['-t', '2'],
      ['--mem', '1537M'],
      ['-o', '/100%%j/out.%j'],
    ] as const)
      equal(asked[asked.indexOf(option) + 1], value)
    ok(!asked.includes('--signal'))
  })

  it('HB-20: without a lane shape nothing is asked that the site has defaults for', () => {
    for (const option of ['-p', '--gres', '--mem', '-t', '--mail-user', '-N', '--cpus-per-task'])
      ok(!words().includes(option))
  })

  it('HB-20: a value that looks like an option or breaks the line is refused, wherever it stands', () => {
    for (const bad of ['-x', '--wrap=id', 'a\nb', 'a\0b', '']) {
      for (const key of ['name', 'identity', 'queue', 'gres', 'email', 'script', 'workDir', 'stdoutPath'] as const)
        throws(() => words({ [key]: bad }), { code: 'config' }, `${key}=${JSON.stringify(bad)}`)
    }
    throws(() => words({ script: 'run.sh' }), /not absolute/)
    throws(() => words({ stdoutPath: '/a\\b' }), /backslash/)
  })

  it('HB-20: site options that would break the bond between submission and queue are refused with the reason', () => {
    const wrong: readonly (readonly [string[], RegExp])[] = [
      [['--wait'], /end of the allocation/],
      [['-W'], /end of the allocation/],
      [['--test-only'], /nothing would be submitted/],
      [['--wrap=id'], /replaces the script/],
      [['-a1-3'], /one allocation/],
      [['--array=1-3'], /one allocation/],
      [['-M', 'other'], /another cluster/],
      [['--clusters=other'], /another cluster/],
      [['stray'], /belongs to no option/],
      [['--account=a', 'stray'], /belongs to no option/],
      [['-A', 'amp', ':'], /belongs to no option/],
      [['--'], /ends the options/],
      [[''], /empty/],
    ]
    for (const [options, reason] of wrong) throws(() => words({ options }), reason, options.join(' '))
    for (const fine of [
      ['-A', 'amp'],
      ['--account=amp'],
      ['--exclusive'],
      ['--mem-per-gpu=4G'],
      ['-C', 'a&b'],
      ['--mail-type=FAIL'],
    ])
      ok(words({ options: fine }).includes(fine[0]!))
  })
})

describe('slurm.readSubmission()', () => {
  const expected: Record<string, readonly [string, boolean?]> = {
    'submit-ok': ['submitted'],
    'submit-ok-long': ['submitted'],
    'submit-bad-qos': ['submitted'],
    'submit-option-without-value': ['submitted'],
    'submit-script-from-option': ['submitted'],
    'submit-two-nodes': ['submitted'],
    'submit-no-such-partition': ['refused', true],
    'submit-no-such-gres': ['refused', true],
    'submit-wrong-gres': ['refused', true],
    'submit-two-gpus': ['refused', true],
    'submit-gpu-in-general': ['refused', true],
    'submit-too-much-memory': ['refused', true],
    'submit-no-such-feature': ['refused', true],
    'submit-no-such-reservation': ['refused', true],
    'submit-no-such-node': ['refused', true],
    'submit-no-such-license': ['refused', true],
    'submit-no-first-line': ['refused', true],
    'submit-line-breaks': ['refused', true],
    'submit-bad-option': ['refused', true],
    'submit-bad-time': ['refused', true],
    'submit-bad-mail-type': ['refused', true],
    'submit-no-sbatch': ['refused', true],
    'submit-no-script': ['refused', false],
    'submit-partition-inactive': ['refused', false],
    'submit-partition-drain': ['refused', false],
    'submit-controller-down': ['refused', false],
    'submit-controller-hung': ['ambiguous'],
    'submit-munge-down': ['ambiguous'],
  }
  it('MI-10: every recorded reply of sbatch is read as what it was', () => {
    deepEqual(names('submit-').sort(), Object.keys(expected).sort())
    for (const [name, [outcome, permanent]] of Object.entries(expected)) {
      const submission = slurm.readSubmission(recorded(name))
      equal(submission.outcome, outcome, `${name}: ${JSON.stringify(submission)}`)
      if (submission.outcome === 'refused') equal(submission.permanent, permanent, name)
    }
  })

  it('MI-10: 24.11 says the same as 22.05', () => {
    const differs: typeof expected = {
      'submit-two-nodes': ['refused', true],
      'submit-partition-down': ['submitted'],
    }
    for (const name of names('24.11-submit-')) {
      const [outcome, permanent] = { ...expected, ...differs }[name.replace('24.11-', '')] ?? []
      const submission = slurm.readSubmission(recorded(name))
      equal(submission.outcome, outcome, `${name}: ${JSON.stringify(submission)}`)
      if (submission.outcome === 'refused') equal(submission.permanent, permanent, name)
    }
    deepEqual(
      queue('24.11-queue-mixed').map(({ nativeId, state, reason, stuck }) => [nativeId, state, reason, stuck]),
      [
        ['2', 'pending', 'Resources', undefined],
        ['3', 'pending', 'PartitionTimeLimit', true],
        ['4', 'pending', 'JobHeldUser', true],
        ['1', 'running', undefined, undefined],
      ],
    )
    deepEqual(queue('24.11-queue-empty'), [])
    deepEqual(
      queue('24.11-queue-completing').map(({ state }) => state),
      ['ending'],
    )
    // Job 11 is the one of which sbatch had said "Socket timed out"; refused ones leave a FAILED record, which is finished.
    deepEqual(
      queue('24.11-queue-after-controller-hung').map(({ nativeId }) => nativeId),
      ['11', '10'],
    )
    for (const what of ['controller-down', 'controller-hung', 'munge-down'])
      equal(slurm.readQueue(recorded(`24.11-queue-${what}`), prefix).certain, false)
    for (const name of ['24.11-cancel-running', '24.11-cancel-finished', '24.11-cancel-unknown'])
      equal(slurm.readCancel(recorded(name)).certain, true)
    equal(slurm.readCancel(recorded('24.11-cancel-controller-down')).certain, false)
    deepEqual(slurm.readCheck(recorded('24.11-check-ok')), {
      certain: true,
      value: { version: '24.11.5', queues: ['dl', 'general'] },
    })
    equal(slurm.readCheck(recorded('24.11-check-controller-down')).certain, false)
  })

  it('MI-10: the id is read in all its forms, and only when it is whole', () => {
    const id = (stdout: string, more: Partial<Reply> = {}) => {
      const submission = slurm.readSubmission(reply(stdout, more))
      return submission.outcome === 'submitted' ? submission.nativeId : submission.outcome
    }
    equal(id('123\n'), '123')
    equal(id('123;lab\n'), '123')
    equal(id('Submitted batch job 123\n'), '123')
    equal(id('Submitted batch job 123 on cluster lab\n'), '123')
    equal(id('Welcome to the site\n123\n'), '123')
    equal(id('123\n', { code: null, timedOut: true }), '123') // printed, then hung: it exists
    equal(id('12'), 'ambiguous') // cut off
    equal(id('123\n124\n'), 'ambiguous')
    equal(id('0\n'), 'ambiguous')
    equal(id(''), 'ambiguous')
    equal(id('123\n', { code: 1 }), 'ambiguous')
  })

  it('MI-10: trouble on the way is never a refusal, limits pass, what nobody knows is ambiguous', () => {
    const failed = (what: string) => {
      const stderr = `sbatch: error: Batch job submission failed: ${what}\n`
      const submission = slurm.readSubmission(reply('', { code: 1, stderr }))
      return submission.outcome === 'refused' ? (submission.permanent ? 'permanent' : 'passing') : submission.outcome
    }
    const table = {
      'Socket timed out on send/recv operation': 'ambiguous',
      'Unable to contact slurm controller (send failure)': 'ambiguous',
      'Unable to contact slurm controller (receive failure)': 'ambiguous',
      'Unable to contact slurm controller (shutdown failure)': 'ambiguous',
      'Zero Bytes were transmitted or received': 'ambiguous',
      'Protocol authentication error': 'ambiguous',
      'Unexpected message received': 'ambiguous',
      'Connection timed out': 'ambiguous',
      'Connection reset by peer': 'ambiguous',
      'Unspecified error': 'ambiguous',
      'A message of a later Slurm': 'ambiguous',
      "Job violates accounting/QOS policy (job submit limit, user's size and/or time limits)": 'passing',
      QOSMaxSubmitJobPerUserLimit: 'passing',
      'Slurm job queue full': 'passing',
      'System submissions disabled': 'passing',
      'Unable to contact slurm controller (connect failure)': 'passing',
      'Invalid account or account/partition combination specified': 'permanent',
      'Invalid qos specification': 'permanent',
      "User's group not permitted to use this partition": 'permanent',
      'Requested time limit is invalid (missing or exceeds some limit)': 'permanent',
    }
    for (const [what, outcome] of Object.entries(table)) equal(failed(what), outcome, what)
    // A first request may have arrived before the one that could not connect.
    const retried = 'sbatch: error: Slurm temporarily unable to accept job, sleeping and retrying\n'
    const connect = 'sbatch: error: Batch job submission failed: Unable to contact slurm controller (connect failure)\n'
    equal(slurm.readSubmission(reply('', { code: 1, stderr: retried + connect })).outcome, 'ambiguous')
    deepEqual(slurm.readSubmission(reply('', { code: 127, stderr: 'env: spawn env EAGAIN' })), {
      outcome: 'refused',
      why: 'sbatch exited with 127, "env: spawn env EAGAIN"',
      permanent: false,
    })
  })
})

describe('slurm.queueCommand()', () => {
  it('HB-19: asks for all states in all partitions, whatever the login shell has set', () => {
    const { argv } = slurm.queueCommand(prefix)
    for (const name of ['SQUEUE_PARTITION', 'SQUEUE_STATES', 'SQUEUE_NAMES', 'SQUEUE_FORMAT2', 'SLURM_CLUSTERS']) {
      equal(argv[argv.indexOf(name) - 1], '-u')
    }
    deepEqual(argv.slice(argv.indexOf('squeue'), -1), ['squeue', '--me', '--all', '--states=all', '-o'])
  })
})

describe('slurm.readQueue()', () => {
  it('HB-19: an empty queue is certainly empty only under its header', () => {
    deepEqual(slurm.readQueue(recorded('queue-empty'), prefix), { certain: true, value: [] })
    deepEqual(slurm.readQueue(recorded('queue-only-finished'), prefix), { certain: true, value: [] })
    for (const stdout of ['', '\n', header.slice(0, -1), 'No jobs\n'])
      equal(slurm.readQueue(reply(stdout), prefix).certain, false)
  })

  it('HB-19: ours are found among the other jobs of the user, whatever their comments hold', () => {
    deepEqual(
      queue('queue-mixed').map(({ nativeId, state, reason }) => [nativeId, state, reason]),
      [
        ['2', 'pending', 'Resources'],
        ['3', 'pending', 'Priority'],
        ['1', 'running', undefined],
      ],
    )
    deepEqual(queue('queue-mixed')[2], { nativeId: '1', identity: `${prefix}default/00000001`, state: 'running' })
    match(queue('queue-mixed')[0]?.estimatedStart ?? '', /^\d{4}-\d\d-\d\dT/)
    const other = slurm.readQueue(recorded('queue-mixed'), 'hpc-batch/another/')
    deepEqual(other, { certain: true, value: [] })
  })

  it('HB-19: a warning on stderr is no uncertainty, an error is, and so is any failure', () => {
    const warned = slurm.readQueue(
      reply(header + row(), { stderr: 'squeue: warning: slurm.conf is old\nmodule: loaded\n' }),
      prefix,
    )
    equal(warned.certain && warned.value.length, 1)
    for (const stderr of [
      'slurm_load_jobs error: Unspecified error\n',
      'squeue: error: something\n',
      'squeue: fatal: x\n',
    ])
      equal(slurm.readQueue(reply(header, { stderr }), prefix).certain, false, stderr)
    for (const name of ['controller-down', 'controller-hung', 'munge-down', 'munge-killed', 'timed-out']) {
      const answer = slurm.readQueue(recorded(`queue-${name}`), prefix)
      ok(!answer.certain && answer.why.startsWith('squeue '), name)
    }
  })

  it('HB-19: squeue --json, which answers a dead controller with code 0 and no jobs, would not be believed', () => {
    const lie = recorded('squeue-json-controller-down')
    equal(lie.code, 0)
    equal(slurm.readQueue(lie, prefix).certain, false)
  })

  it('HB-19: a reply cut off inside a record, and a line nobody can read, are unknown', () => {
    const whole = header + row() + row({ id: '8' })
    for (let length = 0; length < whole.length; length++) {
      if (whole.slice(0, length).endsWith('\x1e\n')) continue
      equal(slurm.readQueue(reply(whole.slice(0, length)), prefix).certain, false)
    }
    equal(slurm.readQueue(reply(`${header}7\x1fPENDING\x1e\n`), prefix).certain, false)
    equal(slurm.readQueue(reply(header + row({ id: 'seven' })), prefix).certain, false)
    equal(slurm.readQueue(reply(`CLUSTER: lab\n${header}`), prefix).certain, false)
  })

  it('HB-19: a site that rewrites comments hides nothing: the argument of the script tells as well', () => {
    const answer = slurm.readQueue(
      reply(header + row({ command: `/w/run.sh ${prefix}default/n1`, comment: 'site: gpu' })),
      prefix,
    )
    deepEqual(answer, { certain: true, value: [{ nativeId: '7', identity: `${prefix}default/n1`, state: 'pending' }] })
    const appended = slurm.readQueue(reply(header + row({ comment: `${prefix}default/n1 checked by site` })), prefix)
    equal(appended.certain && appended.value[0]?.identity, `${prefix}default/n1`)
  })

  it('MT-22: all 24 states, and one nobody knows: finished ones are left out, an unknown one never is', () => {
    const table = {
      pending: 'PENDING CONFIGURING REQUEUED REQUEUE_FED REQUEUE_HOLD RESV_DEL_HOLD SPECIAL_EXIT',
      running: 'RUNNING RESIZING SIGNALING STOPPED SUSPENDED',
      ending: 'COMPLETING STAGE_OUT',
      unknown: 'REVOKED NEW_IN_30.05 constructor toString',
      finished: 'BOOT_FAIL CANCELLED COMPLETED DEADLINE FAILED NODE_FAIL OUT_OF_MEMORY PREEMPTED TIMEOUT',
    }
    for (const [state, list] of Object.entries(table)) {
      for (const word of list.split(' ')) {
        const answer = slurm.readQueue(reply(header + row({ state: word })), prefix)
        deepEqual(answer.certain && answer.value.map((found) => found.state), state === 'finished' ? [] : [state], word)
      }
    }
    const words = Object.values(table).join(' ').split(' ')
    equal(words.filter((word) => /^[A-Z_]+$/.test(word)).length, 24)
  })

  it('MT-22: recorded states: ending, suspended, requeued and held', () => {
    deepEqual(
      queue('queue-completing').map(({ state }) => state),
      ['ending', 'pending'],
    )
    deepEqual(
      queue('queue-suspended').map(({ state, reason }) => [state, reason]),
      [['running', 'SUSPENDED']],
    )
    deepEqual(
      queue('queue-requeued').map(({ state, reason, stuck }) => [state, reason, stuck]),
      [['pending', 'BeginTime', undefined]],
    )
    deepEqual(
      queue('queue-het')
        .map(({ nativeId }) => nativeId)
        .sort(),
      ['1+0', '1+1'],
    )
    // sbatch had said "Socket timed out" (submit-controller-hung): here it is all the same.
    deepEqual(
      queue('queue-after-controller-hung').map(({ nativeId }) => nativeId),
      ['2'],
    )
  })

  it('HB-20: why an allocation waits, recorded: what can never start is stuck, and each says what to do', () => {
    const told = (name: string) => queue(name).map(({ reason, stuck, hint }) => ({ reason, stuck, hint }))
    deepEqual(told('queue-partition-time-limit'), [
      {
        reason: 'PartitionTimeLimit',
        stuck: true,
        hint: 'time 2d is above the limit of partition dl: lower lanes.default.time',
      },
    ])
    const table: Record<string, readonly (readonly [string, boolean | undefined])[]> = {
      'queue-partition-down': [['PartitionDown', false]],
      'queue-partition-inactive': [['PartitionInactive', false]],
      'queue-node-limit': [['PartitionNodeLimit', true]],
      'queue-held-user': [['JobHeldUser', true]],
      'queue-held-admin': [['JobHeldAdmin', true]],
      'queue-requeued-held': [['job requeued in held state', true]],
      'queue-special-exit': [['job requeued in held state', true]],
      'queue-dependencies': [
        ['BeginTime', undefined],
        ['Dependency', undefined],
        ['Dependency', undefined],
        ['DependencyNeverSatisfied', true],
      ],
      'queue-node-drained': [
        ['Nodes required for job are DOWN, DRAINED or reserved for jobs in higher priority partitions', false],
        ['ReqNodeNotAvail, UnavailableNodes:gpu001', false],
      ],
    }
    for (const [name, rows] of Object.entries(table)) {
      deepEqual(
        told(name).map(({ reason, stuck }) => [reason, stuck]),
        rows,
        name,
      )
      for (const { stuck, hint } of told(name)) equal(hint === undefined, stuck === undefined)
    }
  })

  it('HB-20: why an allocation waits, from documentation: limits of one allocation are stuck, limits of a group pass', () => {
    const stuck = (reason: string) => {
      const answer = slurm.readQueue(reply(header + row({ reason })), prefix)
      return answer.certain ? answer.value[0]?.stuck : answer.why
    }
    for (const reason of [
      ...[
        'QOSMaxWallDurationPerJobLimit',
        'QOSMaxGRESPerJob',
        'AssocMaxCpuPerJobLimit',
        'AssocMaxMemPerNode',
        'QOSMinGRES',
      ],
      ...[
        'BadConstraints',
        'InvalidAccount',
        'AccountNotAllowed',
        'InvalidQOS',
        'QOSNotAllowed',
        'ReservationDeleted',
        'DeadLine',
      ],
      ...[
        'launch failed requeued held',
        'user env retrieval failed requeued held',
        'JobHoldMaxRequeue',
        'MaxMemPerLimit',
      ],
    ])
      equal(stuck(reason), true, reason)
    for (const reason of [
      ...[
        'QOSGrpCpuLimit',
        'QOSGrpGRESMinutes',
        'AssocGrpCPUMinutesLimit',
        'AssocGrpGRES',
        'AssocMaxJobsLimit',
        'QOSMaxJobsPerUserLimit',
      ],
      ...[
        'QOSMaxGRESPerUser',
        'MaxGRESPerAccount',
        'PartitionConfig',
        'ReqNodeNotAvail, Reserved for maintenance',
        'Licenses',
      ],
    ])
      equal(stuck(reason), false, reason)
    for (const reason of ['Resources', 'Priority', 'None', '(null)', 'Cleaning', 'A reason of a later Slurm'])
      equal(stuck(reason), undefined, reason)
  })
})

describe('slurm.readCancel()', () => {
  it('MI-11: gone already is as good as sent; anything else that failed is unknown', () => {
    for (const name of ['cancel-running', 'cancel-finished', 'cancel-unknown'])
      deepEqual(slurm.readCancel(recorded(name)), { certain: true, value: 'sent' }, name)
    for (const name of [
      'cancel-bad-id',
      'cancel-not-ours',
      'cancel-controller-down',
      'cancel-controller-hung',
      'cancel-munge-down',
    ])
      equal(slurm.readCancel(recorded(name)).certain, false, name)
    const gone = 'scancel: error: Kill job error on job id 9: Invalid job id specified\n'
    deepEqual(slurm.readCancel(reply('', { code: 1, stderr: gone })), { certain: true, value: 'sent' })
    for (const id of ['', 'abc', '-u', '1 2', '7\n', '--me'])
      throws(() => slurm.cancelCommand(id), /not an id of Slurm/)
  })
})

describe('slurm.readCheck()', () => {
  it('MI-10: version and partitions come from the controller; a dead one is unknown', () => {
    deepEqual(slurm.readCheck(recorded('check-ok')), {
      certain: true,
      value: { version: '22.05.8', queues: ['dl', 'general'] },
    })
    for (const name of ['check-controller-down', 'check-controller-hung', 'check-munge-down'])
      equal(slurm.readCheck(recorded(name)).certain, false, name)
  })
})

describe('slurm.readEnds()', () => {
  it('promise 3: which of the 24 states tell what ended an allocation from outside, and no other word does', () => {
    const told = { CANCELLED: 'cancelled', PREEMPTED: 'preempted', TIMEOUT: 'walltime', ' timeout ': 'walltime' }
    const untold =
      'PENDING CONFIGURING REQUEUED REQUEUE_FED REQUEUE_HOLD RESV_DEL_HOLD SPECIAL_EXIT RUNNING RESIZING SIGNALING STOPPED SUSPENDED ' +
      'COMPLETING STAGE_OUT REVOKED BOOT_FAIL COMPLETED DEADLINE FAILED NODE_FAIL OUT_OF_MEMORY NEW_IN_30.05 constructor toString'
    const identity = `${prefix}default/n1`
    for (const [state, end] of Object.entries(told))
      deepEqual(slurm.readEnds(reply(header + row({ state })), prefix), [{ identity, end }], state)
    for (const state of untold.split(' ')) deepEqual(slurm.readEnds(reply(header + row({ state })), prefix), [], state)
  })

  it('promise 3: recorded books: a cancelled allocation, those cancelled with KILL only, one at its walltime, one preempted', () => {
    const identity = (nonce: string) => `${prefix}default/${nonce}`
    deepEqual(slurm.readEnds(recorded('queue-only-finished'), prefix), [
      { identity: identity('00000001'), end: 'cancelled' },
    ])
    // beside two that failed: a batch script that was killed, by `scancel --batch --signal=KILL` and by itself
    deepEqual(slurm.readEnds(recorded('queue-ended'), prefix), [
      { identity: identity('00000001'), end: 'cancelled' },
      { identity: identity('00000002'), end: 'cancelled' },
      { identity: identity('00000005'), end: 'walltime' },
      { identity: identity('00000006'), end: 'preempted' },
    ])
    deepEqual(slurm.readEnds(recorded('queue-ended'), 'hpc-batch/another/'), [])
    deepEqual(slurm.readQueue(recorded('queue-ended'), prefix), { certain: true, value: [] })
  })

  it('promise 3: an answer that is no answer tells of no end', () => {
    const whole = header + row({ state: 'CANCELLED' }) + row({ state: 'PREEMPTED' })
    for (const more of [{ code: 1 }, { timedOut: true }, { stderr: 'slurm_load_jobs error: Socket timed out\n' }])
      deepEqual(slurm.readEnds(reply(whole, more), prefix), [])
    deepEqual(slurm.readEnds(reply(whole.slice(0, -1)), prefix), [])
  })
})

describe('slurm and any reply', () => {
  describeReplies('slurm', slurm)

  it('HB-19: slurm: rows of our format with anything in them are read or unknown, and ours are never dropped', () => {
    const word = fc.string({ unit: 'binary', maxLength: 12 }).map((text) => text.replaceAll(/[\x1e\x1f]/g, ' '))
    const fields = fc.record({ reason: word, start: word, partition: word, limit: word, command: word, state: word })
    fc.assert(
      fc.property(fc.array(fields, { maxLength: 5 }), (rows) => {
        const answer = slurm.readQueue(reply(header + rows.map((each) => row(each)).join('')), prefix)
        const finished =
          /^\s*(BOOT_FAIL|CANCELLED|COMPLETED|DEADLINE|FAILED|NODE_FAIL|OUT_OF_MEMORY|PREEMPTED|TIMEOUT)\s*$/i
        const live = rows.filter(({ state }) => !finished.test(state)).length
        equal(answer.certain && answer.value.length, live)
      }),
    )
  })
})

describe('schedulerFor()', () => {
  it('MI-07: gives the driver of that name, or says which there are', () => {
    equal(schedulerFor('slurm'), slurm)
    equal(schedulerFor('local').name, 'local')
    throws(() => schedulerFor('pbs'), { code: 'config' })
  })
})
