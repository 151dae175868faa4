/** A gateway and its site as an operator would set them up, driven through the built programs only. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Sshd } from '../test/support/sshd.ts'
import type { Wire } from './network.ts'
import { cli, type Place, runnerProgram } from './place.ts'

export interface SiteOptions {
  readonly wire: Wire
  /** By ssh to it; without one the site is this machine without ssh. */
  readonly sshd?: Sshd
  readonly slots?: number
  readonly linger?: string
  /** A runner that is started only opens its eyes when told: staging is measured without jobs running beside it. */
  readonly held?: boolean
  /** By ssh to a real Slurm, with a workspace of its own there, in this lane. */
  readonly slurm?: SlurmSite
  /** What starts the programs there, instead of this Node. */
  readonly node?: string
}

export interface SlurmSite {
  readonly login: Pick<Sshd, 'port' | 'user' | 'keyFile'>
  readonly knownHosts: string
  readonly workspace: string
  /** Keys of the lane, as YAML flow text. */
  readonly lane: string
}

const jobsPattern = /^\d{3}-\d{12}-/

export class Site {
  readonly dir: string
  readonly dropbox: string
  readonly workspace: string
  readonly configFile: string
  readonly #wire: Wire
  #watch: ChildProcess | undefined
  #dropped = 0

  constructor(place: Place, options: SiteOptions) {
    const { wire, sshd, slurm } = options
    this.#wire = wire
    this.dir = place.folder('site')
    this.dropbox = join(this.dir, 'dropbox')
    this.workspace = slurm?.workspace ?? join(this.dir, 'workspace')
    this.configFile = join(this.dir, 'hpc-submitter.yml')
    for (const folder of ['dropbox', 'templates', 'in', 'out']) mkdirSync(join(this.dir, folder))
    this.template('true', '#!/bin/bash\ntrue\n')
    this.template('copy', '#!/bin/bash\ncp <<workspace>>/input/<<from>> <<workspace>>/output/<<to>>\n')
    const gate = join(this.dir, 'gate')
    if (options.held === true) spawnSync('mkfifo', [gate])
    const login = sshd ?? slurm?.login
    const transport =
      login === undefined
        ? '{type: local}'
        : `{type: ssh, host: ${wire.address}, port: ${login.port}, user: ${login.user}, key_file: ${login.keyFile}, known_hosts: ${slurm?.knownHosts ?? sshd?.knownHosts()}}`
    const lane = [`slots: ${options.slots ?? 1}`, `linger: ${options.linger ?? '0s'}`]
    if (slurm !== undefined) lane.push(slurm.lane)
    if (options.held === true) lane.push(`preflight: "read -r line < ${gate}"`)
    writeFileSync(
      this.configFile,
      `dropbox: ./dropbox
templates: ./templates
state: ./state
settle: 300ms
sites:
  here:
    transport: ${transport}
    scheduler: {type: ${slurm === undefined ? 'local' : 'slurm'}}
    node: ${options.node ?? process.execPath}
    hpc_env: {workspace: "${this.workspace}"}
    lanes: {default: {${lane.join(', ')}}}
`,
    )
    place.atEnd(() => this.end())
  }

  template(name: string, text: string): void {
    writeFileSync(join(this.dir, 'templates', `${name}.template`), text)
  }

  /** Drops a complete description, by rename as our clients do. */
  drop(name: string, text: string): void {
    writeFileSync(join(this.dropbox, `.${name}`), `${text}...\n`)
    renameSync(join(this.dropbox, `.${name}`), join(this.dropbox, `${name}.job`))
  }

  dropTrue(count: number): void {
    for (let i = 0; i < count; i++) this.drop(this.#name(), 'script: true\n')
  }

  /** Each with an input of its own, and an output of the same size. */
  dropCopies(count: number, bytes = 20_000): void {
    for (let i = 0; i < count; i++) {
      const name = this.#name()
      const input = join(this.dir, 'in', name)
      writeFileSync(input, randomLike(bytes, this.#dropped))
      this.drop(
        name,
        `script: copy\nargs: {level: 6}\ninput_map: {from: ${input}}\noutput_map: {to: ${join(this.dir, 'out', name)}}\n`,
      )
    }
  }

  #name(): string {
    this.#dropped += 1
    return `job-${String(this.#dropped).padStart(6, '0')}`
  }

  /** One pass in a process of its own, as cron starts it. */
  async tick(): Promise<void> {
    const [program, ...args] = this.#wire.near([process.execPath, cli, 'tick', '-c', this.configFile])
    const child = spawn(program, args, { stdio: ['ignore', 'inherit', 'inherit'] })
    const [code] = (await once(child, 'exit')) as [number]
    if (code !== 0) throw new Error(`tick ended with ${code}`)
  }

  /** `watch` with its connection open and nothing to do. Only wake-ups start passes: no minute of the clock falls into a measurement. */
  async startWatch(): Promise<number> {
    const [program, ...args] = this.#wire.near([
      process.execPath,
      cli,
      'watch',
      '-c',
      this.configFile,
      '--cron',
      '0 0 1 1 *',
    ])
    const child = spawn(program, args, { stdio: ['ignore', 'ignore', 'inherit'] })
    this.#watch = child
    if (child.pid === undefined) throw new Error('watch did not start')
    return child.pid
  }

  /** What happens while `watch` stands still is found by it all at once. */
  pause(): void {
    this.#watch?.kill('SIGSTOP')
  }

  resume(): void {
    this.#watch?.kill('SIGCONT')
  }

  async endWatch(): Promise<void> {
    const child = this.#watch
    this.#watch = undefined
    if (child === undefined || child.exitCode !== null) return
    child.kill('SIGCONT')
    child.kill('SIGTERM')
    await once(child, 'exit')
  }

  names(ending: string): number {
    return readdirSync(this.dropbox).filter((name) => name.endsWith(ending)).length
  }

  lane(): string {
    return list(join(this.workspace, 'lanes'))[0] ?? ''
  }

  queued(): number {
    return list(join(this.workspace, 'queue', this.lane())).filter((name) => jobsPattern.test(name)).length
  }

  done(): number {
    return list(join(this.workspace, 'done')).reduce(
      (sum, gateway) =>
        sum + list(join(this.workspace, 'done', gateway)).filter((name) => jobsPattern.test(name)).length,
      0,
    )
  }

  /** Inputs that the site keeps for other jobs. */
  kept(): number {
    return list(join(this.workspace, 'store')).filter((name) => !name.startsWith('.')).length
  }

  /** Jobs accepted that are not known to be at the site. */
  pending(): number {
    const path = join(this.dir, 'state', 'pending.json')
    if (!existsSync(path)) return 0
    return (JSON.parse(readFileSync(path, 'utf8')) as { jobs: unknown[] }).jobs.length
  }

  /**
   * Whether all that was accepted from now on is known to be at the site, by one look at one file: listing thousands of names every two
   * milliseconds would take the processor from those who are measured.
   */
  confirmation(): () => boolean {
    const path = join(this.dir, 'state', 'pending.json')
    const nobody = Buffer.byteLength('{"jobs":[]}\n')
    const before = statSync(path).ino
    let begun = false
    return () => {
      const { ino, size } = statSync(path)
      begun ||= size > nobody
      return begun && ino !== before && size === nobody
    }
  }

  #heldRunners(): number[] {
    return readdirSync('/proc').flatMap((entry) => {
      if (!/^\d+$/.test(entry)) return []
      try {
        const words = readFileSync(`/proc/${entry}/cmdline`, 'utf8').split('\0')
        return words.includes(this.workspace) && words.some((word) => word.startsWith('hpc-batch/'))
          ? [Number(entry)]
          : []
      } catch {
        return []
      }
    })
  }

  endRunners(): void {
    for (const pid of this.#heldRunners()) {
      try {
        process.kill(pid, 'SIGKILL')
      } catch {
        // gone meanwhile
      }
    }
  }

  async end(): Promise<void> {
    await this.endWatch()
    this.endRunners()
  }
}

/** The very program that an allocation starts, to its end; the time from its start to its exit. */
export async function runRunner(workspace: string, lane: string, prefix: readonly string[] = []): Promise<number> {
  const nonce = Math.random().toString(16).slice(2, 18).padEnd(16, '0')
  const argv = [
    ...prefix,
    process.execPath,
    runnerProgram,
    ...['--workspace', workspace, '--lane', lane, '--nonce', nonce, '--native-id', '1'],
  ]
  const start = performance.now()
  const child = spawn(argv[0] ?? '', argv.slice(1), { stdio: 'ignore', detached: true })
  const [code] = (await once(child, 'exit')) as [number]
  const ms = performance.now() - start
  if (code !== 0) throw new Error(`hpc_runner ended with ${code}`)
  return ms
}

function list(dir: string): string[] {
  return existsSync(dir) ? readdirSync(dir) : []
}

/** Bytes that do not compress, the same for the same seed. */
export function randomLike(bytes: number, seed: number): Buffer {
  const words = new Uint32Array(Math.ceil(bytes / 4))
  let state = (seed * 2654435761 + 1) >>> 0 || 1
  for (let i = 0; i < words.length; i++) {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    words[i] = state >>> 0
  }
  return Buffer.from(words.buffer, 0, bytes)
}

export async function until(what: string, condition: () => boolean, timeoutMs = 120_000, everyMs = 2): Promise<void> {
  const end = performance.now() + timeoutMs
  while (!condition()) {
    if (performance.now() > end) throw new Error(`waited in vain for: ${what}`)
    await sleep(everyMs)
  }
}
