/**
 * The configuration: every key is declared once, beside its default and the sentence that documents it (`docs/configuration.md` is made
 * from them). Pure: text in, a frozen plain value out (JSON-serialisable, so that it can be cached), or one error naming every problem.
 *
 * All scalars reach the schema as the text that was written (YAML's FAILSAFE schema, or an ini): `1.10`, `0644` and `no` stay what they are.
 */
import { isAbsolute, normalize, resolve } from 'node:path'
import { constructFromEvents, EVENT_ID, FAILSAFE_SCHEMA, getScalarValue, parseEvents, YAMLException } from 'js-yaml'
import * as z from 'zod'
import { HpcError, printable, quoted } from '../contract/errors.ts'
import { didYouMean } from '../contract/suggest.ts'
import { parseDurationMs, parseMemoryBytes, renderBytes } from '../contract/units.ts'
import { looksLikeIni, readIni } from './config-ini.ts'

/** Where `~` and relative paths start. */
export interface Base {
  /** The config file's folder; for the built-in defaults the current folder. */
  readonly dir: string
  readonly home: string
}

/** Plain text, lists and mappings as written: what a YAML or ini file is before the schema reads it. */
export type Tree = string | readonly Tree[] | { readonly [key: string]: Tree }

/** A file read: what it says, and where each key of it stands. */
export interface Source {
  readonly tree: Tree
  /** By the JSON of the key’s path: its line, and in an ini its name there. */
  readonly places: ReadonlyMap<string, Place>
  readonly warnings: readonly string[]
  /** Why it could not be read at all; the rest means nothing then. */
  readonly problems: readonly { readonly line?: number; readonly message: string }[]
}
export interface Place {
  readonly line?: number
  readonly name?: string
}

/** Larger than any config is; smaller than what hurts. */
const largestBytes = 1024 ** 2

// ---- Values: text → value, and the words for what is expected ----

function found(value: unknown): string {
  if (value === undefined || value === '') return 'nothing'
  if (typeof value === 'string') return quoted(value)
  return Array.isArray(value) ? 'a list' : 'a mapping'
}

/** A scalar. `expected` ends the sentence "expected …"; `parse` gives undefined for text that is anything else; `advice` ends that message. */
function scalar<T>(expected: string, parse: (text: string) => T | undefined, advice = (_text: string) => '') {
  const sentence = (value: unknown) =>
    `expected ${expected}, found ${found(value)}${typeof value === 'string' ? advice(value) : ''}`
  return z
    .string({ error: (issue) => sentence(issue.input) })
    .transform((text, context): T => {
      const value = text === '' ? undefined : parse(text)
      if (value !== undefined) return value
      context.issues.push({ code: 'custom', input: text, message: sentence(text) })
      return z.NEVER
    })
    .meta({ expected })
}

const matching = (expected: string, pattern: RegExp) =>
  scalar(expected, (text) => (pattern.test(text) ? text : undefined))

const text = scalar('text', (value) => value)
/** Becomes a word of a command line: never an option, never two words. */
const word = matching('one word that does not begin with "-"', /^[^\s\0-][^\s\0]*$/)
const namePattern = /^[A-Za-z0-9][A-Za-z0-9_-]*$/
const name = matching('a name of letters, digits, "_" and "-"', namePattern)
const duration = scalar('a duration such as "8h" or "1d2h30m"', parseDurationMs)
const longDuration = scalar(
  'a duration such as "8h" or "1d2h30m", more than 0',
  (value) => parseDurationMs(value) || undefined,
)
const memory = scalar('an amount of memory such as "32G" or "512M"', (value) => parseMemoryBytes(value) || undefined)
const switchedOn = scalar('"true" or "false"', (value) =>
  value === 'true' || value === 'false' ? value === 'true' : undefined,
)
const mode = scalar('file permissions such as "0644"', (value) =>
  /^0?[0-7]{3,4}$/.test(value) ? Number.parseInt(value, 8) : undefined,
)
const whole = (least: number) =>
  scalar(`a whole number, ${least} or more`, (value) =>
    /^\d{1,9}$/.test(value) && Number(value) >= least ? Number(value) : undefined,
  )

function resolvePath(path: string, { dir, home }: Base): string | undefined {
  if (/[\0\n\r]/.test(path) || /^~[^/]/.test(path)) return undefined
  return path.startsWith('~') ? resolve(home, `.${path.slice(1)}`) : resolve(dir, path)
}

function list<T>(item: z.ZodType<T>) {
  const { expected } = item.meta() as { expected: string }
  return z
    .array(item, { error: (issue) => `expected a list, each item ${expected}, found ${found(issue.input)}` })
    .meta({ expected: `a list, each item ${expected}` })
}

/** A list that may be written as its one item. */
function oneOrMore<T>(item: z.ZodType<T>) {
  const { expected } = item.meta() as { expected: string }
  return z
    .preprocess((value) => (typeof value === 'string' ? [value] : value), list(item).min(1, `expected ${expected}`))
    .meta({ expected: `${expected}, or a list of such` })
}

function mapping<T>(key: z.ZodType<string, string>, value: z.ZodType<T>, expected: string) {
  return z
    .record(key, value, { error: (issue) => `expected ${expected}, found ${found(issue.input)}` })
    .meta({ expected })
}

// ---- Sections: mappings with known keys ----

interface Field<As extends string = string, S extends z.ZodType = z.ZodType> {
  readonly as: As
  readonly schema: S
}
type Fields = Readonly<Record<string, Field>>
type Flat<T> = { readonly [K in keyof T]: T[K] }
type Parsed<F extends Fields> = Flat<
  {
    [K in keyof F as undefined extends z.output<F[K]['schema']> ? never : F[K]['as']]: z.output<F[K]['schema']>
  } & {
    [K in keyof F as undefined extends z.output<F[K]['schema']> ? F[K]['as'] : never]?: Exclude<
      z.output<F[K]['schema']>,
      undefined
    >
  }
>

/** A key of the file: its name in the parsed value (with the unit), its schema (with the default) and its documentation. */
function field<const As extends string, S extends z.ZodType>(as: As, schema: S, description: string): Field<As, S> {
  return { as, schema: schema.describe(description) }
}

/** A known key with nothing behind it is a key not given, as a section that is all comments is. */
function withoutBlanks(known: readonly string[]) {
  return (value: unknown) => {
    if (value === '') return {}
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return value
    return Object.fromEntries(Object.entries(value).filter(([key, item]) => item !== '' || !known.includes(key)))
  }
}

function section<F extends Fields>(fields: F) {
  const known = Object.keys(fields)
  return z
    .strictObject(Object.fromEntries(known.map((key) => [key, (fields[key] as Field).schema])), {
      // For unknown keys the message is the list of the known ones: `sentences` makes one sentence of each, with a suggestion.
      error: (issue) =>
        issue.code === 'unrecognized_keys' ? known.join(' ') : `expected a mapping, found ${found(issue.input)}`,
    })
    .transform((value) => {
      const given = Object.entries(value).filter(([, item]) => item !== undefined)
      return Object.fromEntries(given.map(([key, item]) => [(fields[key] as Field).as, item])) as Parsed<F>
    })
}

function group<F extends Fields>(fields: F) {
  return z.preprocess(withoutBlanks(Object.keys(fields)), section(fields)).meta({ expected: 'a mapping' })
}

// ---- The keys ----

const laneDefaults = { time: '8h', margin: '5m' } as const

function declare(base: Base) {
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
      'How many jobs run side by side in one allocation; `auto` is one per GPU.',
    ),
    linger: field('lingerMs', duration.prefault('0s'), 'How long a runner with nothing left to do waits for more.'),
    preflight: field(
      'preflight',
      text.optional(),
      'Shell command a runner tries first; when it fails, the lane is unhealthy and no job is started.',
    ),
    cpus: field('cpus', whole(1).optional(), 'CPUs of an allocation.'),
    nodes: field('nodes', whole(1).optional(), 'Nodes of an allocation.'),
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

// ---- The parsed value ----

type Declared = ReturnType<typeof declare>
type ParsedSite = Parsed<Declared['site']>
type DeepReadonly<T> = T extends object ? { readonly [K in keyof T]: DeepReadonly<T[K]> } : T

export type TransportConfig = Parsed<Declared['ssh']> | Parsed<Declared['local']>
export type Lane = Flat<{ readonly name: string } & Parsed<Declared['lane']>>
export type Site = DeepReadonly<
  Flat<
    {
      name: string
      autoLanes: boolean
      lanes: Record<string, Lane>
      hpcEnv: { workspace: string } & Record<string, string>
    } & Omit<ParsedSite, 'lanes' | 'hpcEnv'>
  >
>
export type Config = DeepReadonly<Flat<{ sites: Record<string, Site> } & Omit<Parsed<Declared['root']>, 'sites'>>>

const slurmMemoryBytes = 32 * 1024 ** 3

function finishSite(name: string, parsed: ParsedSite, base: Base): Site {
  const { lanes, hpcEnv, ...rest } = parsed
  const { auto, ...named } = lanes as { auto: boolean; [lane: string]: unknown }
  const shapes = Object.entries(named as Record<string, Parsed<Declared['lane']>>)
  const memory = parsed.scheduler.type === 'slurm' ? { memoryBytes: slurmMemoryBytes } : {}
  const { workspace } = hpcEnv
  const there =
    parsed.transport.type === 'local' ? resolvePath(workspace, base) : normalize(workspace).replace(/(?<=.)\/$/, '')
  return {
    name,
    ...rest,
    hpcEnv: { ...(hpcEnv as Record<string, string>), workspace: there ?? workspace },
    autoLanes: auto,
    lanes: Object.fromEntries(shapes.map(([lane, shape]) => [lane, { name: lane, ...memory, ...shape }])),
  }
}

function freeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value)
    for (const item of Object.values(value)) freeze(item)
  }
  return value
}

// ---- Reading: text → tree → checked value ----

interface Problem {
  readonly path: readonly string[]
  readonly message: string
}

const placeKey = (path: readonly string[]) => JSON.stringify(path)

/** The line of each key, walked in the order of the events; what the file says is taken by js-yaml itself. */
function placesOf(events: ReturnType<typeof parseEvents>, source: string): Source['places'] {
  const lineStarts = [0]
  for (let at = source.indexOf('\n'); at >= 0; at = source.indexOf('\n', at + 1)) lineStarts.push(at + 1)
  const lineAt = (offset: number) => {
    let [low, high] = [0, lineStarts.length]
    while (high - low > 1) {
      const middle = (low + high) >> 1
      if ((lineStarts[middle] ?? 0) <= offset) low = middle
      else high = middle
    }
    return low + 1
  }
  const places = new Map<string, { readonly line: number }>()
  let next = 1 // 0 is the document
  const walk = (path: readonly string[]) => {
    const event = events[next++]
    if (event?.type !== EVENT_ID.SEQUENCE && event?.type !== EVENT_ID.MAPPING) return
    for (let index = 0; events[next] !== undefined && events[next]?.type !== EVENT_ID.POP; index++) {
      const first = events[next]
      if (event.type === EVENT_ID.SEQUENCE) {
        walk([...path, String(index)])
        continue
      }
      next++
      if (first?.type !== EVENT_ID.SCALAR) return // a list or mapping as a key; js-yaml has refused it already
      const key = [...path, getScalarValue(source, first)]
      places.set(placeKey(key), { line: lineAt(first.valueStart) })
      walk(key)
    }
    next++
  }
  walk([])
  return places
}

function readYaml(text: string): Source {
  const broken = (message: string, line?: number): Source => {
    return {
      tree: '',
      places: new Map(),
      warnings: [],
      problems: [line === undefined ? { message } : { message, line }],
    }
  }
  try {
    const events = parseEvents(text, { maxDepth: 20 })
    const tag = events.find((event) => 'tagStart' in event && event.tagStart >= 0)
    if (tag !== undefined && 'tagStart' in tag)
      return broken('expected plain YAML, found a tag', text.slice(0, tag.tagStart).split('\n').length)
    const documents = constructFromEvents(events, { source: text, schema: FAILSAFE_SCHEMA, maxAliases: 0 })
    if (documents.length === 0) return broken('expected a configuration, found an empty file')
    if (documents.length > 1) return broken('expected one YAML document, found more')
    return { tree: documents[0] as Tree, places: placesOf(events, text), warnings: [], problems: [] }
  } catch (error) {
    if (!(error instanceof YAMLException)) throw error
    // Never its own message: that one quotes the lines around, and a passphrase with them.
    const reason = /aliases exceeded/.test(error.reason) ? 'expected plain YAML, found an alias' : error.reason
    return broken(reason, error.mark === undefined ? undefined : error.mark.line + 1)
  }
}

function at(tree: unknown, ...path: readonly string[]): unknown {
  let node = tree
  for (const key of path) {
    if (typeof node !== 'object' || node === null || !Object.hasOwn(node, key)) return undefined
    node = (node as Record<string, unknown>)[key]
  }
  return node === '' ? undefined : node
}
const keysAt = (tree: unknown, ...path: readonly string[]): string[] => {
  const node = at(tree, ...path)
  return typeof node === 'object' && node !== null && !Array.isArray(node) ? Object.keys(node) : []
}

/** One sentence per problem the schema found. */
function* sentences(issues: readonly z.core.$ZodIssue[]): Generator<Problem> {
  for (const issue of issues) {
    const path = issue.path.map(String)
    if (issue.code === 'unrecognized_keys') {
      for (const key of issue.keys)
        yield { path: [...path, key], message: `unknown key${didYouMean(key, issue.message.split(' '))}` }
    } else if (issue.code === 'invalid_key') yield { path, message: issue.issues[0]?.message ?? issue.message }
    else yield { path, message: issue.message }
  }
}

/** What no single key can know; looks at the text as written, so that it speaks up beside other problems too. */
function* crossChecks(tree: Tree, mode: number | undefined): Generator<Problem> {
  const sites = keysAt(tree, 'sites')
  for (const target of keysAt(tree, 'exec_target')) {
    const real = at(tree, 'exec_target', target)
    if (typeof real === 'string' && !sites.includes(real))
      yield {
        path: ['exec_target', target],
        message: `expected the name of a site, found ${quoted(real)}${didYouMean(real, sites)}`,
      }
  }
  for (const site of sites) {
    const transport = ['sites', site, 'transport']
    const given = (...keys: string[]) => keys.filter((key) => at(tree, ...transport, key) !== undefined)
    const workspace = at(tree, 'sites', site, 'hpc_env', 'workspace')
    if (at(tree, ...transport, 'type') === 'ssh') {
      if (typeof workspace === 'string' && !isAbsolute(workspace))
        yield {
          path: ['sites', site, 'hpc_env', 'workspace'],
          message: `expected an absolute path at the site, found ${quoted(workspace)} (\`echo ~\` there prints what "~" stands for)`,
        }
      if (at(tree, ...transport, 'ssh_config') === 'false' && given('user').length === 0)
        yield { path: [...transport, 'user'], message: 'expected the account at the site, found nothing' }
      const phrases = given('passphrase', 'passphrase_file', 'passphrase_env')
      if (phrases.length > 1)
        yield {
          path: [...transport, phrases[1] ?? ''],
          message: `expected one passphrase, found ${phrases.join(' and ')}`,
        }
      if (given('passphrase').length > 0 && mode !== undefined && (mode & 0o077) !== 0)
        yield {
          path: [...transport, 'passphrase'],
          message: `a file with a passphrase must be its owner’s only, and this one has mode ${(mode & 0o777).toString(8).padStart(4, '0')}: chmod 600 it`,
        }
    }
    if (typeof workspace === 'string' && normalize(workspace) === '/')
      yield { path: ['sites', site, 'hpc_env', 'workspace'], message: 'expected a folder of its own, found "/"' }
    for (const key of keysAt(tree, 'sites', site, 'hpc_env')) {
      const why = ['job_id', 'site', 'lane'].includes(key)
        ? `templates have a value of their own for <<${key}>>: choose another name`
        : /^[A-Za-z_][A-Za-z0-9_]*$/.test(key)
          ? undefined
          : 'expected a name that templates can use, of letters, digits and "_"'
      if (why !== undefined) yield { path: ['sites', site, 'hpc_env', key], message: why }
    }
    for (const lane of keysAt(tree, 'sites', site, 'lanes')) {
      if (lane === 'auto') continue
      const path = ['sites', site, 'lanes', lane]
      if (!namePattern.test(lane))
        yield { path, message: `expected a name of letters, digits, "_" and "-", found ${quoted(lane)}` }
      const [time, margin] = (['time', 'margin'] as const).map((key) => at(tree, ...path, key) ?? laneDefaults[key])
      const [timeMs, marginMs] = [time, margin].map((value) => parseDurationMs(String(value)))
      if (timeMs !== undefined && marginMs !== undefined && marginMs >= timeMs)
        yield {
          path: [...path, 'margin'],
          message: `expected less than the time of ${time}, found ${quoted(String(margin))}`,
        }
    }
  }
  yield* protoKeys(tree)
}

function* protoKeys(tree: Tree, path: readonly string[] = []): Generator<Problem> {
  if (typeof tree === 'string') return
  for (const key of Object.keys(tree)) {
    if (key === '__proto__') yield { path: [...path, key], message: 'cannot be a key' }
    else yield* protoKeys((tree as Record<string, Tree>)[key] ?? '', [...path, key])
  }
}

function refusal(file: string, lines: readonly string[]): HpcError {
  const head = `Cannot use the configuration ${quoted(file, 400)}: ${lines.length} problem${lines.length === 1 ? '' : 's'}`
  return new HpcError('config', [head, ...lines].map((text) => printable(text)).join('\n'), {
    concerns: { path: file },
  })
}

export interface ConfigText extends Base {
  /** For messages, and by its ending for its kind. */
  readonly file: string
  /** Permission bits of the file; none for text that is no file. */
  readonly mode?: number
  /** When not given: an ini when the name ends in `.ini` or the first line is a `[section]`. */
  readonly kind?: 'yaml' | 'ini'
}

export interface ParsedConfig {
  readonly config: Config
  readonly warnings: readonly string[]
}

/** Throws HpcError `config` naming every problem, one per line: `file:line: key: what is expected, what was found`. */
export function parseConfig(text: string, { file, mode, kind, ...base }: ConfigText): ParsedConfig {
  if (Buffer.byteLength(text) > largestBytes)
    throw refusal(file, [
      `${file}: expected at most ${renderBytes(largestBytes)}, found ${renderBytes(Buffer.byteLength(text))}`,
    ])
  const plain = text.replace(/^\ufeff/, '')
  const ini = kind === undefined ? looksLikeIni(file, plain) : kind === 'ini'
  const source = ini ? readIni(plain) : readYaml(plain)
  if (source.problems.length > 0)
    throw refusal(
      file,
      source.problems.map(({ line, message }) => `${file}${line === undefined ? '' : `:${line}`}: ${message}`),
    )
  const parsed = group(declare(base).root).safeParse(source.tree)
  const problems = [...(parsed.success ? [] : sentences(parsed.error.issues)), ...crossChecks(source.tree, mode)]
  if (problems.length > 0 || !parsed.success) throw refusal(file, locate(problems, source, file))
  const { sites, ...rest } = parsed.data
  const finished = Object.entries(sites).map(([name, site]) => [name, finishSite(name, site, base)])
  const open = mode !== undefined && (mode & 0o002) !== 0
  const warnings = [...source.warnings, ...(open ? ['anyone on this machine can change the file: chmod o-w it'] : [])]
  return freeze({ config: { ...rest, sites: Object.fromEntries(finished) }, warnings })
}

/** In the order of the file; a key that is missing stands where its section does. What could be a passphrase is not shown. */
function locate(problems: readonly Problem[], { places }: Source, file: string): string[] {
  const located = problems.map(({ path, message }) => {
    const name =
      places.get(placeKey(path))?.name ??
      path
        .map((key) => (/^[\w-]+$/.test(key) ? key : JSON.stringify(key.replace(/^(passphrase\W).*/s, '$1…'))))
        .join('.')
    let line: number | undefined
    for (let length = path.length; length > 0 && line === undefined; length--)
      line = places.get(placeKey(path.slice(0, length)))?.line
    const said = path.at(-1)?.startsWith('passphrase') ? message.replace(/, found ".*/s, '') : message
    return { line, text: `${file}${line === undefined ? '' : `:${line}`}: ${name === '' ? '' : `${name}: `}${said}` }
  })
  return [...new Set(located.sort((a, b) => (a.line ?? 0) - (b.line ?? 0)).map(({ text }) => text))]
}

// ---- Documentation ----

const headings: Readonly<Record<keyof Declared, string>> = {
  root: '### Top level',
  paths: '### `paths`',
  owners: '### `owners`',
  ownerLimits: '### `owners.limits`',
  site: '### `sites.NAME`',
  ssh: '### `sites.NAME.transport`, type `ssh`',
  local: '### `sites.NAME.transport`, type `local`',
  scheduler: '### `sites.NAME.scheduler`',
  hpcEnv:
    '### `sites.NAME.hpc_env`\n\nAny other key is a value for templates too: `anything: else` is the text for `<<anything>>`.',
  siteLimits: '### `sites.NAME.limits`',
  laneChoice: '### `sites.NAME.lanes`\n\nEvery other key names a lane.',
  lane: '### `sites.NAME.lanes.NAME`',
}

/** The expected value, the default as it would be written, and whether the key must be given. */
function facts(schema: z.ZodType): { expected: string; fallback?: string; needed: boolean } {
  if (schema instanceof z.ZodOptional) return { ...facts(schema.unwrap() as z.ZodType), needed: false }
  if (schema instanceof z.ZodPrefault) {
    const fallback = schema.def.defaultValue
    const { expected } = facts(schema.def.innerType as z.ZodType)
    return { expected, needed: false, ...(typeof fallback === 'string' ? { fallback } : {}) }
  }
  const expected = schema instanceof z.ZodLiteral ? `"${schema.value}"` : schema.meta()?.expected
  return { expected: String(expected ?? 'a mapping'), needed: true }
}

/** The tables of `docs/configuration.md`: every key of the schema with what is expected, its default and its sentence. */
export function configSchemaDocs(): string {
  const declared = declare({ dir: '/', home: '/' })
  const tables = Object.entries(headings).map(([part, heading]) => {
    const rows = Object.entries(declared[part as keyof Declared] as Fields).map(([key, { schema }]) => {
      const { expected, fallback, needed } = facts(schema)
      const otherwise = fallback === undefined ? (needed ? '**required**' : '') : `\`${fallback}\``
      return `| \`${key}\` | ${expected} | ${otherwise} | ${schema.description ?? ''} |`
    })
    return `${heading}\n\n| key | value | default | meaning |\n|---|---|---|---|\n${rows.join('\n')}\n`
  })
  return tables.join('\n')
}
