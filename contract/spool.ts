/** Every path in a workspace, and the names in it: made by us, never taken from a job. `docs/architecture.md` tells what each means. */
import { join } from 'node:path'

/** Raised when the layout changes; a submitter meets older runners, and refuses politely what it does not know. */
export const spoolFormat = 1

const namePattern = /^[A-Za-z0-9][A-Za-z0-9_-]*$/
const jobIdPattern = /^[a-z0-9]{1,32}-[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/
const keyPattern = /^\d{3}-\d{12}-([a-z0-9]{1,32}-[0-9a-f-]{36})$/

/** `<short host>-<uuid>`, the host for people, the uuid for uniqueness. */
export function makeJobId(hostName: string, uuid: string): string {
  const host = (hostName.split('.')[0] ?? '').toLowerCase().replace(/[^a-z0-9]/g, '')
  return `${host === '' ? 'gateway' : host.slice(0, 32)}-${uuid}`
}

export function isJobId(text: unknown): text is string {
  return typeof text === 'string' && jobIdPattern.test(text)
}

/** Lanes, gateways, runners: names we make, safe as one path segment. */
export function isSafeName(text: unknown): text is string {
  return (
    typeof text === 'string' && text.length <= 200 && namePattern.test(text.replaceAll('.', '-').replaceAll('~', '-'))
  )
}

/** `<priority>-<turn>-<id>`, so that the plain order of names is the order of work: higher priority first, then the earlier turn. */
export function makeKey(priority: number, turn: number, id: string): string {
  return `${String(999 - priority).padStart(3, '0')}-${String(turn).padStart(12, '0')}-${id}`
}

export function idOfKey(key: string): string | undefined {
  return keyPattern.exec(key)?.[1]
}

export function turnOfKey(key: string): number {
  return Number(key.slice(4, 16))
}

/** Only keys, in the order of work; temporary and foreign names left out. */
export function keysIn(names: readonly string[]): string[] {
  return names.filter((name) => keyPattern.test(name)).sort()
}

/** All paths of one job's control folder: the truth about the job, never bound into its container. */
export interface ControlPaths {
  readonly dir: string
  readonly record: string
  readonly attempts: string
  readonly attempt: (n: number) => string
  readonly attemptEnd: (n: number) => string
  readonly attemptResult: (n: number) => string
  readonly script: (n: number) => string
  readonly stdout: (n: number) => string
  readonly stderr: (n: number) => string
  readonly exit: (n: number) => string
  /** Of a script that ran on another node of the allocation. */
  readonly told: (n: number) => string
  /** A folder, so that creating it is exclusive and complete at once: a full folder is never replaced by a rename. */
  readonly result: string
  readonly resultRecord: string
  readonly cancel: string
}

function controlPaths(dir: string): ControlPaths {
  // by hand: a runner asks for these a dozen times a job, and `join` would look at each character again
  const attempts = `${dir}/attempts`
  return {
    dir,
    record: `${dir}/job.yml`,
    attempts,
    attempt: (n) => `${attempts}/${n}`,
    attemptEnd: (n) => `${attempts}/${n}.end`,
    attemptResult: (n) => `${attempts}/${n}.result`,
    script: (n) => (n === 1 ? `${dir}/job.sh` : `${dir}/job.${n}.sh`),
    stdout: (n) => `${attempts}/${n}.stdout`,
    stderr: (n) => `${attempts}/${n}.stderr`,
    exit: (n) => `${attempts}/${n}.rc`,
    told: (n) => `${attempts}/${n}.told`,
    result: `${dir}/result`,
    resultRecord: `${dir}/result/result.json`,
    cancel: `${dir}/cancel`,
  }
}

export interface LanePaths {
  readonly dir: string
  readonly shape: string
  readonly seats: string
  readonly intents: string
  readonly heartbeats: string
  readonly heartbeat: (runner: string) => string
  readonly runners: string
  readonly runner: (runner: string) => string
  readonly logs: string
  readonly health: string
}

function lanePaths(dir: string): LanePaths {
  return {
    dir,
    shape: join(dir, 'shape.json'),
    seats: join(dir, 'seats'),
    intents: join(dir, 'intents'),
    heartbeats: join(dir, 'heartbeats'),
    heartbeat: (runner) => join(dir, 'heartbeats', runner),
    runners: join(dir, 'runners'),
    runner: (runner) => join(dir, 'runners', runner),
    logs: join(dir, 'logs'),
    health: join(dir, 'health.json'),
  }
}

export interface Spool {
  readonly root: string
  readonly marker: string
  readonly trash: string
  readonly ballast: string
  readonly programs: string
  readonly jobs: string
  /** What a template may bind: attempt 1 works in `jobs/<id>`, attempt n in `jobs/<id>.<n>`. */
  readonly workDir: (id: string, attempt: number) => string
  readonly controls: string
  readonly control: (id: string) => ControlPaths
  readonly stagings: string
  /** Inputs that were sent once, each as `<sha256>.<size>`: copied into jobs, never linked. */
  readonly store: string
  readonly staging: (id: string, digest: string, lane: string) => string
  readonly queues: string
  readonly queue: (lane: string) => string
  readonly runnings: string
  readonly running: (runner: string) => string
  readonly dones: string
  readonly done: (gateway: string) => string
  readonly kept: string
  readonly lanes: string
  readonly lane: (lane: string) => LanePaths
  readonly gateways: string
  readonly gateway: (gateway: string) => string
  readonly passes: (gateway: string) => string
}

export function spoolAt(root: string): Spool {
  const base = join(root).replace(/\/+$/, '')
  const at = (...parts: string[]) => `${base}/${parts.join('/')}`
  return {
    root,
    marker: at('.hpc-workspace'),
    trash: at('.trash'),
    ballast: at('.ballast'),
    programs: at('programs'),
    jobs: at('jobs'),
    workDir: (id, attempt) => at('jobs', attempt === 1 ? id : `${id}.${attempt}`),
    controls: at('control'),
    control: (id) => controlPaths(at('control', id)),
    stagings: at('staging'),
    store: at('store'),
    staging: (id, digest, lane) => at('staging', `${id}.${digest.slice(0, 16)}.${lane}`),
    queues: at('queue'),
    queue: (lane) => at('queue', lane),
    runnings: at('running'),
    running: (runner) => at('running', runner),
    dones: at('done'),
    done: (gateway) => at('done', gateway),
    kept: at('kept'),
    lanes: at('lanes'),
    lane: (lane) => lanePaths(at('lanes', lane)),
    gateways: at('gateways'),
    gateway: (gateway) => at('gateways', gateway),
    passes: (gateway) => at('gateways', gateway, 'passes'),
  }
}

/** A runner's id: lane, native id, restart count and the nonce of its allocation; safe as a file name. */
export function makeRunnerId(lane: string, nativeId: string, restart: number, nonce: string): string {
  return `${lane}~${nativeId.replace(/[^A-Za-z0-9_]/g, '_')}.${restart}.${nonce}`
}

export function laneOfRunner(runner: string): string {
  return runner.slice(0, Math.max(0, runner.indexOf('~')))
}

export function nonceOfRunner(runner: string): string {
  return runner.slice(runner.lastIndexOf('.') + 1)
}

/** By this comment alone an allocation is known as ours. */
export function makeIdentity(workspaceUuid: string, lane: string, nonce: string): string {
  return `hpc-batch/${workspaceUuid}/${lane}/${nonce}`
}

export function parseIdentity(identity: string): { workspace: string; lane: string; nonce: string } | undefined {
  const [product, workspace, lane, nonce, ...rest] = identity.split('/')
  if (product !== 'hpc-batch' || !workspace || !lane || !nonce || rest.length > 0) return undefined
  return { workspace, lane, nonce }
}

/** `hpc_runner`, other lanes `hpc_runner.<lane>`; the digest of the shape stays out of it, people read this in squeue. */
export function allocationName(laneName: string): string {
  return laneName === 'default' ? 'hpc_runner' : `hpc_runner.${laneName}`
}
