/**
 * Slurm: sbatch, squeue, scancel and sinfo as pairs of command and reply. Seen on 22.05.8 and 24.11.5; needs
 * 20.02 or later (`squeue --me`): an older squeue refuses the option, which is then an unknown queue and no submission.
 * The one rule: only what a reply proves is certain. So squeue is asked for its header (an empty reply proves nothing), each record
 * carries its own end mark, and of a failed sbatch only the controller's own "no" means that nothing was created.
 */

import { HpcError, quoted } from '../contract/errors.ts'
import type { Allocation, AllocationState, Answer, Command, Reply, Scheduler, Submission } from './scheduler.ts'
import { verdictOn } from './slurm-refusals.ts'
import { ends, states, waitOf } from './slurm-states.ts'

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
export const readingDefaults = [
  ...['ACCOUNT', 'ARRAY', 'ARRAY_UNIQUE', 'FEDERATION', 'FORMAT', 'FORMAT2', 'LICENSES', 'LOCAL', 'NAMES', 'PARTITION'],
  ...['PRIORITY', 'QOS', 'SIB', 'SIBLING', 'SORT', 'STATES', 'USERS'],
]
  .flatMap((name) => [`SQUEUE_${name}`, `SINFO_${name}`])
  .concat('SLURM_CLUSTERS', 'SLURM_TIME_FORMAT')
export const cancelDefaults = [
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

  readEnds(reply, identityPrefix) {
    const records = recordsOf('squeue', reply, queueFields.length, 'JOBID')
    if (!records.certain) return []
    return records.value.flatMap(([, state = '', , , , , job = '', comment = '']) => {
      const identity = identityOf(comment, job, identityPrefix)
      const end = ends.get(state.trim().toUpperCase())
      return identity === undefined || end === undefined ? [] : [{ identity, end }]
    })
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

export function command(words: readonly string[]): Command {
  return { argv: words as [string, ...string[]] }
}

export const withoutDefaults = (names: readonly string[]) => ['env', ...names.flatMap((name) => ['-u', name])]

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
