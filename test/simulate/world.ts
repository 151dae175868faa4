/** One simulated world: gateways with their crons, a site with its cluster, tools that drop jobs, and whatever befalls them. */
import { posix } from 'node:path'
import type { Command } from '../../scheduler/scheduler.ts'
import { type Config, parseConfig } from '../../submitter/config.ts'
import type { Gateway } from '../../submitter/gateway.ts'
import type { TickReport } from '../../submitter/tick.ts'
import type { Channel, Connection } from '../../submitter/transport/transport.ts'
import type { Clock } from '../../system/clock.ts'
import type { Files } from '../../system/files.ts'
import type { Os } from '../../system/os.ts'
import { type Allocation, Cluster, type Run } from './cluster.ts'
import { Disk, type FileFaults } from './disk.ts'
import { Chance, Kernel } from './kernel.ts'
import { processesOf } from './processes.ts'
import type { Programs } from './programs.ts'
import { fileFaults, ListingCache, type Storm } from './storm.ts'
import { Death, Machine, Task, wallMs } from './task.ts'
import { wire } from './wire.ts'

export const workspace = '/hpc/workspace'
export const hourMs = 3_600_000

export interface Job {
  readonly gateway: string
  readonly name: string
  readonly rc: number
  readonly seconds: number
  readonly input: string
  readonly output: string
  readonly content: string
  finished: number
}

export interface Host {
  readonly machine: Machine
  readonly dir: string
  readonly config: Config
}

interface Submitter {
  readonly tick: (gateway: Gateway) => Promise<TickReport>
  readonly Files: new (os: Os) => Files
  readonly realOs: Os
  readonly realClock: Clock
}

/** What a schedule is made of; each number is drawn from the seed. */
export interface Plan {
  readonly gateways: number
  readonly jobs: number
  readonly maxRunners: number
  readonly slots: number
  readonly walltime: string
  /** A second host serves the dropbox of the first gateway too, and passes overlap. */
  readonly twin: boolean
  readonly storm: Storm
}

export class World {
  readonly kernel = new Kernel()
  readonly chance: Chance
  readonly disk: Disk
  readonly cluster: Cluster
  readonly plan: Plan
  readonly hosts: Host[] = []
  readonly jobs: Job[] = []
  readonly login: Machine
  readonly nodes: Machine[]
  /** Promises broken, as sentences. */
  readonly broken: string[] = []
  readonly injected = new Map<string, number>()
  readonly #programs: Programs
  readonly #trace: ((line: string) => void) | undefined
  readonly tasks = new Set<Task>()
  readonly storm: Storm
  readonly #caches = new Map<Machine, ListingCache>()
  readonly #idle = new Map<Host, { task: Task; program: Submitter }[]>()

  constructor(seed: number, plan: Plan, programs: Programs, trace?: (line: string) => void) {
    this.chance = new Chance(seed)
    this.plan = plan
    this.#programs = programs
    this.#trace = trace
    this.storm = plan.storm
    this.disk = new Disk(() => wallMs(this.kernel))
    const machine = (name: string) =>
      new Machine(name, this.chance.uuid(), this.chance.between(-3_600_000, 3_600_000), this.chance.between(1e6, 1e9))
    this.login = machine('login')
    this.nodes = ['n1', 'n2', 'n3'].map(machine)
    this.cluster = new Cluster(this.kernel, this.chance, this.disk, this.nodes, {
      startRunner: (allocation, node) => this.#startRunner(allocation, node),
      started: (run) => this.#started(run),
      submitted: (waiting) => {
        if (waiting >= plan.maxRunners)
          this.breaks(`an allocation was submitted while ${waiting} waited, ${plan.maxRunners} allowed`)
      },
      log: (text) => this.log(text),
      lie: (verb) => this.#lie(verb),
      fate: () => this.#fate(),
    })
    this.disk.mkdir('/hpc', 0o755, true)
    for (let g = 1; g <= plan.gateways; g++) {
      const dir = `/g${g}`
      for (const folder of ['dropbox', 'state', 'in', 'out']) this.disk.mkdir(`${dir}/${folder}`, 0o755, true)
      this.disk.put(`${dir}/templates/work.template`, '#!/bin/sh\nwork <<seconds>> <<rc>> <<token>> <<from>> <<to>>\n')
      this.hosts.push({ machine: machine(`g${g}`), dir, config: configOf(dir, plan) })
    }
    const [first] = this.hosts
    if (plan.twin && first !== undefined) this.hosts.push({ ...first, machine: machine('g1twin') })
  }

  log(text: string): void {
    this.#trace?.(`${(this.kernel.now / 1000).toFixed(3).padStart(12)} ${text}`)
  }

  breaks(text: string): void {
    this.log(`BROKEN: ${text}`)
    this.broken.push(text)
  }

  fault(kind: string): void {
    this.injected.set(kind, (this.injected.get(kind) ?? 0) + 1)
    this.log(`FAULT: ${kind}`)
  }

  // ------------------------------------------------------------ processes

  #task(
    machine: Machine,
    argv: readonly string[],
    more: { env?: Record<string, string>; stdin?: unknown; stdout?: unknown },
  ) {
    const { kernel, chance, disk } = this
    const label = `${machine.name} ${posix.basename(argv[1] ?? '')}`
    const task: Task = new Task({
      kernel,
      chance,
      disk,
      machine,
      argv,
      env: more.env ?? {},
      stdio: {
        stdin: more.stdin,
        stdout: more.stdout,
        stderr: (text) => this.log(`${label} ${task.pid}: ${text.trimEnd()}`),
      },
      processes: (one) =>
        processesOf(one, {
          run: (command: Command, timeoutMs) => this.cluster.run(command, timeoutMs),
          startLauncher: (runner, file) => this.cluster.startLauncher(runner, file),
        }),
      faults: (one) => this.#faultsOf(one),
    })
    this.#doom(task)
    this.tasks.add(task)
    void task.ended.then(() => this.tasks.delete(task))
    return task
  }

  /** Starts what a program does when it is loaded; what it throws there ends its process. */
  #load(task: Task, program: Programs['queuer']): void {
    try {
      program(task.surroundings())
    } catch (error) {
      if (!(error instanceof Death)) throw error
    }
  }

  #startRunner({ id, identity, restart, startedMs, walltimeMs }: Allocation, node: Machine): Task {
    const [, , lane = '', nonce = ''] = identity.split('/')
    const words = ['--workspace', workspace, '--lane', lane, '--nonce', nonce]
    const task = this.#task(
      node,
      ['node', 'hpc_runner', ...words, '--native-id', String(id), '--restart', String(restart), identity],
      {
        env: {
          SLURM_JOB_END_TIME: String(
            Math.floor((wallMs(this.kernel, node) - this.kernel.now + startedMs + walltimeMs) / 1000),
          ),
        },
      },
    )
    this.#load(task, this.#programs.runner)
    return task
  }

  /** One pass of a cron; true when it got to its end. */
  async tick(host: Host): Promise<TickReport | undefined> {
    const { chance } = this
    const idle = this.#idle.get(host)?.pop()
    const task = idle?.task ?? this.#task(host.machine, ['node', 'hpc-submitter'], {})
    if (idle !== undefined) {
      task.again()
      this.#doom(task)
      this.tasks.add(task)
    }
    let program = idle?.program
    const log = (level: string) => (text: string) => this.log(`${host.machine.name} tick ${task.pid}: ${level} ${text}`)
    let report: TickReport | undefined
    const work = async () => {
      program ??= this.#programs.submitter(task.surroundings()) as unknown as Submitter
      const { bootId } = host.machine
      report = await program.tick({
        config: host.config,
        files: new program.Files(program.realOs),
        clock: program.realClock,
        log: { debug: () => undefined, info: log('info'), warn: log('warn') },
        uuid: () => chance.uuid(),
        host: host.machine.name,
        self: { pid: task.pid, startTicks: task.startTicks, bootId },
        uid: 1000,
        options: { noCleanup: false, email: undefined, debug: false, takeOver: false },
        programs: () => ({ folder: 'simulated', queuerDigest: 'q', runnerDigest: 'r', files: [] }),
        transportFor: () => ({ description: 'simulated', connect: () => this.#connect(task) }),
        groupsOf: () => new Set(),
        userName: () => 'amp',
        isOpenForWriting: () => false,
        progress: () => undefined,
      })
    }
    work().then(
      () => task.end(0),
      (error: unknown) => {
        if (task.alive) this.log(`${host.machine.name} tick ${task.pid}: ${String(error)}`)
        task.end(1)
      },
    )
    const code = await task.ended
    this.tasks.delete(task)
    // the next pass is another process; that its program need not be read anew saves most of the time
    if (code === 0 && program !== undefined) this.#idle.set(host, [...(this.#idle.get(host) ?? []), { task, program }])
    for (const error of report?.errors ?? []) this.log(`${host.machine.name} tick ${task.pid}: ${error.message}`)
    return report
  }

  /** Another thread of the story: waits in simulated time. */
  sleep(ms: number): Promise<void> {
    return new Promise((resolve) => void this.kernel.after(ms, resolve))
  }

  async #connect(task: Task): Promise<Connection> {
    await this.sleep(this.chance.between(20, 300))
    if (this.strikes('refuse')) {
      this.fault('connection refused')
      throw new Error('connect ECONNREFUSED')
    }
    let breakIt: (error: Error) => void = () => undefined
    const broken = new Promise<never>((_, reject) => {
      breakIt = reject
    })
    broken.catch(() => undefined)
    const cuts: (() => void)[] = []
    void task.ended.then(() => {
      for (const cut of cuts) cut()
    })
    return {
      broken,
      exec: async () => this.#startQueuer(task, cuts, breakIt),
      putFile: async () => {
        throw new Error('the programs are there')
      },
      close: async () => {
        for (const cut of cuts) cut()
      },
    }
  }

  async #startQueuer(client: Task, cuts: (() => void)[], breakIt: (error: Error) => void): Promise<Channel> {
    const delayMs = this.chance.between(1, 60)
    await this.sleep(delayMs)
    const stdin = wire(this.kernel, delayMs, () => task.pausedUntilMs)
    const stdout = wire(this.kernel, delayMs, () => client.pausedUntilMs)
    const stderr = wire(this.kernel, delayMs)
    const task: Task = this.#task(this.login, ['node', 'hpc_queuer', '--workspace', workspace], {
      stdin: stdin.output,
      stdout: stdout.input,
    })
    const exited = task.ended.then(async (code) => {
      stderr.input.end()
      stdout.input.end()
      stdin.cut(new Error('write EPIPE'))
      await this.sleep(delayMs)
      return { code, signal: code === null ? 'SIGKILL' : null }
    })
    // the submitter went away: its end of the stream is an end here
    cuts.push(() => {
      stdin.cut()
      stdout.stall()
      stdout.input.destroy(new Error('write EPIPE'))
      if (client.alive) stdout.output.push(null)
    })
    this.#load(task, this.#programs.queuer)
    if (this.strikes('cut')) {
      this.kernel.after(this.chance.between(0, 2_000), () => {
        if (!task.alive) return
        this.fault('channel cut')
        stdin.cut(undefined, this.chance.between(0, 200))
        const error = new Error('the connection was lost')
        stdout.cut(error, this.chance.between(0, 200))
        breakIt(error)
      })
    } else if (this.strikes('stall')) {
      this.kernel.after(this.chance.between(0, 2_000), () => {
        if (!task.alive) return
        this.fault('channel stalled')
        stdin.stall()
        stdout.stall()
        // the other side's keepalive ends it some day
        this.kernel.after(900_000, () => task.end(null))
      })
    }
    return { stdin: stdin.input, stdout: stdout.output, stderr: stderr.output, exited, kill: () => stdin.cut() }
  }

  // ------------------------------------------------------------ files

  strikes(kind: keyof Storm): boolean {
    const chance = this.storm[kind]
    return chance > 0 && this.kernel.now < this.storm.endsMs && this.chance.happens(chance)
  }

  readonly #killAt = new Map<Task, { effect: number; when: 'before' | 'after' }>()

  #nameOf(task: Task): 'submitter' | 'queuer' | 'runner' {
    return posix.basename(task.argv[1] ?? '').replace(/^hpc[-_]/, '') as 'submitter' | 'queuer' | 'runner'
  }

  /** What is to befall this process, if anything. */
  #doom(task: Task): void {
    const name = this.#nameOf(task)
    const kind = { submitter: 'killSubmitter', queuer: 'killQueuer', runner: 'killRunner' } as const
    this.#killAt.delete(task)
    if (this.strikes(kind[name])) {
      const when = this.chance.pick(['before', 'after'] as const)
      this.#killAt.set(task, { effect: this.chance.between(1, this.chance.pick([10, 60, 200])), when })
    }
    if (this.strikes('pause')) {
      const { pid } = task
      this.kernel.after(this.chance.between(0, name === 'runner' ? 60_000 : 3_000), () => {
        if (!task.alive || task.pid !== pid) return
        this.fault(`${name} stands still`)
        task.pausedUntilMs = this.kernel.now + this.chance.between(5_000, 600_000)
      })
    }
  }

  #faultsOf(task: Task): FileFaults {
    const { machine } = task
    const cache = this.#caches.get(machine) ?? new ListingCache()
    this.#caches.set(machine, cache)
    const shaking = {
      chance: this.chance,
      storm: this.storm,
      nowMs: () => this.kernel.now,
      fault: (kind: string) => this.fault(kind),
      isRemote: (path: string) => path.startsWith('/hpc/'),
      done: (call: string, path: string) => {
        if (call === 'rename') this.#renamed(path)
      },
    }
    return fileFaults(task, this.#nameOf(task), shaking, cache, () => this.#killAt.get(task))
  }

  #lie(verb: string): 'hung' | 'deaf' | 'truncated' | 'vanish' | undefined {
    for (const kind of ['hung', 'deaf', 'truncated', 'vanish'] as const) {
      if (!this.strikes(kind) || (kind === 'vanish' && verb !== 'sbatch')) continue
      this.fault(`scheduler: ${kind}`)
      return kind
    }
    return undefined
  }

  #fate(): { how: 'fail' | 'requeue' | 'cancel'; ms: number } | undefined {
    const ms = this.chance.between(0, this.chance.pick([2_000, 60_000, 900_000]))
    for (const [kind, how] of [
      ['nodeFails', 'fail'],
      ['requeued', 'requeue'],
      ['cancelled', 'cancel'],
    ] as const) {
      if (!this.strikes(kind)) continue
      this.fault(`allocation: ${how}`)
      return { how, ms }
    }
    return undefined
  }

  /** Watches over every rename as any reader of those folders could. */
  #renamed(path: string): void {
    const match = /^\/(g\d+)\/dropbox\/(.*)\.job\.finished$/.exec(path)
    if (match === null) return
    const job = this.jobs.find(({ gateway, name }) => gateway === match[1] && name === match[2])
    if (job === undefined) {
      this.breaks(`${path} is the result of nothing`)
      return
    }
    job.finished += 1
    this.log(`${job.name} is finished`)
    if (this.disk.text(path)?.includes('status: ok') && this.disk.text(job.output) !== job.content)
      this.breaks(`${job.name} was finished and its output is ${JSON.stringify(this.disk.text(job.output))}`)
  }

  // ------------------------------------------------------------ jobs

  drop(host: Host, number: number): void {
    const name = `j${number}`
    const { chance } = this
    const input = `${host.dir}/in/${name}.in`
    const output = `${host.dir}/out/${name}.out`
    const text = chance.hex(chance.between(0, 40))
    const seconds = chance.happens(0.8) ? chance.between(1, 30) : chance.between(30, 600)
    const rc = chance.happens(0.85) ? 0 : 3
    this.disk.put(input, text)
    const job: Job = {
      gateway: host.dir.slice(1),
      name,
      rc,
      seconds,
      input,
      output,
      content: `${name}:${text}`,
      finished: 0,
    }
    this.jobs.push(job)
    const beside = `${host.dir}/dropbox/.${name}.tmp`
    this.disk.put(
      beside,
      `script: work\nargs: {seconds: ${seconds}, rc: ${rc}, token: ${name}}\ninput_map: {from: ${input}}\noutput_map: {to: ${output}}\n...\n`,
    )
    this.disk.rename(beside, `${host.dir}/dropbox/${name}.job`)
    this.log(`${name} is dropped: ${seconds} s, rc ${rc}`)
  }

  #started(run: Run): void {
    const working = new Set(
      this.cluster.runs.filter(({ endMs }) => endMs === undefined).map(({ allocation }) => allocation.id),
    )
    if (working.size > this.plan.maxRunners)
      this.breaks(`${working.size} runners at work, ${this.plan.maxRunners} allowed, when ${run.token} was started`)
  }
}

const configs = new Map<string, Config>()

function configOf(dir: string, plan: Plan): Config {
  const text = `dropbox: ${dir}/dropbox
templates: ${dir}/templates
state: ${dir}/state
sites:
  here:
    transport: {type: local}
    scheduler: {type: slurm}
    hpc_env: {workspace: ${workspace}}
    max_runners: ${plan.maxRunners}
    lanes: {default: {time: ${plan.walltime}, margin: 5m, slots: ${plan.slots}}}
`
  const known = configs.get(text)
  if (known !== undefined) return known
  const { config } = parseConfig(text, { file: `${dir}/config.yml`, mode: 0o600, dir, home: '/home/amp' })
  configs.set(text, config)
  return config
}
