/** A gateway and its site in a temporary folder, driven through the built command line as a user would. */
import { execFileSync, type SpawnOptions, spawn } from 'node:child_process'
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { load } from 'js-yaml'

export const root = join(import.meta.dirname, '..', '..')
export const cli = join(root, 'dist', 'hpc-submitter.mjs')

export interface Ran {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  readonly stdout: string
  readonly stderr: string
}

/** Runs a program to its end and gives what it said. */
export function run(
  argv: readonly [string, ...string[]],
  options: SpawnOptions & { input?: string } = {},
): Promise<Ran> {
  return new Promise((resolve, reject) => {
    const child = spawn(argv[0], argv.slice(1), { ...options, stdio: ['pipe', 'pipe', 'pipe'] })
    let stdout = ''
    let stderr = ''
    child.stdout?.on('data', (chunk: Buffer) => {
      stdout += chunk.toString('utf8')
    })
    child.stderr?.on('data', (chunk: Buffer) => {
      stderr += chunk.toString('utf8')
    })
    child.on('error', reject)
    child.on('close', (code, signal) => resolve({ code, signal, stdout, stderr }))
    child.stdin?.on('error', () => undefined)
    child.stdin?.end(options.input ?? '')
  })
}

/** Waits for a condition, not for time; fails with `what` when it does not come about. */
export async function until(
  what: string,
  condition: () => boolean | Promise<boolean>,
  timeoutMs = 30_000,
): Promise<void> {
  const end = Date.now() + timeoutMs
  while (!(await condition())) {
    if (Date.now() > end) throw new Error(`waited ${timeoutMs} ms in vain for: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
}

export interface Result {
  // biome-ignore lint/suspicious/noExplicitAny: what a YAML reader gives
  readonly [key: string]: any
}

export class World {
  readonly dir: string
  readonly dropbox: string
  readonly templates: string
  readonly workspace: string
  readonly configFile: string
  #prefix: readonly string[] = []

  /** `config` replaces the default text; `{dir}` in it stands for the world's folder. */
  constructor(config?: string) {
    this.dir = mkdtempSync(join(tmpdir(), 'hpc-batch-'))
    chmodSync(this.dir, 0o755)
    this.dropbox = join(this.dir, 'dropbox')
    this.templates = join(this.dir, 'templates')
    this.workspace = join(this.dir, 'workspace')
    this.configFile = join(this.dir, 'hpc-submitter.yml')
    for (const folder of [this.dropbox, this.templates, join(this.dir, 'in'), join(this.dir, 'out')]) mkdirSync(folder)
    writeFileSync(this.configFile, (config ?? localConfig).replaceAll('{dir}', this.dir))
    this.template('copy', '#!/bin/bash\ncp <<workspace>>/input/<<from>> <<workspace>>/output/<<to>>\n')
    this.template('true', '#!/bin/sh\ntrue\n')
    this.template('false', '#!/bin/sh\necho out; echo err >&2; exit 3\n')
  }

  template(name: string, text: string): void {
    writeFileSync(join(this.templates, `${name}.template`), text)
  }

  input(name: string, content: string | Uint8Array = name): string {
    const path = join(this.dir, 'in', name)
    writeFileSync(path, content)
    return path
  }

  out(name: string): string {
    return join(this.dir, 'out', name)
  }

  /** Drops a complete description by rename, as our own clients do. */
  drop(name: string, text: string): void {
    const temporary = join(this.dropbox, `.${name.slice(0, 100)}.tmp`)
    writeFileSync(temporary, text.endsWith('...\n') ? text : `${text.replace(/\n?$/, '\n')}...\n`)
    renameSync(temporary, join(this.dropbox, `${name}.job`))
  }

  /** A job that copies one file. */
  dropCopy(name: string, from: string, to = this.out(name)): void {
    this.drop(
      name,
      `script: copy\ninput_map: {from: ${JSON.stringify(from)}}\noutput_map: {to: ${JSON.stringify(to)}}\n`,
    )
  }

  cli(args: readonly string[], options: SpawnOptions & { input?: string } = {}): Promise<Ran> {
    return run([...this.#prefix, process.execPath, cli, ...args] as [string, ...string[]], {
      cwd: this.dir,
      ...options,
    })
  }

  /** From here on the gateway is this user's, not root's: only then do permissions bite. Does nothing where the tests are not root. */
  belongTo(uid: number): void {
    if (process.getuid?.() !== 0) return
    execFileSync('chown', ['-R', `${uid}:${uid}`, this.dir])
    this.#prefix = ['setpriv', `--reuid=${uid}`, `--regid=${uid}`, '--clear-groups', '--']
  }

  tick(...args: string[]): Promise<Ran> {
    return this.cli(['tick', '--config', this.configFile, ...args])
  }

  /** Pids of runners of this world's workspace that still live. */
  runners(): number[] {
    return readdirSync('/proc')
      .filter((entry) => /^\d+$/.test(entry))
      .filter((entry) => {
        try {
          const words = readFileSync(`/proc/${entry}/cmdline`, 'utf8').split('\0')
          // its batch script, which becomes the runner, is one already
          const ours = words.some((word) => word === this.workspace || word.startsWith(`${this.workspace}/`))
          return ours && words.some((word) => word.startsWith('hpc-batch/'))
        } catch {
          return false
        }
      })
      .map(Number)
  }

  drained(timeoutMs = 60_000): Promise<void> {
    return until('all runners to leave', () => this.runners().length === 0, timeoutMs)
  }

  /** One pass, the runner to its end, another pass: what a job needs from drop to result. */
  async go(): Promise<Ran> {
    const first = await this.tick()
    if (first.code !== 0) return first
    await this.drained()
    return this.tick()
  }

  has(name: string): boolean {
    return existsSync(join(this.dropbox, name))
  }

  finished(name: string): Result {
    return load(readFileSync(join(this.dropbox, `${name}.job.finished`), 'utf8')) as Result
  }

  submitted(name: string): Result {
    return load(readFileSync(join(this.dropbox, `${name}.job.submitted`), 'utf8')) as Result
  }

  /** Job folders left in the workspace. */
  jobsLeft(): string[] {
    return ['jobs', 'control', 'staging'].flatMap((folder) => list(join(this.workspace, folder)))
  }

  /** Ends what still runs here and removes the folder. */
  async end(): Promise<void> {
    for (const pid of this.runners()) process.kill(pid, 'SIGTERM')
    await this.drained().catch(() => {
      for (const pid of this.runners()) process.kill(pid, 'SIGKILL')
    })
    rmSync(this.dir, { recursive: true, force: true })
  }
}

export function list(dir: string): string[] {
  return existsSync(dir) ? readdirSync(dir) : []
}

const localConfig = `dropbox: ./dropbox
templates: ./templates
state: ./state
settle: 300ms
sites:
  here:
    transport: {type: local}
    scheduler: {type: local}
    hpc_env: {workspace: "{dir}/workspace"}
`
