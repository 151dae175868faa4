/** A host that serves a dropbox: each pass of its cron is one process, started as the real one is. */

import type { Sessions } from '../../submitter/attend-site.ts'
import { type Config, parseConfig } from '../../submitter/config.ts'
import type { Wake } from '../../submitter/dropbox.ts'
import type { Gateway } from '../../submitter/gateway.ts'
import type { TickReport } from '../../submitter/tick.ts'
import type { Clock } from '../../system/clock.ts'
import type { Files } from '../../system/files.ts'
import type { Os } from '../../system/os.ts'
import type { Machine } from './machine.ts'
import type { Plan } from './plan.ts'
import { processesOf } from './processes.ts'
import type { Task } from './task.ts'
import type { World } from './world.ts'

interface Submitter {
  readonly tick: (gateway: Gateway, sessions?: Sessions, wake?: Wake) => Promise<TickReport>
  readonly Files: new (os: Os) => Files
  readonly realOs: Os
  readonly realClock: Clock
}

export class GatewayHost {
  readonly machine: Machine
  readonly dir: string
  /** Another host serves this dropbox too. */
  readonly shared: boolean
  readonly #world: World
  readonly #config: Config

  constructor(world: World, machine: Machine, dir: string, shared: boolean) {
    this.#world = world
    this.machine = machine
    this.dir = dir
    this.shared = shared
    this.#config = configOf(dir, world.plan, world.sites)
  }

  /** One pass of a cron, or of a `watch` that was woken, to its end or its death. */
  async tick(wake?: Wake): Promise<void> {
    const world = this.#world
    const { machine } = this
    if (!machine.isUp) return
    const none = {
      run: () => Promise.reject(new Error('a gateway runs no commands')),
      startLauncher: () => {
        throw new Error('a gateway starts no processes')
      },
    }
    const { task, exports } = world.start(world.programs.submitter, machine, ['node', 'hpc-submitter'], {}, (one) =>
      processesOf(one, none),
    )
    const say = (text: string) => world.log(`${machine.name} tick ${task.pid}: ${text}`)
    const work = async () => {
      const program = exports as unknown as Submitter
      const report = await program.tick(this.#gateway(task, program, say), undefined, wake)
      for (const error of report.errors) say(error.message)
      for (const { site, trouble } of report.sites) for (const text of trouble) say(`${site}: ${text}`)
    }
    work().then(
      () => task.end(0),
      (error: unknown) => {
        if (task.alive) say(String(error))
        task.end(1)
      },
    )
    await task.ended
  }

  #gateway(task: Task, program: Submitter, say: (text: string) => void): Gateway {
    const { machine } = this
    const { bootId } = machine
    const log = (level: string) => (text: string) => say(`${level} ${text}`)
    return {
      config: this.#config,
      files: new program.Files(program.realOs),
      clock: program.realClock,
      log: { debug: () => undefined, info: log('info'), warn: log('warn') },
      uuid: () => this.#world.chance.uuid(),
      host: machine.name,
      self: { pid: task.pid, startTicks: task.startTicks, bootId },
      uid: 1000,
      options: { noCleanup: false, email: undefined, debug: false, takeOver: false },
      programs: () => ({ folder: 'simulated', queuerDigest: 'q', runnerDigest: 'r', files: [] }),
      transportFor: ({ name }) => ({
        description: 'simulated',
        connect: () => {
          const site = this.#world.sites.find((one) => one.name === name)
          if (site === undefined) throw new Error(`no site ${name}`)
          return site.connect(task)
        },
      }),
      groupsOf: () => new Set(),
      userName: () => 'amp',
      isOpenForWriting: () => false,
      progress: () => undefined,
    }
  }
}

const configs = new Map<string, Config>()

function configOf(dir: string, plan: Plan, sites: readonly { name: string; workspace: string }[]): Config {
  const text = [
    `dropbox: ${dir}/dropbox`,
    `templates: ${dir}/templates`,
    `state: ${dir}/state`,
    'sites:',
    ...sites.flatMap(({ name, workspace }) => [
      `  ${name}:`,
      '    transport: {type: local}',
      '    scheduler: {type: slurm}',
      `    hpc_env: {workspace: ${workspace}}`,
      `    max_runners: ${plan.maxRunners}`,
      '    lanes:',
      `      default: {time: ${plan.walltime}, margin: ${plan.marginMin}m, slots: ${plan.slots}}`,
      `      long: {time: 3h, margin: ${plan.marginMin}m, slots: ${plan.slots}}`,
    ]),
    '',
  ].join('\n')
  const known = configs.get(text)
  if (known !== undefined) return known
  const { config } = parseConfig(text, { file: `${dir}/config.yml`, mode: 0o600, dir, home: '/home/amp' })
  configs.set(text, config)
  return config
}
