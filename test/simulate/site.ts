/** One site: a login node, worker nodes, a scheduler and a shared file system; and what a connection to it is like. */
import type { Command } from '../../scheduler/scheduler.ts'
import type { Channel, Connection } from '../../submitter/transport/transport.ts'
import { type Allocation, Cluster, type Fate, type Lie } from './cluster.ts'
import type { Machine } from './machine.ts'
import { processesOf } from './processes.ts'
import { resultBeside, startLauncher } from './scripts.ts'
import type { Task } from './task.ts'
import { wire } from './wire.ts'
import type { World } from './world.ts'

const lies: readonly Lie[] = ['hung', 'deaf', 'truncated', 'vanish']
const fates = [
  ['nodeFails', 'fail'],
  ['cutOff', 'cut off'],
  ['requeued', 'requeue'],
  ['cancelled', 'cancel'],
  ['preempted', 'preempt'],
] as const

interface Startable {
  readonly start: () => Promise<void>
}

export class SimulatedSite {
  readonly name: string
  /** Its file system. */
  readonly volume: string
  readonly workspace: string
  readonly login: Machine
  readonly nodes: readonly Machine[]
  readonly cluster: Cluster
  readonly #world: World

  constructor(world: World, name: string) {
    this.#world = world
    this.name = name
    this.volume = `hpc-${name}`
    this.workspace = `/${this.volume}/workspace`
    world.mount(this.volume)
    this.login = world.machine(`${name}-login`)
    this.nodes = ['n1', 'n2', 'n3'].map((node) => world.machine(`${name}-${node}`))
    // munge refuses nodes whose clocks are minutes apart
    for (const node of this.nodes)
      node.skewMs = this.login.skewMs + (world.plan.timed ? 0 : world.chance.between(-120_000, 120_000))
    this.cluster = new Cluster(world.kernel, world.chance, this.nodes, {
      startRunner: (allocation, node) => this.#startRunner(allocation, node),
      log: (text) => world.log(`${name}: ${text}`),
      lie: (verb) => this.#lie(verb),
      fate: () => this.#fate(),
      waitMs: () => world.chance.between(500, world.plan.longestWaitMs),
      byHandMs: () => {
        if (!world.plan.meddled || world.kernel.now >= world.storm.endsMs || !world.chance.happens(0.5))
          return undefined
        world.fault('an allocation is submitted again by hand')
        return world.chance.between(0, 20_000)
      },
    })
  }

  get machines(): readonly Machine[] {
    return [this.login, ...this.nodes]
  }

  #lie(verb: string): Lie | undefined {
    for (const kind of lies) {
      if (!this.#world.strikes(kind) || (kind === 'vanish' && verb !== 'sbatch')) continue
      this.#world.fault(`scheduler: ${kind}`)
      return kind
    }
    return undefined
  }

  #fate(): { how: Fate; ms: number } | undefined {
    const { chance } = this.#world
    const ms = chance.between(0, chance.pick([2_000, 60_000, 900_000]))
    for (const [kind, fate] of fates) {
      if (!this.#world.strikes(kind)) continue
      const how = fate === 'preempt' && chance.happens(0.5) ? 'preempt and requeue' : fate
      this.#world.fault(`allocation: ${how}`)
      return { how, ms }
    }
    return undefined
  }

  #processes(task: Task) {
    const world = this.#world
    return processesOf(task, {
      run: (command: Command, timeoutMs) => this.cluster.run(command, timeoutMs),
      startLauncher: async (runner, file) => {
        const allocation = [...this.cluster.allocations.values()].find((one) => one.runner === runner)
        if (allocation === undefined) throw new Error('a runner without an allocation')
        const { kernel, chance, disk, runs, pace } = world
        const told = {
          log: (text: string) => world.log(text),
          started: (ms: number) => pace.scriptStarted(ms),
          ended: () => pace.scriptEnded(world.hosts),
        }
        return startLauncher({ kernel, chance, disk, runs, ...told }, allocation, runner, file)
      },
    })
  }

  #startRunner({ id, identity, restart, startedMs, walltimeMs }: Allocation, node: Machine): Task {
    const world = this.#world
    const [, , lane = '', nonce = ''] = identity.split('/')
    const words = ['--workspace', this.workspace, '--lane', lane, '--nonce', nonce]
    const argv = ['node', 'hpc_runner', ...words, '--native-id', String(id), '--restart', String(restart), identity]
    // as the controller sees it, whose clock the login node has
    const endMs = this.login.wallMs() - world.kernel.now + startedMs + walltimeMs
    const env = { SLURM_JOB_END_TIME: String(Math.floor(endMs / 1000)) }
    const { task, exports } = world.start(world.programs.runner, node, argv, { env }, (one) => this.#processes(one))
    void (exports as unknown as Startable).start()
    return task
  }

  async connect(client: Task): Promise<Connection> {
    const world = this.#world
    await world.sleep(world.chance.between(20, 300))
    if (world.strikes('refuse') || !this.login.isUp) {
      world.fault('connection refused')
      throw new Error('connect ECONNREFUSED')
    }
    let breakIt: (error: Error) => void = () => undefined
    const broken = new Promise<never>((_, reject) => {
      breakIt = reject
    })
    broken.catch(() => undefined)
    const cuts: (() => void)[] = []
    const cutAll = () => {
      for (const cut of cuts) cut()
    }
    client.atEnd(cutAll)
    return {
      broken,
      roundTripMs: 0,
      exec: async () => this.#startQueuer(client, cuts, breakIt),
      putFile: async () => {
        throw new Error('the programs are there')
      },
      close: async () => cutAll(),
    }
  }

  async #startQueuer(client: Task, cuts: (() => void)[], breakIt: (error: Error) => void): Promise<Channel> {
    const world = this.#world
    const { kernel, chance } = world
    const delayMs = chance.between(1, 60)
    await world.sleep(delayMs)
    let held = () => 0
    const stdin = wire(kernel, delayMs, () => held())
    const stdout = wire(kernel, delayMs, () => client.pausedUntilMs)
    const stderr = wire(kernel, delayMs)
    if (!this.login.isUp) throw new Error('the connection was lost')
    const { task, exports } = world.start(
      world.programs.queuer,
      this.login,
      ['node', 'hpc_queuer', '--workspace', this.workspace],
      { stdin: stdin.output, stdout: stdout.input },
      (one) => this.#processes(one),
    )
    held = () => task.pausedUntilMs
    task.atEnd((code) => code === null && stdout.hush())
    const exited = task.ended.then(async (code) => {
      stderr.input.end()
      // a machine that crashed closes nothing
      if (this.login.isUp) {
        stdout.input.end()
        stdin.cut(new Error('write EPIPE'))
      } else stall()
      await world.sleep(delayMs)
      return { code, signal: code === null ? 'SIGKILL' : null }
    })
    const stall = () => {
      stdin.stall()
      stdout.stall()
    }
    // the submitter went away: its end of the stream is an end here
    cuts.push(() => {
      stdin.cut()
      stdout.stall()
      stdout.input.destroy(new Error('write EPIPE'))
      if (client.alive) stdout.output.push(null)
    })
    void (exports as unknown as Startable).start()
    if (world.strikes('cut')) {
      kernel.after(chance.between(0, 2_000), () => {
        if (!task.alive) return
        world.fault('channel cut')
        stdin.cut(undefined, chance.between(0, 200))
        const error = new Error('the connection was lost')
        stdout.cut(error, chance.between(0, 200))
        breakIt(error)
      })
    } else if (world.strikes('stall')) {
      kernel.after(chance.between(0, 2_000), () => {
        if (!task.alive) return
        world.fault('channel stalled')
        stall()
        // the other side's keepalive ends it some day
        kernel.after(900_000, () => task.end(null))
      })
    }
    return { stdin: stdin.input, stdout: stdout.output, stderr: stderr.output, exited, kill: () => stdin.cut() }
  }

  /** Where the job of an exit file has its result. */
  hasResult(exitFile: string): boolean {
    return this.#world.disk.text(resultBeside(exitFile)) !== undefined
  }
}
