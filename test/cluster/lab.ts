/**
 * A gateway whose site is the test cluster: real sshd, Slurm and Apptainer (`test/cluster/cluster up`). Each lab has a folder of its own in
 * the home of the HPC account, and only its own allocations are waited for and cancelled; files of this folder take turns (`theCluster`),
 * because some of them stop the cluster's daemons.
 */
import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { list, type Ran, run, until, World } from '../support/world.ts'

export const home = process.env.CLUSTER_HOME ?? '/var/tmp/hpc-batch-test'
export const control = join(import.meta.dirname, 'cluster')
const settings = Object.fromEntries(
  (existsSync(join(home, 'etc/settings')) ? readFileSync(join(home, 'etc/settings'), 'utf8') : '')
    .split('\n')
    .map((line) => line.split('=')),
) as Record<string, string>
export const port = Number(settings.SSH_PORT ?? 2222)
export const account = settings.HPC_USER ?? 'hpc'
export const keyFile = join(home, 'keys/id_ed25519')
export const knownHosts = join(home, 'keys/known_hosts')
export const images = join(home, 'images')
export const nodes = ['gpu001', 'cpu001'] as const

/** `cluster up`, `cluster kill slurmctld` … */
export async function cluster(...words: string[]): Promise<void> {
  const ran = await run([control, ...words])
  assert.equal(ran.code, 0, ran.stderr)
}

/** The process of one of the cluster's daemons. */
export function daemon(name: string): number {
  return Number(readFileSync(join(home, 'run', `${name}.pid`), 'utf8'))
}

/** Runs a command as the HPC account on the one machine that is login node and worker. */
export function asAccount(argv: readonly string[], options: { input?: string } = {}): Promise<Ran> {
  const become = ['setpriv', `--reuid=${account}`, `--regid=${account}`, '--init-groups', '--reset-env']
  return run([become[0]!, ...become.slice(1), 'env', '-C', '/', ...argv], options)
}

/** Runs a command as root and gives what it printed. */
export async function asRoot(...argv: [string, ...string[]]): Promise<string> {
  const ran = await run(argv)
  assert.equal(ran.code, 0, `${argv.join(' ')}: ${ran.stderr}`)
  return ran.stdout
}

/** Why there is no cluster to be used here; undefined when there is one. */
export function whyNot(): string | undefined {
  if (process.getuid?.() !== 0) return 'it needs root'
  try {
    execFileSync('sinfo', ['-h'], { stdio: 'pipe', timeout: 15_000 })
    return undefined
  } catch (error) {
    return String(error instanceof Error ? error.message : error).split('\n')[0]
  }
}

/** Waits until nobody else has this cluster; gives what ends the turn. The lock lives as long as this process holds the other end of the pipe. */
export async function takeTurn(): Promise<() => void> {
  const holder = spawn('flock', [join(home, '.tests'), '/bin/sh', '-c', 'echo mine; cat'], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  await new Promise<void>((resolve, reject) => {
    holder.stdout.once('data', () => resolve())
    holder.once('exit', () => reject(new Error('flock ended')))
  })
  return () => holder.stdin.end()
}

/** Suites of this folder: one skip line where there is no cluster, a failure where nothing may be skipped; one file at a time. */
export function theCluster(title: string, options: { concurrency?: number }, define: () => void): void {
  const why = whyNot()
  if (why !== undefined && process.env.CI_NO_SKIP !== '1') {
    it(title, { skip: `no cluster here: test/cluster/cluster up (${why})` }, () => {})
    return
  }
  describe(title, options, () => {
    let over = () => {}
    before(async () => {
      assert.equal(why, undefined)
      over = await takeTurn()
      await cluster('up')
    })
    after(async () => {
      await cluster('up')
      over()
    })
    define()
  })
}

export interface LabOptions {
  /** The default lane, as YAML flow text. */
  readonly lane?: string
  /** Further keys of the site, as lines of YAML without indentation. */
  readonly site?: string
  readonly transport?: string
  readonly scheduler?: string
  /** Name of the lab's folder in the account's home (it may be odd). */
  readonly folder?: string
  /** Share another lab's workspace. */
  readonly with?: Lab
  readonly containers?: string
}

export interface Allocation {
  readonly id: string
  readonly state: string
  readonly reason: string
  readonly nonce: string
}

const over = ['COMPLETED', 'CANCELLED', 'FAILED', 'TIMEOUT', 'NODE_FAIL', 'PREEMPTED', 'BOOT_FAIL', 'OUT_OF_MEMORY']

export class Lab extends World {
  /** The lab's folder at the site. */
  readonly folder: string
  override readonly workspace: string
  readonly #owns: boolean

  constructor(options: LabOptions = {}) {
    super()
    this.#owns = options.with === undefined
    this.folder = options.with?.folder ?? join('/home', account, options.folder ?? `lab-${this.dir.slice(-6)}`)
    this.workspace = join(this.folder, 'workspace')
    execFileSync('install', ['-d', '-o', account, '-g', account, '-m', '755', this.folder, join(this.folder, 'bin')])
    writeFileSync(this.configFile, this.config(options))
  }

  config(options: LabOptions): string {
    const transport =
      options.transport ??
      `{type: ssh, host: 127.0.0.1, port: ${port}, user: ${account}, key_file: ${keyFile}, known_hosts: ${knownHosts}, ssh_config: "false"}`
    return `dropbox: ./dropbox
templates: ./templates
state: ./state
settle: 300ms
sites:
  lab:
    transport: ${transport}
    scheduler: ${options.scheduler ?? '{type: slurm}'}
    hpc_env: {workspace: ${JSON.stringify(this.workspace)}, scripts: /opt/none, containers: ${JSON.stringify(options.containers ?? images)}}
    lanes: {default: ${options.lane ?? '{queue: general, memory: 256M, time: 1h}'}}
${(options.site ?? '').replace(/^(?=.)/gm, '    ')}
`
  }

  /** Writes a program of the site's own into the lab's `bin`. */
  program(name: string, text: string): string {
    const path = join(this.folder, 'bin', name)
    writeFileSync(path, text, { mode: 0o755 })
    return path
  }

  /** A `node:` setting under which the site's tools are looked for in the lab's `bin` first. */
  nodeWithOwnTools(): string {
    return this.program('node', `#!/bin/sh\nPATH=${this.folder}/bin:$PATH exec ${process.execPath} "$@"\n`)
  }

  get uuid(): string {
    return JSON.parse(readFileSync(join(this.workspace, '.hpc-workspace'), 'utf8')).uuid
  }

  /** Every allocation of this workspace the scheduler still keeps, ended ones too. */
  async allocations(): Promise<Allocation[]> {
    const prefix = `hpc-batch/${this.uuid}/`
    const text = await asRoot('squeue', '-h', '--all', '--states=all', '-o', '%i\x1f%T\x1f%r\x1f%k')
    return text
      .split('\n')
      .map((line) => line.split('\x1f'))
      .filter((fields) => fields[3]?.startsWith(prefix))
      .map(([id = '', state = '', reason = '', comment = '']) => ({
        id,
        state,
        reason,
        nonce: comment.split('/').at(-1) ?? '',
      }))
  }

  async live(): Promise<Allocation[]> {
    return (await this.allocations()).filter(({ state }) => !over.includes(state))
  }

  /** The one live allocation, when it has come to that state. */
  async allocation(state: string): Promise<Allocation> {
    let found: Allocation[] = []
    await until(`one allocation ${state}`, async () => {
      found = await this.live()
      return found.length === 1 && found[0]?.state === state
    })
    return found[0]!
  }

  override drained(timeoutMs = 60_000): Promise<void> {
    return until('all allocations to end', async () => (await this.live()).length === 0, timeoutMs)
  }

  /** `tick --json`, parsed. */
  // biome-ignore lint/suspicious/noExplicitAny: what a JSON reader gives
  async look(...args: string[]): Promise<any> {
    const ran = await this.tick('--json', ...args)
    assert.ok([0, 75].includes(ran.code ?? -1), ran.stderr)
    return JSON.parse(ran.stdout)
  }

  /** What `status` tells the operator. */
  async status(): Promise<string> {
    const ran = await this.cli(['status', '--config', this.configFile])
    return ran.stdout + ran.stderr
  }

  /** How often this workspace has begun to ask the scheduler for a runner. */
  submissions(): number {
    const lanes = join(this.workspace, 'lanes')
    return list(lanes).flatMap((lane) => list(join(lanes, lane, 'intents')).filter((name) => /^\d+$/.test(name))).length
  }

  /** Passes until a job of that name has its result. */
  async finish(name: string, timeoutMs = 90_000): Promise<void> {
    let last: Ran | undefined
    await until(
      `the result of ${name}`,
      async () => {
        if (this.has(`${name}.job.finished`)) return true
        last = await this.tick()
        return this.has(`${name}.job.finished`)
      },
      timeoutMs,
    ).catch((error: Error) => {
      throw new Error(`${error.message}\n${last?.stderr}`)
    })
  }

  /** The runners (by id) that ran a delivered job, in the order of its attempts. */
  runnersOf(name: string): string[] {
    const history: { note?: string }[] = this.finished(name).job.history
    return history.flatMap(({ note }) => /^attempt \d+ on \S+ in (\S+): /.exec(note ?? '')?.[1] ?? [])
  }

  /** The runners (by id) that have worked in this workspace. */
  runnerIds(): string[] {
    return list(join(this.workspace, 'lanes'))
      .flatMap((lane) => list(join(this.workspace, 'lanes', lane, 'runners')))
      .filter((name) => !name.endsWith('.end') && !name.startsWith('.'))
  }

  override async end(): Promise<void> {
    if (this.#owns && existsSync(join(this.workspace, '.hpc-workspace'))) {
      for (const { id } of await this.live()) await run(['scancel', id])
      await this.drained().catch(() => undefined)
    }
    if (this.#owns) rmSync(this.folder, { recursive: true, force: true })
    rmSync(this.dir, { recursive: true, force: true })
  }
}

/** A folder for files a job and the test both see. */
export function meetingPlace(lab: Lab): string {
  const dir = join(lab.folder, 'meet')
  mkdirSync(dir, { recursive: true, mode: 0o777 })
  execFileSync('chmod', ['777', dir])
  return dir
}

/** Gives the template `gated`: a script that says it has started (file `started<n>`) and stays until the test writes `go` in this folder. */
export function gate(lab: Lab): string {
  const dir = meetingPlace(lab)
  lab.template(
    'gated',
    `#!/bin/sh\n: >${dir}/started<<#if n>>.<<n>><</if>>\nuntil [ -e ${dir}/go ]; do sleep 0.1; done\n`,
  )
  return dir
}
