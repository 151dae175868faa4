/** One simulated world: gateways with their crons, sites with their clusters, tools that drop jobs, and what all of them share. */
import { posix } from 'node:path'
import { idOfKey } from '../../contract/spool.ts'
import type { Sighting } from '../judge/evidence.ts'
import { contentAt, same } from '../judge/results.ts'
import { Closings } from './closings.ts'
import { crashMachine } from './disasters.ts'
import { Disk } from './disk.ts'
import { fileFaults, type Kill, ListingCache } from './file-faults.ts'
import { GatewayHost } from './gateway-host.ts'
import { type PlannedJob, templates } from './jobs.ts'
import { Chance, Kernel } from './kernel.ts'
import { Machine } from './machine.ts'
import { Pace } from './pace.ts'
import type { Plan } from './plan.ts'
import type { Program, Programs, Started } from './programs.ts'
import type { Run } from './scripts.ts'
import { SimulatedSite } from './site.ts'
import type { Storm } from './storm.ts'
import type { Task, TaskOptions } from './task.ts'

const epochMs = Date.UTC(2026, 10, 20)

export interface DroppedJob {
  readonly planned: PlannedJob
  /** How often its result appeared and stayed. */
  finished: number
}

export class World {
  readonly kernel = new Kernel()
  readonly chance: Chance
  readonly disk = new Disk()
  readonly plan: Plan
  readonly programs: Programs
  readonly storm: Storm
  readonly sites: SimulatedSite[]
  readonly hosts: GatewayHost[] = []
  readonly pace = new Pace()
  readonly jobs: DroppedJob[] = []
  readonly runs: Run[] = []
  /** Starts that were written down, by the file in which their exit is told. */
  readonly attempts = new Map<string, { readonly job: string; readonly mark: string; readonly atMs: number }>()
  readonly sightings: Sighting[] = []
  readonly partial = new Set<string>()
  readonly tasks = new Set<Task>()
  /** What was noticed while it went on, as sentences. */
  readonly broken: string[] = []
  readonly injected = new Map<string, number>()
  /** No room on these file systems until then. */
  readonly fullUntilMs = new Map<string, number>()
  readonly #trace: ((line: string) => void) | undefined
  readonly #caches = new Map<Machine, ListingCache>()
  readonly #closings = new Closings(this)
  readonly #killAt = new WeakMap<Task, Kill>()
  /** By the job's name. */
  readonly #atClaim = new Map<string, () => void>()
  readonly #standStillAt = new WeakMap<Task, { readonly effect: number; readonly act: () => void }>()

  constructor(seed: number, plan: Plan, programs: Programs, trace?: (line: string) => void) {
    this.chance = new Chance(seed)
    this.plan = plan
    this.programs = programs
    this.#trace = trace
    this.storm = plan.storm
    this.disk.clones = plan.clones
    this.sites = plan.sites.map((name) => new SimulatedSite(this, name))
    for (let g = 1; g <= plan.gateways; g++) {
      const dir = `/g${g}`
      const machine = this.machine(`g${g}`)
      const twin = plan.twin && g === 1 ? this.machine('g1twin') : undefined
      // a dropbox of two hosts lies on a server, which dates by its own clock
      this.mount(dir.slice(1), twin === undefined ? () => machine.wallMs() : undefined)
      for (const folder of ['dropbox', 'state', 'in', 'out']) this.disk.mkdir(`${dir}/${folder}`, 0o755, true)
      for (const [name, text] of Object.entries(templates))
        this.disk.putDurably(`${dir}/templates/${name}.template`, text)
      this.disk.putDurably(`${dir}/in/shared.in`, plan.shared)
      for (const folder of ['dropbox', 'state', 'in', 'out']) this.disk.syncNames(`${dir}/${folder}/x`)
      for (const one of twin === undefined ? [machine] : [machine, twin])
        this.hosts.push(new GatewayHost(this, one, dir, twin !== undefined))
    }
  }

  machine(name: string): Machine {
    const { chance } = this
    return new Machine(
      this.kernel,
      name,
      chance.uuid(),
      chance.between(-3_600_000, 3_600_000),
      chance.between(1_000_000, 1_000_000_000),
    )
  }

  /** A file system of its own; dated by a server's clock, or by that of the one machine that has it. */
  mount(name: string, wallMs?: () => number): void {
    const { chance, disk, kernel } = this
    disk.mount(name, {
      dev: disk.volumes.size + 1,
      wallMs: wallMs ?? (() => epochMs + kernel.now),
      nowMs: () => kernel.now,
      ordered: wallMs === undefined || chance.happens(0.5),
      pending: [],
      isFull: () => {
        if (kernel.now >= (this.fullUntilMs.get(name) ?? 0) || chance.happens(0.3)) return false
        this.fault(`no room in /${name}`)
        return true
      },
    })
  }

  get machines(): Machine[] {
    return [...this.hosts.map(({ machine }) => machine), ...this.sites.flatMap(({ machines }) => machines)]
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

  strikes(kind: Exclude<keyof Storm, 'endsMs'>): boolean {
    const chance = this.storm[kind]
    return chance > 0 && this.kernel.now < this.storm.endsMs && this.chance.happens(chance)
  }

  /** Another thread of the story: waits in simulated time. */
  sleep(ms: number): Promise<void> {
    return new Promise((resolve) => void this.kernel.after(ms, resolve))
  }

  // ------------------------------------------------------------ processes

  start(
    program: Program,
    machine: Machine,
    argv: readonly string[],
    more: { env?: Record<string, string>; stdin?: unknown; stdout?: unknown },
    processes: TaskOptions['processes'],
  ): Started {
    const { kernel, chance, disk } = this
    const label = `${machine.name} ${posix.basename(argv[1] ?? '')}`
    const started = program.start({
      kernel,
      chance,
      disk,
      machine,
      argv,
      env: more.env ?? {},
      stdio: {
        stdin: more.stdin,
        stdout: more.stdout,
        stderr: (text) => this.log(`${label}: ${text.trimEnd()}`),
      },
      processes,
      faults: (one) => this.#faultsOf(one, nameIn(argv)),
    })
    this.#begin(started.task, nameIn(argv))
    return started
  }

  /** What is to befall it, if anything. */
  #begin(task: Task, name: ProgramName): void {
    const kind = { submitter: 'killSubmitter', queuer: 'killQueuer', runner: 'killRunner' } as const
    this.tasks.add(task)
    task.atEnd(() => this.tasks.delete(task))
    if (this.strikes(kind[name])) {
      const when = this.chance.pick(['before', 'after'] as const)
      const effect = this.chance.between(1, this.chance.pick([10, 60, 200]))
      this.#killAt.set(task, { effect, when, crash: this.strikes('crashes') })
    }
    if (!this.strikes('pause')) return
    const standStill = () => {
      if (!task.alive) return
      this.fault(`${name} stands still`)
      task.pausedUntilMs = this.kernel.now + this.chance.between(5_000, 600_000)
    }
    // in the middle of its work, where the other host of its dropbox may take over meanwhile
    if (name === 'submitter' && this.plan.twin)
      this.#standStillAt.set(task, { effect: this.chance.between(1, this.chance.pick([20, 60, 200])), act: standStill })
    else this.kernel.after(this.chance.between(0, name === 'runner' ? 60_000 : 3_000), standStill)
  }

  // ------------------------------------------------------------ files

  #faultsOf(task: Task, name: ProgramName) {
    const { machine } = task
    const cache = this.#caches.get(machine) ?? new ListingCache()
    this.#caches.set(machine, cache)
    const shaking = {
      chance: this.chance,
      storm: this.storm,
      nowMs: () => this.kernel.now,
      fault: (kind: string) => this.fault(kind),
      crash: () => crashMachine(this, machine),
      isRemote: (path: string) => path.startsWith('/hpc'),
      done: (call: string, path: string) => {
        const still = this.#standStillAt.get(task)
        if (still?.effect === task.effects) still.act()
        if (call === 'rename' || call === 'write') this.#changed(call, path)
        if (call === 'rename' && this.#atClaim.size > 0) this.#claimed(path)
        if (call === 'write' && name === 'runner') this.#attempted(path)
        else if (call === 'create') this.#closings.created(task, path)
      },
    }
    return fileFaults(task, name, shaking, cache, () => this.#killAt.get(task))
  }

  get view() {
    const { disk } = this
    return { names: (dir: string) => disk.names(dir), text: (path: string) => disk.text(path) }
  }

  /** Watches over every change as a reader who always looks. */
  #changed(call: string, path: string): void {
    const [, gateway, folder, name = ''] = /^\/(g\d+)\/(dropbox|out)\/([^/]+)/.exec(path) ?? []
    if (gateway === undefined || name.startsWith('.')) return
    if (folder === 'out') {
      for (const { planned } of this.jobs) {
        for (const end of planned.job.ends) {
          const whole = end.outputs[path]
          if (whole !== undefined && whole !== null && !same(contentAt(this.view, path, whole), whole))
            this.partial.add(path)
        }
      }
      return
    }
    if (call !== 'rename' || !name.endsWith('.job.finished')) return
    const job = this.jobs.find(({ planned }) => path === resultOf(planned))
    if (job === undefined) {
      this.breaks(`${path} is the result of nothing`)
      return
    }
    job.finished += 1
    this.log(`${job.planned.job.name} is finished`)
    const { dropbox, name: base, ends } = job.planned.job
    const paths = new Set(ends.flatMap(({ outputs }) => Object.keys(outputs)))
    const found = [...paths].map((at) => [at, contentAt(this.view, at, null)])
    this.sightings.push({ dropbox, name: base, outputs: Object.fromEntries(found) as Sighting['outputs'] })
  }

  /** A runner takes a job, which it may hold a while before it starts it. */
  #claimed(path: string): void {
    const [, root, key = ''] = /^(.*)\/running\/[^/]+\/([^/]+)$/.exec(path) ?? []
    if (root === undefined) return
    const text = this.disk.text(`${root}/control/${idOfKey(key)}/job.yml`) || '{}'
    const { name = '' } = JSON.parse(text) as { name?: string }
    const act = this.#atClaim.get(name)
    this.#atClaim.delete(name)
    act?.()
  }

  /** That a script is to be started: should nothing come of it, the job has one try less all the same. */
  #attempted(path: string): void {
    const [, control, number] = /^(.*\/control\/[^/]+)\/attempts\/(\d+)$/.exec(path) ?? []
    if (control === undefined) return
    const read = (file: string) =>
      JSON.parse(this.disk.text(file) || '{}') as { name?: string; fence?: string; exit?: string }
    const job = read(`${control}/job.yml`).name
    const { fence, exit = `${number}.rc` } = read(path)
    if (job !== undefined && fence === undefined)
      this.attempts.set(`${control}/attempts/${exit}`, {
        job,
        mark: `${control.slice(control.lastIndexOf('/') + 1)}.${number}`,
        atMs: this.kernel.now,
      })
  }

  /** The power took what nobody had durably: a result that is gone was never there. */
  afterPowerLoss(): void {
    for (const job of this.jobs) {
      if (job.finished === 0 || this.disk.text(resultOf(job.planned)) !== undefined) continue
      job.finished -= 1
      this.log(`the result of ${job.planned.job.name} is gone with the power`)
      const at = this.sightings.findIndex(({ name }) => name === job.planned.job.name)
      if (at >= 0) this.sightings.splice(at, 1)
    }
  }

  drop(host: GatewayHost, planned: PlannedJob): void {
    const { job, text, inputs, about } = planned
    for (const [path, content] of Object.entries(inputs))
      if (this.disk.text(path) === undefined) this.disk.putDurably(path, content)
    this.jobs.push({ planned, finished: 0 })
    this.disk.putDurably(`${job.dropbox}/${job.name}.job`, text)
    this.log(`${job.name} is dropped at ${host.machine.name}: ${about}`)
    const served = this.hosts.filter(({ dir }) => dir === host.dir)
    this.pace.written(served, job.name)
    const { cancelAfterMs } = planned
    if (cancelAfterMs === undefined) return
    const cancel = () => {
      if (this.disk.text(resultOf(planned)) !== undefined) return
      this.fault('a job is cancelled')
      this.disk.putDurably(`${job.dropbox}/${job.name}.job.cancel`, '')
      this.pace.written(served, job.name)
    }
    if (this.plan.fickle)
      this.#atClaim.set(job.name, () => void this.kernel.after(this.chance.between(0, 4_000), cancel))
    else this.kernel.after(cancelAfterMs, cancel)
  }
}

export function resultOf({ job }: PlannedJob): string {
  return `${job.dropbox}/${job.name}.job.finished`
}

type ProgramName = 'submitter' | 'queuer' | 'runner'

function nameIn(argv: readonly string[]): ProgramName {
  return posix.basename(argv[1] ?? '').replace(/^hpc[-_]/, '') as ProgramName
}
