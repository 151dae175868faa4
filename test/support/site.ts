/** One workspace with one lane, without a gateway: jobs are published through the queuer's own code, runners are the built program. */
import { type ChildProcess, spawn } from 'node:child_process'
import { createHash, randomUUID } from 'node:crypto'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { makeJobId, makeKey, makeRunnerId, type Spool, spoolAt } from '../../contract/spool.ts'
import type { JobRecord, LaneShape, ObserverTime, ResultRecord, RunnerEnd } from '../../contract/spool-records.ts'
import { ensureLanes } from '../../queuer/lane-files.ts'
import { openPass } from '../../queuer/open-workspace.ts'
import { publishJob } from '../../queuer/publish.ts'
import type { Pass, Queuer } from '../../queuer/queuer.ts'
import { type Attempt, readAttempts, readResult } from '../../spool/attempt.ts'
import { realClock } from '../../system/clock.ts'
import { Files } from '../../system/files.ts'
import { silentLog } from '../../system/logger.ts'
import { type Os, realOs } from '../../system/os.ts'
import { processesMarked, runCommand } from '../../system/process.ts'
import { root, until } from './world.ts'

export interface TestRunner {
  readonly process: ChildProcess
  readonly pid: number
  readonly nonce: string
  readonly id: string
  readonly ended: Promise<{ code: number | null; signal: NodeJS.Signals | null }>
  stderr(): string
}

export interface TestJob {
  readonly template?: string
  readonly args?: JobRecord['args']
  readonly inputs?: Readonly<Record<string, string>>
  readonly outputs?: readonly string[]
  readonly timeMs?: number
  readonly maxAttempts?: number
  readonly maxInterruptions?: number
  readonly priority?: number
  readonly lane?: string
}

export class Site {
  readonly dir: string
  readonly spool: Spool
  readonly files: Files
  readonly shape: LaneShape
  readonly queuer: Queuer
  readonly pass: Pass
  readonly gateway = randomUUID()
  #turn = 0
  readonly #runners: TestRunner[] = []

  constructor(shape: Partial<LaneShape> = {}, os: Os = realOs, queuer: Partial<Queuer> = {}) {
    this.dir = mkdtempSync(join(tmpdir(), 'hpc-site-'))
    this.spool = spoolAt(join(this.dir, 'workspace'))
    this.files = new Files(os)
    this.shape = {
      lane: 'default-1',
      name: 'default',
      scheduler: 'local',
      options: [],
      timeMs: 3_600_000,
      marginMs: 60_000,
      lingerMs: 0,
      slots: 1,
      maxRunners: 1,
      ...shape,
    }
    this.queuer = {
      files: this.files,
      clock: realClock,
      log: silentLog,
      spool: this.spool,
      run: runCommand,
      uuid: randomUUID,
      host: 'test-host',
      uid: process.getuid?.() ?? 0,
      node: process.execPath,
      programDir: join(root, 'on_hpc', 'scripts'),
      ...queuer,
    }
    this.pass = this.newPass()
    ensureLanes(this.queuer, [this.shape])
  }

  newPass(observer: ObserverTime = realClock.uptime(), gateway = this.gateway): Pass {
    const known = this.files.readJson<{ uuid: string }>(this.spool.marker)?.uuid ?? null
    const opened = openPass(this.queuer, hello({ gateway, workspace: known, observer, lanes: [this.shape] }))
    if ('type' in opened) throw new Error(opened.why)
    return opened
  }

  get lane() {
    return this.spool.lane(this.shape.lane)
  }

  record(job: TestJob = {}): JobRecord {
    const id = makeJobId('test', randomUUID())
    this.#turn += 1
    const inputs = Object.entries(job.inputs ?? {}).map(([path, content]) => [
      path.replace(/\W/g, '_'),
      { path, size: Buffer.byteLength(content), sha256: digest(content), mode: 0o600 },
    ])
    return {
      format: 1,
      id,
      name: `job${this.#turn}`,
      gateway: this.gateway,
      site: 'here',
      lane: job.lane ?? this.shape.lane,
      key: makeKey(job.priority ?? 0, this.#turn, id),
      template: { name: 'test', text: job.template ?? '#!/bin/sh\ntrue\n' },
      hpcEnv: {},
      scripts: '/nowhere',
      containers: '/nowhere',
      args: job.args ?? {},
      inputs: Object.fromEntries(inputs),
      outputs: Object.fromEntries((job.outputs ?? []).map((name) => [name, { name, optional: false }])),
      ...(job.timeMs === undefined ? {} : { timeMs: job.timeMs }),
      maxAttempts: job.maxAttempts ?? 3,
      maxInterruptions: job.maxInterruptions ?? 10,
      streamCapBytes: 1_000_000,
    }
  }

  /** Lays the files of an upload down as the receiver leaves them. */
  staged(record: JobRecord, inputs: Readonly<Record<string, string>> = {}): string {
    const dir = this.spool.staging(record.id, digest(record.id), record.lane)
    this.files.makeFolder(join(dir, 'job', 'input'))
    for (const [name, content] of Object.entries(inputs)) {
      this.files.replace(join(dir, 'job', 'input', name), content)
    }
    return dir
  }

  async publish(job: TestJob = {}): Promise<JobRecord> {
    const record = this.record(job)
    await publishJob(this.queuer, this.staged(record, job.inputs), record)
    return record
  }

  startRunner(env: Readonly<Record<string, string>> = {}): TestRunner {
    const nonce = randomUUID().replaceAll('-', '').slice(0, 16)
    const words = ['--workspace', this.spool.root, '--lane', this.shape.lane, '--nonce', nonce, '--native-id', nonce]
    const program = join(root, 'on_hpc', 'scripts', 'hpc_runner')
    // a session of its own, as the scheduler gives it
    const child = spawn(process.execPath, [program, ...words], {
      detached: true,
      stdio: ['ignore', 'ignore', 'pipe'],
      env: { ...process.env, ...env },
    })
    let stderr = ''
    child.stderr?.on('data', (chunk: Buffer) => {
      stderr += chunk.toString('utf8')
    })
    const ended = new Promise<{ code: number | null; signal: NodeJS.Signals | null }>((resolve) => {
      child.once('close', (code, signal) => resolve({ code, signal }))
    })
    const id = makeRunnerId(this.shape.lane, nonce, 0, nonce)
    const runner = { process: child, pid: child.pid ?? 0, nonce, id, ended, stderr: () => stderr }
    this.#runners.push(runner)
    return runner
  }

  /** A runner to its end. */
  async drain(env: Readonly<Record<string, string>> = {}): Promise<TestRunner> {
    const runner = this.startRunner(env)
    await runner.ended
    return runner
  }

  runnerEnd(runner: TestRunner): RunnerEnd | undefined {
    return this.files.readJson<RunnerEnd>(`${this.lane.runner(runner.id)}.end`)
  }

  result(job: JobRecord): ResultRecord | undefined {
    return readResult(this.files, this.spool.control(job.id))
  }

  attempts(job: JobRecord): Attempt[] {
    return readAttempts(this.files, this.spool.control(job.id))
  }

  stdout(job: JobRecord, attempt = 1): string {
    return this.files.readText(this.spool.control(job.id).stdout(attempt)) ?? ''
  }

  stderr(job: JobRecord, attempt = 1): string {
    return this.files.readText(this.spool.control(job.id).stderr(attempt)) ?? ''
  }

  finished(job: JobRecord, timeoutMs = 30_000): Promise<void> {
    return until(`the result of ${job.name}`, () => this.result(job) !== undefined, timeoutMs)
  }

  /** Waits for a word that the script writes into a file of the site's own folder. */
  async said(name: string): Promise<string> {
    const path = join(this.dir, name)
    await until(`a script to write ${name}`, () => existsSync(path) && readFileSync(path, 'utf8') !== '')
    return readFileSync(path, 'utf8')
  }

  lines(name: string): string[] {
    const path = join(this.dir, name)
    return existsSync(path) ? readFileSync(path, 'utf8').trim().split('\n') : []
  }

  waiting(): string[] {
    return this.files.list(this.spool.queue(this.shape.lane))
  }

  done(): string[] {
    return this.files.list(this.spool.done(this.gateway))
  }

  async end(): Promise<void> {
    for (const runner of this.#runners) {
      runner.process.kill('SIGKILL')
      await runner.ended
    }
    for (const id of this.files.list(this.spool.controls)) {
      for (const { number } of readAttempts(this.files, this.spool.control(id))) {
        for (const pid of processesMarked('HPC_BATCH_JOB', `${id}.${number}`)) killQuietly(pid)
      }
    }
    rmSync(this.dir, { recursive: true, force: true })
  }
}

export function killQuietly(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL')
  } catch {
    // gone already
  }
}

/** True while the process exists and has not ended. */
export function lives(pid: number): boolean {
  try {
    return !/^\d+ \(.*\) [ZX]/.test(readFileSync(`/proc/${pid}/stat`, 'utf8'))
  } catch {
    return false
  }
}

export function digest(content: string | Uint8Array): string {
  return createHash('sha256').update(content).digest('hex')
}

export function hello(more: object) {
  return {
    type: 'hello' as const,
    protocol: 1,
    gateway: 'gateway-1',
    pass: randomUUID(),
    workspace: null as string | null,
    dropbox: { inode: '1', host: 'test-host' },
    takeOver: false,
    peek: false,
    observer: { bootId: 'boot', ms: 0 },
    lanes: [] as LaneShape[],
    allocationLimit: null,
    storeBytes: 10 * 1024 ** 3,
    ...more,
  }
}

export function names(dir: string): string[] {
  return existsSync(dir) ? readdirSync(dir).sort() : []
}
