/**
 * Slurm: sbatch, squeue, scancel and sinfo as pairs of command and reply. Seen on 22.05.8 and 24.11.5; needs
 * 20.02 or later (`squeue --me`): an older squeue refuses the option, which is then an unknown queue and no submission.
 * The one rule: only what a reply proves is certain. So squeue is asked for its header (an empty reply proves nothing), each record
 * carries its own end mark, and of a failed sbatch only the controller's own "no" means that nothing was created.
 */

import { HpcError, quoted } from '../contract/errors.ts'
import { renderDuration } from '../contract/units.ts'
import type { Allocation, AllocationState, Answer, Command, Reply, Scheduler, Submission } from './scheduler.ts'

/** Between fields and after each record: reasons hold blanks, commas and plugin text, comments of the user's other jobs hold anything. */
const fieldEnd = '\x1f'
const recordEnd = '\x1e'
const queueFields = ['%i', '%T', '%r', '%S', '%P', '%l', '%o', '%k'] as const
const queueFormat = queueFields.join(fieldEnd) + recordEnd

/**
 * The tools take defaults from the environment, and a login shell often sets some: with SQUEUE_PARTITION=dl squeue answers "nothing" with
 * code 0 about every other partition (seen on 22.05.8). All that narrows or reshapes an answer, or sends the tools to different clusters,
 * is dropped; what only adds a default a site needs (SBATCH_ACCOUNT, SBATCH_RESERVATION, SLURM_CONF) stays.
 */
const readingDefaults = [
  ...['ACCOUNT', 'ARRAY', 'ARRAY_UNIQUE', 'FEDERATION', 'FORMAT', 'FORMAT2', 'LICENSES', 'LOCAL', 'NAMES', 'PARTITION'],
  ...['PRIORITY', 'QOS', 'SIB', 'SIBLING', 'SORT', 'STATES', 'USERS'],
]
  .flatMap((name) => [`SQUEUE_${name}`, `SINFO_${name}`])
  .concat('SLURM_CLUSTERS', 'SLURM_TIME_FORMAT')
const cancelDefaults = [
  ...['ACCOUNT', 'BATCH', 'CRON', 'CTLD', 'FULL', 'HURRY', 'INTERACTIVE', 'NAME', 'PARTITION', 'QOS', 'STATE', 'USER'],
  'WCKEY',
]
  .map((name) => `SCANCEL_${name}`)
  .concat('SLURM_CLUSTERS')

/**
 * What an allocation inherits: `--export=ALL`, less what belongs to the login session or would change what sbatch does.
 * NONE, NIL and a list of names look safer and are not: each makes slurmd run a login shell as the user on the node before the job (seen
 * on 22.05.8, NIL too), and a profile slower than the site's GetEnvTimeout (2 s in older versions) ends in "user env retrieval failed
 * requeued held"; they also set SLURM_EXPORT_ENV, with which `srun` inside the allocation starts steps without any environment.
 * ALL is what a user's own sbatch does, so BASH_ENV, MODULEPATH and the `module` function arrive where the site exports them; a
 * trampoline that needs `module` and lacks it sources /etc/profile. No secret of the gateway is there to leak: the queuer's environment is
 * the HPC login's. Jobs get their own allow-list from the runner.
 */
const sessionVariables = [
  ...['TMPDIR', 'XDG_RUNTIME_DIR', 'XDG_SESSION_ID', 'DBUS_SESSION_BUS_ADDRESS', 'DISPLAY', 'XAUTHORITY'],
  ...['SSH_AUTH_SOCK', 'SSH_CLIENT', 'SSH_CONNECTION', 'SSH_TTY', 'SSH_ORIGINAL_COMMAND'],
  ...['SBATCH_WAIT', 'SBATCH_ARRAY_INX', 'SBATCH_GET_USER_ENV', 'SBATCH_CLUSTERS', 'SLURM_CLUSTERS'],
]

/** Options that would break the bond between what we submit and what we later find: each with the reason the operator is told. */
const refusedOptions: readonly (readonly [RegExp, string])[] = [
  [/^(--wait$|-[a-zA-Z]*W)/, 'sbatch would only return at the end of the allocation'],
  [/^--test-only$/, 'nothing would be submitted'],
  [/^--wrap(=|$)/, 'it replaces the script'],
  [/^(--array(=|$)|-a)/, 'one submission must be one allocation'],
  [/^(--clusters(=|$)|-M)/, 'squeue and scancel would ask another cluster'],
  [/^(--help|--usage|--version|-h|-V|-u)$/, 'nothing would be submitted'],
]

export const slurm: Scheduler = {
  name: 'slurm',

  submitCommand(request) {
    const words: string[] = ['env', ...sessionVariables.flatMap((name) => ['-u', name]), 'sbatch']
    const option = (name: string, value: string | undefined) => {
      if (value !== undefined) words.push(name, plainValue(name, value))
    }
    // The lane's shape, then the site's options (a later option wins), then what we must be able to rely on.
    option('-p', request.queue)
    option('--gres', request.gres)
    option('--mem', request.memoryBytes === undefined ? undefined : renderMemory(request.memoryBytes))
    option('-t', request.walltimeMs === undefined ? undefined : String(Math.ceil(request.walltimeMs / 60_000)))
    option('--cpus-per-task', request.cpus === undefined ? undefined : String(request.cpus))
    option('-N', request.nodes === undefined ? undefined : String(request.nodes))
    if (request.email !== undefined) {
      option('--mail-type', 'ALL')
      option('--mail-user', request.email)
    }
    words.push(...siteOptions(request.options))
    // --parsable stands first: an option of the site that misses its value swallows it, and then sbatch answers in its long form.
    words.push('--parsable', '--no-requeue', '--export=ALL')
    option('-J', request.name)
    option('--comment', request.identity)
    option('-D', absolute('-D', request.workDir))
    option('-o', logPattern('-o', request.stdoutPath))
    option('-e', logPattern('-e', request.stderrPath))
    const warnSeconds = Math.min(Math.ceil(request.warnSeconds), 65_535)
    if (warnSeconds > 0) option('--signal', `B:USR2@${warnSeconds}`)
    words.push(absolute('script', request.script), plainValue('identity', request.identity))
    return command(words)
  },

  readSubmission(reply): Submission {
    const nativeId = submittedId(reply.stdout)
    if (nativeId !== undefined && (reply.code === 0 || reply.code === null)) return { outcome: 'submitted', nativeId }
    const why = whyOf('sbatch', reply)
    if (reply.timedOut || reply.code === null || reply.code === 0 || nativeId !== undefined)
      return { outcome: 'ambiguous', why }
    // sbatch never started: not there, or (EAGAIN, ENOMEM) this machine could not fork.
    if (reply.code === 126 || reply.code === 127)
      return { outcome: 'refused', why, permanent: !/EAGAIN|ENOMEM/.test(reply.stderr) }
    return verdictOn(reply.stderr, why)
  },

  queueCommand() {
    // --all: jobs in hidden partitions too. --states=all: which states count as gone is decided here, by one table.
    return command([...withoutDefaults(readingDefaults), 'squeue', '--me', '--all', '--states=all', '-o', queueFormat])
  },

  readQueue(reply, identityPrefix) {
    const records = recordsOf('squeue', reply, queueFields.length, 'JOBID')
    if (!records.certain) return records
    const allocations: Allocation[] = []
    for (const [
      id = '',
      state = '',
      reason = '',
      start = '',
      partition = '',
      limit = '',
      job = '',
      comment = '',
    ] of records.value) {
      const identity = identityOf(comment, job, identityPrefix)
      if (identity === undefined) continue
      const known = states[state.trim().toUpperCase()] ?? 'unknown'
      if (known === 'finished') continue
      const nativeId = id.trim()
      if (!nativeIdForm.test(nativeId)) return unknown(`squeue gave the id ${quoted(nativeId)}`)
      allocations.push(allocation(nativeId, identity, known, { state, reason, start, partition, limit }))
    }
    return { certain: true, value: allocations }
  },

  cancelCommand(nativeId) {
    if (!nativeIdForm.test(nativeId)) throw new HpcError('bug', `Cannot cancel ${quoted(nativeId)}: not an id of Slurm`)
    return command([...withoutDefaults(cancelDefaults), 'scancel', nativeId])
  },

  readCancel(reply) {
    if (reply.timedOut || reply.code === null) return unknown(whyOf('scancel', reply))
    if (reply.code === 0) return { certain: true, value: 'sent' }
    // Gone already is what was wanted. 22.05 says nothing at all then; other versions complain.
    const complaints = lines(reply.stderr)
    const gone = /Invalid job id specified|already completing or completed|already finished/i
    if (complaints.length > 0 && complaints.every((line) => gone.test(line))) return { certain: true, value: 'sent' }
    return unknown(whyOf('scancel', reply))
  },

  checkCommand() {
    // One call that only the controller can answer: partitions, and the version its nodes run.
    const format = ['%R', '%v', '%a'].join(fieldEnd) + recordEnd
    return command([...withoutDefaults(readingDefaults), 'sinfo', '--all', '-o', format])
  },

  readCheck(reply) {
    const records = recordsOf('sinfo', reply, 3, 'PARTITION')
    if (!records.certain) return records
    const versions = records.value.map(([, version = '']) => version.trim()).filter((version) => /^\d/.test(version))
    const queues = [...new Set(records.value.map(([partition = '']) => partition.trim()))]
    return { certain: true, value: { version: versions.sort().at(-1) ?? 'unknown', queues } }
  },

  environment:
    'NATIVE_ID="$SLURM_JOB_ID"\nRESTART="${SLURM_RESTART_COUNT:-0}"\nNODE="${SLURMD_NODENAME:-$(uname -n)}"\n',
}

// ---------------------------------------------------------------- states and reasons

/** Every state `squeue %T` can print (slurm_protocol_defs.c, job_state_string). What is not here is unknown: neither running nor gone. */
const states: Readonly<Record<string, AllocationState | 'finished'>> = {
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

interface Wait {
  readonly partition: string
  readonly limit: string
  readonly lane: string
  readonly id: string
}

/** Why an allocation waits: the reason, whether it can never start unless somebody acts on *it*, and what to do. First match counts. */
const waits: readonly (readonly [RegExp, 'stuck' | 'waits', (wait: Wait) => string])[] = [
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
function waitOf(reason: string, wait: Wait): { stuck: boolean; hint: string } | undefined {
  const row = waits.find(([pattern]) => pattern.test(reason))
  return row === undefined ? undefined : { stuck: row[1] === 'stuck', hint: row[2](wait) }
}

interface Row {
  readonly state: string
  readonly reason: string
  readonly start: string
  readonly partition: string
  readonly limit: string
}

function allocation(nativeId: string, identity: string, state: AllocationState, row: Row): Allocation {
  const given = row.reason.trim()
  const idle = given === '' || given === 'None' || given === '(null)'
  // A state that says more than ours does is the reason when Slurm gives none.
  const reason = idle
    ? ['PENDING', 'RUNNING', 'COMPLETING'].includes(row.state.trim())
      ? undefined
      : row.state.trim()
    : given
  // the lane as the config names it: what follows its name there is the digest of its shape
  const lane = identity.split('/')[2]?.replace(/-[0-9a-f]{8}$/, '') ?? 'default'
  const wait =
    state === 'pending' && !idle
      ? waitOf(given, { ...row, partition: row.partition.trim(), lane, id: nativeId })
      : undefined
  return {
    nativeId,
    identity,
    state,
    ...(reason === undefined ? {} : { reason }),
    ...(wait === undefined ? {} : wait),
    ...(state === 'pending' && /^\d{4}-\d\d-\d\dT[\d:]+$/.test(row.start.trim())
      ? { estimatedStart: row.start.trim() }
      : {}),
  }
}

/** `8:00:00` → `8h`, `1-02:30:00` → `1d2h30m`; as it stands when it is no time (`UNLIMITED`). */
function readableLimit(limit: string): string {
  const match = /^(?:(\d+)-)?(?:(\d+):)?(\d+):(\d+)$/.exec(limit.trim())
  if (match === null) return limit.trim()
  const [d, h, m, s] = match.slice(1).map((part) => Number(part ?? 0)) as [number, number, number, number]
  return renderDuration((((d * 24 + h) * 60 + m) * 60 + s) * 1000)
}

// ---------------------------------------------------------------- replies

/** `123`, of an array `123_4` or `123_[1-9%2]`, of a heterogeneous job `123+1`. */
const nativeIdForm = /^\d{1,10}(?:_(?:\d{1,10}|\[[\d,\-:%.]+\]))?(?:\+\d{1,4})?$/

const unknown = (why: string): { readonly certain: false; readonly why: string } => ({ certain: false, why })
const lines = (text: string) => text.split('\n').filter((line) => line.trim() !== '')

function whyOf(tool: string, reply: Reply): string {
  if (reply.timedOut) return `${tool} did not answer in time`
  const said = lines(reply.stderr).at(-1) ?? lines(reply.stdout).at(-1) ?? ''
  const how = reply.code === null ? 'was killed' : `exited with ${reply.code}`
  return said === '' ? `${tool} ${how} and said nothing` : `${tool} ${how}, ${quoted(said, 300)}`
}

/** The records under the header, which must be there: without it the tool did not get as far as printing an answer. */
function recordsOf(tool: string, reply: Reply, width: number, header: string): Answer<readonly (readonly string[])[]> {
  if (reply.timedOut || reply.code !== 0) return unknown(whyOf(tool, reply))
  const complaint = lines(reply.stderr).find((line) =>
    /(\b\w+:|^slurm_\w+) (error|fatal):?|^slurm_load_\w+ error/i.test(line),
  )
  if (complaint !== undefined) return unknown(`${tool} said ${quoted(complaint, 300)}`)
  const records = reply.stdout.split(`${recordEnd}\n`)
  if (records.pop() !== '') return unknown(`${tool} gave an answer that is cut off`)
  const rows = records.map((record) => record.split(fieldEnd))
  if (rows[0]?.[0]?.trim() !== header) return unknown(`${tool} gave an answer without its header`)
  const broken = rows.find((row) => row.length !== width)
  if (broken !== undefined) return unknown(`${tool} gave the line ${quoted(broken.join('|'))}`)
  return { certain: true, value: rows.slice(1) }
}

/** Ours by its comment; where a site's submit plugin rewrites comments, by the argument of its script (22.05 shows it, 24.11 does not). */
function identityOf(comment: string, job: string, prefix: string): string | undefined {
  const words = [comment.trim().split(/\s/)[0], job.trim().split(/\s/).at(-1)]
  return words.find((word) => word?.startsWith(prefix))
}

/** The id when sbatch certainly printed one: a whole line `123` or `123;cluster`, or the long form; never of two different ones. */
function submittedId(stdout: string): string | undefined {
  const found = [...stdout.matchAll(/^(?:Submitted batch job )?([1-9]\d{0,9})(?:;[\w.-]+| on cluster [\w.-]+)?\n/gm)]
  const ids = new Set(found.map((match) => match[1]))
  return ids.size === 1 ? [...ids][0] : undefined
}

/**
 * After a failed sbatch the job may exist all the same: with the controller hung, 22.05.8 said "Socket timed out" and the job ran later.
 * The controller's own refusals, and errors sbatch finds before it calls, leave nothing behind; each row says whether only a change of
 * config can help. What is not listed is ambiguous.
 */
const refusals: readonly (readonly [RegExp, 'permanent' | 'passing'])[] = [
  // The controller's answers (slurm_errno.c), after "Batch job submission failed: ".
  [/Invalid partition name specified|No partition specified or system default partition/i, 'permanent'],
  [/Requested node configuration is not available/i, 'permanent'],
  [/Invalid account or account\/partition combination|Invalid qos specification|Invalid wckey/i, 'permanent'],
  [
    /Invalid generic resource \(gres\) specification|Invalid GRES specification|Duplicate generic resource/i,
    'permanent',
  ],
  [/Invalid (feature|license|Trackable RESource|nice|job array) ?/i, 'permanent'],
  [/Memory (required by task|specification)|(Node|CPU|Task) count specification invalid/i, 'permanent'],
  [/More processors requested than permitted|Requested nodes not in this partition|Invalid node name/i, 'permanent'],
  [/Requested time limit is invalid|Invalid time specified|Invalid time limit/i, 'permanent'],
  [/User's group not permitted to use this partition|Access\/permission denied/i, 'permanent'],
  [/Requested reservation is invalid|Access denied to requested reservation/i, 'permanent'],
  [/Job size specification needs to be provided|Job dependency problem|Pathname .* too long/i, 'permanent'],
  [/Required partition not available \(inactive or drain\)|Partition in DOWN state/i, 'passing'],
  [/Requested partition configuration not available now|Required node not available/i, 'passing'],
  [/Job violates accounting\/QOS policy|Requested account has breached|QOSMaxSubmitJob|AssocMaxSubmitJob/i, 'passing'],
  [/MaxJobCount limit reached|Slurm job queue full|System submissions disabled|presently disabled/i, 'passing'],
  [/Rate limit exceeded|Licenses currently unavailable|Requested reservation (not usable|is in use)/i, 'passing'],
  [/I\/O error writing script\/environment to file|Error generating job credential/i, 'passing'],
  // Found by sbatch itself before it calls the controller.
  [/does not look like a batch script|Batch script contains DOS line breaks|Batch script is empty/i, 'permanent'],
  [/unrecognized option|invalid option|requires an argument|option .* is ambiguous|mutually exclusive/i, 'permanent'],
  [/sbatch: (error|fatal): (Invalid|Bad|Unknown|Unable to parse) /i, 'permanent'],
  [/Script arguments (are )?not permitted/i, 'permanent'],
  [/Unable to open file|Could not establish a configuration source|unable to process configuration/i, 'passing'],
  // slurm_send_recv_controller_msg: this one error means that no connection was ever made, so nothing was sent.
  [/Unable to contact slurm controller \(connect failure\)/i, 'passing'],
]

/** Words of trouble on the way. One of them anywhere, and the request may have arrived. Munge can fail on the reply as well as the request. */
const onTheWay =
  /timed out|(send|receive|shutdown) failure|Zero Bytes|munge|authentication error|Unexpected message|retrying|Connection (reset|closed|refused)|communication/i

function verdictOn(stderr: string, why: string): Submission {
  if (onTheWay.test(stderr)) return { outcome: 'ambiguous', why }
  const failed = /Batch job submission failed: (.*)/.exec(stderr)?.[1]
  const row = refusals.find(([pattern]) => pattern.test(failed ?? stderr))
  if (row === undefined) return { outcome: 'ambiguous', why }
  return { outcome: 'refused', why, permanent: row[1] === 'permanent' }
}

// ---------------------------------------------------------------- words of a command

function command(words: readonly string[]): Command {
  return { argv: words as [string, ...string[]] }
}

const withoutDefaults = (names: readonly string[]) => ['env', ...names.flatMap((name) => ['-u', name])]

/** sbatch takes the word after an option as its value whatever it is; one that looks like an option is a mistake all the same. */
function plainValue(name: string, value: string): string {
  if (value === '' || value.startsWith('-') || /[\0\n\r]/.test(value))
    throw new HpcError('config', `Cannot submit: ${quoted(value)} cannot be a value of ${name}`)
  return value
}

function absolute(name: string, path: string): string {
  if (!path.startsWith('/'))
    throw new HpcError('config', `Cannot submit: the path ${quoted(path)} of ${name} is not absolute`)
  return plainValue(name, path)
}

/** The log of an allocation is `<path>.<native id>`, a new one for each. */
function logPattern(name: string, path: string): string {
  // One backslash in a pattern makes Slurm write to the pattern as it stands.
  if (path.includes('\\')) throw new HpcError('config', `Cannot submit: the path ${quoted(path)} has a backslash`)
  return `${absolute(name, path).replaceAll('%', '%%')}.%j`
}

/** Whole gigabytes as `32G`, which scontrol then shows as MinMemoryNode=32G; anything else in megabytes, rounded up. */
function renderMemory(bytes: number): string {
  const megabytes = Math.ceil(bytes / 1024 ** 2)
  return megabytes % 1024 === 0 ? `${megabytes / 1024}G` : `${megabytes}M`
}

function siteOptions(options: readonly string[]): readonly string[] {
  const refuse = (option: string, why: string): never => {
    throw new HpcError('config', `Cannot submit: the option ${quoted(option)} cannot be used, ${why}`, {
      hint: 'change "options" of the scheduler',
    })
  }
  for (const [index, option] of options.entries()) {
    if (option === '' || /[\0\n\r]/.test(option)) refuse(option, 'it is empty or holds a line break')
    const reason = refusedOptions.find(([pattern]) => pattern.test(option))?.[1]
    if (reason !== undefined) refuse(option, reason)
    // A bare word is the value of the option before it, or sbatch would take it for the script.
    const before = options[index - 1]
    if (!option.startsWith('-') && (before === undefined || !/^(-[A-Za-z]|--[a-z-]+)$/.test(before)))
      refuse(option, 'it belongs to no option')
    if (option === '--' || option === '-') refuse(option, 'it ends the options')
  }
  return options
}
