/** A world that can be put back to any step of its story, with the built programs in it run under a plan. */
import { spawn } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { realClock } from '../../system/clock.ts'
import { cli, list, run, World } from '../support/world.ts'
import { dyingLauncher, launcherEffects } from './launcher-points.ts'
import { type Effect, type Plan, type Program, planVariable, type Strike } from './plan.ts'
import { type Counts, readTrace, straced } from './strace.ts'

export interface Conduct {
  readonly hold?: boolean
  readonly strike?: Strike
  /** Watched by strace, which goes on until the last process has ended. */
  readonly traced?: boolean
}

/** What one step of a story did. */
export interface Effects {
  readonly effects: Effect[]
  /** By kind, as the system saw it; only when traced. */
  readonly seen?: Counts
}

export class CrashWorld {
  readonly world = new World()
  /** Plans, logs, traces and snapshots: nothing of the world's own. */
  readonly side = mkdtempSync(join(tmpdir(), 'hpc-crash-'))
  readonly runs: string
  readonly #preload: string
  #snapshots = new Map<number, number>()
  #traces = 0
  /** How far the clock of gateway and login node is ahead of this machine's. */
  aheadMs = 0

  constructor(preload: string) {
    this.#preload = preload
    this.runs = join(this.world.dir, 'runs')
  }

  get struckPath(): string {
    return join(this.side, 'struck')
  }

  /** What the strike has struck, or undefined when the program lived to its end. */
  struck(): string | undefined {
    return statSync(this.struckPath, { throwIfNoEntry: false }) === undefined
      ? undefined
      : readFileSync(this.struckPath, 'utf8')
  }

  /** Writes the plan of the next run and gives the environment of its programs. */
  conduct({ hold = false, strike }: Conduct): NodeJS.ProcessEnv {
    const log = join(this.side, 'log')
    rmSync(log, { recursive: true, force: true })
    mkdirSync(log)
    for (const path of [this.struckPath, this.#answersPath]) rmSync(path, { force: true })
    const plan: Plan = {
      root: `${this.world.dir}/`,
      aheadMs: this.aheadMs,
      log,
      answers: this.#answersPath,
      struck: this.struckPath,
      hold,
      ...(strike?.what === 'death' && strike.program === 'launcher' ? { launcher: this.#dyingLauncher(strike) } : {}),
      ...(strike === undefined ? {} : { strike }),
    }
    const file = join(this.side, 'plan.json')
    writeFileSync(file, JSON.stringify(plan))
    return {
      ...process.env,
      XDG_CACHE_HOME: this.side,
      NODE_OPTIONS: `--require ${this.#preload}`,
      [planVariable]: file,
    }
  }

  get #answersPath(): string {
    return join(this.side, 'answers')
  }

  #dyingLauncher({ at, when }: Extract<Strike, { what: 'death' }>): string {
    const path = join(this.side, 'job-wrapper.dying.sh')
    writeFileSync(path, dyingLauncher(at, when, this.struckPath))
    return path
  }

  /** How many answers the submitter got in the run that has ended. */
  answers(): number {
    return linesOf(this.#answersPath).length
  }

  #command(argv: readonly string[], traced: boolean | undefined): [string, ...string[]] {
    const before = traced === true ? straced(join(this.side, `trace.${this.#traces++}`)) : []
    return [...before, ...argv] as [string, ...string[]]
  }

  /** One pass of the built submitter, as cron starts it. */
  async pass(env: NodeJS.ProcessEnv, conduct: Conduct): Promise<void> {
    const argv = this.#command([process.execPath, cli, 'tick', '--config', this.world.configFile], conduct.traced)
    await run(argv, { cwd: this.side, env })
  }

  /** The allocation that the last pass submitted, started as the local scheduler does. */
  async allocation(env: NodeJS.ProcessEnv, conduct: Conduct): Promise<void> {
    const script = this.#scripts().at(-1)
    if (script === undefined) throw new Error('no allocation was submitted')
    const identity =
      /hpc-batch\/[^\s']+/.exec(readFileSync(script, 'utf8').trimEnd().split('\n').at(-1) ?? '')?.[0] ?? ''
    const logs = [
      script.replace('hpc_runner.', 'hpc_runner_stdout.'),
      script.replace('hpc_runner.', 'hpc_runner_stderr.'),
    ]
    const text = 'exec "$1" "$2" >>"$3.$$" 2>>"$4.$$"'
    const argv = this.#command(
      ['/bin/sh', '-c', text, 'sh', script, identity, ...logs.map((log) => log.replace(/\.sh$/, ''))],
      conduct.traced,
    )
    const child = spawn(argv[0], argv.slice(1), { detached: true, stdio: 'ignore', cwd: this.world.workspace, env })
    await new Promise((resolve, reject) => child.once('close', resolve).once('error', reject))
  }

  #scripts(): string[] {
    const lanes = join(this.world.workspace, 'lanes')
    return list(lanes)
      .flatMap((lane) => list(join(lanes, lane, 'logs')).map((name) => join(lanes, lane, 'logs', name)))
      .filter((path) => path.endsWith('.sh'))
      .sort((a, b) => statSync(a).mtimeMs - statSync(b).mtimeMs)
  }

  /** The effects of each program in the run that has ended. */
  effects(): Map<Program, Effects> {
    const log = join(this.side, 'log')
    const found = new Map<Program, { effects: Effect[]; seen?: Counts }>()
    const programs = new Map<number, Program>()
    for (const name of readdirSync(log)) {
      const [program, pid] = name.split('.') as [Program, string]
      programs.set(Number(pid), program)
      const all = found.get(program) ?? { effects: [] }
      all.effects.push(...linesOf(join(log, name)).map((line) => JSON.parse(line) as Effect))
      found.set(program, all)
      const starts = program === 'runner' ? all.effects.filter(goes).length : 0
      if (starts > 0) found.set('launcher', { effects: launcherEffects(starts) })
    }
    for (const trace of readdirSync(this.side).filter((name) => name.startsWith('trace.'))) {
      for (const { pid, command, counts, last } of readTrace(join(this.side, trace), `${this.world.dir}/`)) {
        // what a process did before it became the program is the shell's
        const program = command.includes('job-wrapper.') ? 'launcher' : last ? programs.get(pid) : undefined
        const all = program === undefined ? undefined : found.get(program)
        if (all === undefined) continue
        all.seen ??= new Map()
        for (const [kind, count] of counts) all.seen.set(kind, (all.seen.get(kind) ?? 0) + count)
      }
      rmSync(join(this.side, trace))
    }
    return found
  }

  /** Pids of whatever runs in this world: queuers, runners, launchers, scripts. */
  #living(): number {
    return readdirSync('/proc').filter((entry) => {
      if (entry.charCodeAt(0) < 48 || entry.charCodeAt(0) > 57 || Number(entry) === process.pid) return false
      try {
        return readFileSync(`/proc/${entry}/cmdline`, 'utf8').includes(`${this.world.dir}/`)
      } catch {
        return false
      }
    }).length
  }

  /** Nothing runs in this world any more; false when it still does after so long. */
  async quiet(timeoutMs: number): Promise<boolean> {
    const endMs = performance.now() + timeoutMs
    // by two looks: what is in the middle of an exec has no command line
    for (let still = 0; ; ) {
      still = this.#living() === 0 ? still + 1 : 0
      if (still > 1) return true
      if (performance.now() > endMs) return false
      // a look reads all of /proc: not all the time
      await realClock.sleep(still > 0 ? 20 : 100)
    }
  }

  async #copy(text: string, ...words: string[]): Promise<void> {
    const { code, stderr } = await run(['/bin/sh', '-ec', text, 'sh', ...words])
    if (code !== 0) throw new Error(`cannot copy a world: ${stderr}`)
  }

  /** Keeps the world as it stands before this step. */
  async keep(step: number): Promise<void> {
    const kept = join(this.side, `step${step}`)
    await this.#copy('mkdir "$2"; cp -a "$1/." "$2"', this.world.dir, kept)
    this.#snapshots.set(step, realClock.uptime().ms + this.aheadMs)
  }

  /** The world before this step, at the time it was then. The dropbox stays the folder it is: it is known by its inode. */
  async restore(step: number): Promise<void> {
    const kept = join(this.side, `step${step}`)
    const text =
      'find "$1" -mindepth 1 -maxdepth 1 ! -name dropbox -exec rm -rf {} +; find "$1/dropbox" -mindepth 1 -delete; cp -a "$2/." "$1"'
    await this.#copy(text, this.world.dir, kept)
    this.aheadMs = (this.#snapshots.get(step) ?? 0) - realClock.uptime().ms
  }

  async end(): Promise<void> {
    await this.world.end()
    rmSync(this.side, { recursive: true, force: true })
  }
}

/** The second of two things that a launcher is told for each script. */
function goes({ kind, path, halves }: Effect): boolean {
  return kind === 'transfer' && path === 'to the launcher' && !halves
}

function linesOf(path: string): string[] {
  return existsSync(path) ? readFileSync(path, 'utf8').split('\n').slice(0, -1) : []
}
