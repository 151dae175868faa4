/** Every key of the configuration, declared once: its schema, its default, and the sentence that documents it. */
import * as z from 'zod'
import { didYouMean } from '../contract/suggest.ts'
import {
  type Base,
  duration,
  field,
  found,
  group,
  list,
  longDuration,
  mapping,
  matching,
  memory,
  memoryOrNone,
  mode,
  name,
  oneOrMore,
  resolvePath,
  scalar,
  section,
  switchedOn,
  text,
  whole,
  withoutBlanks,
  word,
} from './config-values.ts'
export const laneDefaults = { time: '8h', margin: '5m' } as const

export function declare(base: Base) {
  const path = scalar('a path', (value) => resolvePath(value, base))
  const agent = scalar('"true", "false" or the path of a socket', (value) =>
    value === 'true' || value === 'false' ? value === 'true' : resolvePath(value, base),
  )
  const sshConfig = scalar('"false" or a path', (value) =>
    value === 'false' ? false : value === 'true' ? undefined : resolvePath(value, base),
  )
  const driver = scalar(
    '"slurm" or "local"',
    (value) => (value === 'slurm' || value === 'local' ? value : undefined),
    (value) =>
      value === 'sge' || value === 'lsf' ? ', which is not yet supported' : didYouMean(value, ['slurm', 'local']),
  )
  const port = scalar('a port number', (value) =>
    /^[1-9]\d{0,4}$/.test(value) && Number(value) < 65_536 ? Number(value) : undefined,
  )
  const hostKey = matching(
    'a fingerprint "SHA256:…" or a public key "ssh-ed25519 AAAA…"',
    /^(?:SHA256:[A-Za-z0-9+/]{43}=?|(?:ssh|ecdsa|sk)-\S+ AAAA[A-Za-z0-9+/]+=*(?: .*)?)$/,
  )
  const jump = /(?:[^\s@,-][^\s@,]*@)?(?:\[[0-9A-Fa-f:.]+\]|[^\s@:,[\]-][^\s@:,[\]]*)(?::\d{1,5})?/.source
  const jumps = matching('"[user@]host[:port]", several separated by commas', new RegExp(`^${jump}(?:,${jump})*$`))
  const value = z.string({ error: (issue) => `expected text, found ${found(issue.input)}` }).meta({ expected: 'text' })

  const paths = {
    inputs: field('inputs', list(path).prefault([]), 'Folders that inputs of other users’ jobs may lie in.'),
    outputs: field('outputs', list(path).prefault([]), 'Folders that outputs of other users’ jobs may be put in.'),
  }
  const ownerLimits = {
    jobs: field(
      'jobs',
      whole(1).optional(),
      'How many jobs one owner may have in flight; more wait their turn. No limit when not given.',
    ),
  }
  const owners = {
    limits: field('limits', group(ownerLimits).prefault({}), 'What each owner of job files may have at most.'),
    trusted: field('trusted', list(word).prefault([]), 'Users whose jobs the limits of owners do not hold for.'),
  }

  const ssh = {
    type: field('type', z.literal('ssh'), 'The site is reached by ssh.'),
    host: field('host', word, 'Name or address of the login node, or a `Host` of the ssh config.'),
    port: field('port', port.optional(), 'Port of its ssh server. Else what the ssh config says, else 22.'),
    user: field(
      'user',
      word.optional(),
      'Account there. Else what the ssh config says, else the name of the account here.',
    ),
    key_file: field(
      'keyFile',
      path.optional(),
      'Private key to log in with. Else those of the ssh config, else the usual ones in `~/.ssh`.',
    ),
    passphrase: field(
      'passphrase',
      text.optional(),
      'Passphrase of the key. A file that holds one must be readable by its owner only.',
    ),
    passphrase_file: field('passphraseFile', path.optional(), 'File whose first line is the passphrase.'),
    passphrase_env: field(
      'passphraseEnv',
      matching('the name of an environment variable', /^[A-Za-z_][A-Za-z0-9_]*$/).optional(),
      'Environment variable that holds the passphrase.',
    ),
    agent: field(
      'agent',
      agent.optional(),
      'The ssh agent: `false` for none, the path of a socket, else `$SSH_AUTH_SOCK` when it is set (under cron it is not).',
    ),
    known_hosts: field(
      'knownHosts',
      path.optional(),
      'The file of host keys believed; a host key that is neither there nor in `host_key` ends the connection. Else as ssh: `~/.ssh/known_hosts` and the system’s.',
    ),
    host_key: field('hostKey', hostKey.optional(), 'The only host key to believe.'),
    proxy_jump: field(
      'proxyJump',
      jumps.optional(),
      'Hosts to go through, in order, as ssh’s ProxyJump; `none` for no ProxyJump of the ssh config.',
    ),
    ssh_config: field(
      'sshConfig',
      sshConfig.optional(),
      'The OpenSSH client config that says what is not said here: its path, or `false` for none. Else `~/.ssh/config` and the system’s.',
    ),
    connect_timeout: field(
      'connectTimeoutMs',
      longDuration.optional(),
      'How long connecting may take. Else what the ssh config says, else 20s.',
    ),
    keepalive: field(
      'keepaliveMs',
      duration.optional(),
      'How often the connection is asked whether it still lives; `0s` is never. Else what the ssh config says, else 15s.',
    ),
    stall: field('stallMs', longDuration.prefault('60s'), 'A connection without a byte for so long is given up.'),
  }
  const local = {
    type: field(
      'type',
      z.literal('local'),
      'The site is this machine or a file system mounted here: no ssh, no network.',
    ),
  }
  const transport = z.preprocess(
    withoutBlanks([...Object.keys(ssh), ...Object.keys(local)]),
    z.discriminatedUnion('type', [section(ssh), section(local)], {
      error: (issue) =>
        issue.code === 'invalid_union'
          ? `expected "ssh" or "local", found ${found((issue.input as { type?: unknown }).type)}`
          : `expected a mapping such as {type: local}, found ${found(issue.input)}`,
    }),
  )

  const scheduler = {
    type: field(
      'type',
      driver,
      'Who starts allocations there: `slurm`, or `local` for processes without any scheduler. (`sge` and `lsf` are not yet supported.)',
    ),
    queues: field(
      'queues',
      mapping(name, word, 'a mapping of sizes to queues').prefault({}),
      'The queue for each `size` a job may ask for, as `{small: general, large: dl}`.',
    ),
    options: field(
      'options',
      list(matching('one word of the command line', /^[^\n\r\0]+$/)).prefault([]),
      'More options for each submission, one word each, as `["--account=amp"]`.',
    ),
  }
  const hpcEnv = {
    workspace: field(
      'workspace',
      matching('the path of a folder', /^[^\n\r\0]+$/),
      'Folder there for jobs and runners. Absolute at an ssh site; at a local one it may be relative to the config file.',
    ),
    scripts: field('scripts', value.optional(), 'Text for `<<scripts>>` in templates.'),
    containers: field('containers', value.optional(), 'Text for `<<containers>>` in templates.'),
  }
  const lane = {
    queue: field(
      'queue',
      word.optional(),
      'Queue (partition) of its allocations. The scheduler’s default when not given.',
    ),
    gres: field('gres', word.optional(), 'Generic resources, as `gpu:v100:1`.'),
    memory: field(
      'memoryBytes',
      memory.optional(),
      'Memory of an allocation. 32G when not given and the scheduler is slurm.',
    ),
    time: field('timeMs', longDuration.prefault(laneDefaults.time), 'Walltime of an allocation.'),
    margin: field(
      'marginMs',
      duration.prefault(laneDefaults.margin),
      'Before the end of the walltime no job of unknown length is started for so long.',
    ),
    slots: field(
      'slots',
      scalar('a whole number, 1 or more, or "auto"', (value) =>
        value === 'auto' ? 'auto' : /^[1-9]\d{0,5}$/.test(value) ? Number(value) : undefined,
      ).prefault('1'),
      'How many jobs run side by side in one allocation, on all its nodes together; `auto` is one per GPU.',
    ),
    linger: field('lingerMs', duration.prefault('0s'), 'How long a runner with nothing left to do waits for more.'),
    preflight: field(
      'preflight',
      text.optional(),
      'Shell command a runner tries first; when it fails, the lane is unhealthy and no job is started.',
    ),
    cpus: field('cpus', whole(1).optional(), 'CPUs of an allocation.'),
    nodes: field(
      'nodes',
      whole(1).optional(),
      'Nodes of an allocation. Slots go round them, the runner’s own first. With the scheduler `local` at most 1.',
    ),
    email: field(
      'email',
      matching('a mail address', /^[A-Za-z0-9_.+-]+(?:@[A-Za-z0-9.-]+)?$/).optional(),
      'Where the scheduler mails about allocations.',
    ),
  }
  const siteLimits = {
    jobs: field('jobs', whole(1).optional(), 'How many jobs may be at the site at once. No limit when not given.'),
    allocations: field(
      'allocations',
      whole(1).optional(),
      'How many allocations may be queued or running there at once, all lanes together. No limit when not given.',
    ),
  }
  const withDefaultLane = (value: unknown) => {
    const given = withoutBlanks(['auto'])(value)
    const named = typeof given !== 'object' || given === null || Object.keys(given).some((key) => key !== 'auto')
    return named ? given : { ...given, default: {} }
  }
  const laneChoice = {
    auto: field(
      'autoLanes',
      switchedOn.prefault('false'),
      'Make a lane for a job that fits none of the named ones, instead of refusing it. (So no lane can be called `auto`.)',
    ),
  }
  const lanes = z.preprocess(
    withDefaultLane,
    z
      .object(
        { auto: laneChoice.auto.schema },
        { error: (issue) => `expected a mapping of lanes, found ${found(issue.input)}` },
      )
      .catchall(group(lane)),
  )
  const site = {
    transport: field('transport', transport, 'How the site is reached; see below.'),
    scheduler: field('scheduler', group(scheduler), 'Who starts allocations there; see below.'),
    hpc_env: field(
      'hpcEnv',
      z.preprocess(
        withoutBlanks(['workspace']),
        z
          .object(
            { workspace: hpcEnv.workspace.schema },
            { error: (issue) => `expected a mapping, found ${found(issue.input)}` },
          )
          .catchall(value),
      ),
      'Values for templates: `<<name>>` is the text written here, numbers as they are written; see below.',
    ),
    node: field(
      'node',
      matching('the absolute path of node, or a line "module load …"', /^(?:\/|module )[^\n\r\0]*$/).optional(),
      'Node.js there: an absolute path, or a `module load …` line. Else node ≥ 18 on `PATH`, else one that `deploy --node` put there.',
    ),
    store: field(
      'storeBytes',
      memoryOrNone.prefault('10G'),
      'How much room there may be used for inputs that are kept, so that other jobs’ same inputs need not be sent; also never more than a quarter of what is free. `0` switches it off. Of gateways that share a workspace the smallest counts.',
    ),
    tags: field('tags', list(word).prefault([]), 'Words that requirements of jobs can ask for.'),
    preferred_jobs: field(
      'preferredJobs',
      list(word).prefault([]),
      'Kinds of jobs this site is preferred for, as `serial`.',
    ),
    limits: field('limits', group(siteLimits).prefault({}), 'What may be at the site at once.'),
    max_runners: field('maxRunners', whole(1).prefault('1'), 'How many runners may work per lane.'),
    lanes: field(
      'lanes',
      lanes.prefault({}),
      'The shapes of its allocations, by name; see below. One lane `default` when there is none.',
    ),
  }

  const root = {
    dropbox: field('dropbox', path, 'Folder that job files are dropped in.'),
    templates: field(
      'templates',
      oneOrMore(path).prefault('./templates'),
      'Folder of the templates, or several, looked through in order.',
    ),
    state: field('state', path.prefault('./.hpc-submitter'), 'Folder for logs and index; losing it loses no job.'),
    paths: field('paths', group(paths).prefault({}), 'What job files of other users may name.'),
    owners: field('owners', group(owners).prefault({}), 'What the owners of job files may do.'),
    exec_target: field(
      'execTarget',
      mapping(word, word, 'a mapping of targets to sites').prefault({}),
      'Where a job’s `target` really goes: target → site, one hop.',
    ),
    settle: field(
      'settleMs',
      duration.prefault('2s'),
      'How long a job file without end mark must stay unchanged before it is read.',
    ),
    expiry: field(
      'expiryMs',
      duration.prefault('24h'),
      'How long transient trouble is tried again, summed up, before a job is aborted.',
    ),
    keep_failed: field('keepFailedMs', duration.prefault('7d'), 'How long files of a failed job are kept at the site.'),
    max_attempts: field('maxAttempts', whole(1).prefault('3'), 'How often a job may die with its allocation.'),
    max_interruptions: field(
      'maxInterruptions',
      whole(1).prefault('10'),
      'How often a job may be interrupted through no fault of its own.',
    ),
    stream_cap: field('streamCapBytes', memory.prefault('1M'), 'How much of stdout and of stderr goes into a result.'),
    file_mode: field(
      'fileMode',
      mode.optional(),
      'Permissions of delivered files; the folder’s default when not given.',
    ),
    dir_mode: field(
      'dirMode',
      mode.optional(),
      'Permissions of folders made for outputs; the parent’s when not given.',
    ),
    sites: field(
      'sites',
      mapping(name, group(site), 'a mapping of sites, at least one').refine(
        (value) => Object.keys(value).length > 0,
        'expected at least one site, found none',
      ),
      'The HPC systems, by name; see below.',
    ),
  }
  return { root, paths, owners, ownerLimits, site, ssh, local, scheduler, hpcEnv, siteLimits, laneChoice, lane }
}

export type Declared = ReturnType<typeof declare>
