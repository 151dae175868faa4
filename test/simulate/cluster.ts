/** The site: its nodes, the scripts on them, and a Slurm that keeps the books and answers as the real one does, or lies as it does. */
import type { ScriptStart } from '../../contract/launcher.ts'
import type { Command, Reply } from '../../scheduler/scheduler.ts'
import type { Disk } from './disk.ts'
import type { Chance, Kernel } from './kernel.ts'
import type { Machine, OsProcess, Task } from './task.ts'

const fieldEnd = '\x1f'
const recordEnd = '\x1e\n'
const keptMs = 300_000
const killWaitMs = 30_000

export interface Allocation {
  readonly id: number
  readonly identity: string
  readonly walltimeMs: number
  state: 'PENDING' | 'RUNNING' | 'COMPLETING' | 'COMPLETED' | 'CANCELLED' | 'TIMEOUT' | 'NODE_FAIL'
  restart: number
  node: Machine | undefined
  runner: Task | undefined
  startedMs: number
  endedMs: number
  readonly members: Set<OsProcess>
}

/** One start of a script, as it really went. */
export interface Run {
  readonly token: string
  readonly mark: string
  readonly allocation: Allocation
  /** Which start of the allocation. */
  readonly restart: number
  readonly startMs: number
  endMs: number | undefined
  /** Came to its own end and told it: nothing may run it again. */
  told: boolean
}

export interface ClusterHooks {
  startRunner(allocation: Allocation, node: Machine): Task
  started(run: Run): void
  /** One more was submitted while so many waited. */
  submitted(waiting: number): void
  log(text: string): void
  /** Before the scheduler does what it is asked: its answer is to be wrong in this way. */
  lie(verb: string): 'hung' | 'deaf' | 'truncated' | 'vanish' | undefined
  /** How an allocation that has just started is to end before its time, and after how long. */
  fate(allocation: Allocation): { readonly how: 'fail' | 'requeue' | 'cancel'; readonly ms: number } | undefined
}

export class Cluster {
  readonly allocations = new Map<number, Allocation>()
  readonly runs: Run[] = []
  readonly #kernel: Kernel
  readonly #chance: Chance
  readonly #disk: Disk
  readonly #nodes: readonly Machine[]
  readonly #hooks: ClusterHooks
  #ids = 0
  #hungUntilMs = 0

  constructor(kernel: Kernel, chance: Chance, disk: Disk, nodes: readonly Machine[], hooks: ClusterHooks) {
    this.#kernel = kernel
    this.#chance = chance
    this.#disk = disk
    this.#nodes = nodes
    this.#hooks = hooks
  }

  // ------------------------------------------------------------ Slurm's commands

  run({ argv }: Command, timeoutMs: number): Promise<Reply> {
    const verb = argv.find((word) => ['sbatch', 'squeue', 'scancel', 'sinfo'].includes(word)) ?? ''
    const lie = this.#hooks.lie(verb)
    const reply = (code: number | null, stdout: string, stderr = '', timedOut = false): Reply => ({
      code,
      stdout,
      stderr,
      timedOut,
    })
    return new Promise((resolve) => {
      const answer = (ms: number, text: () => Reply) => void this.#kernel.after(ms, () => resolve(text()))
      if (lie === 'deaf') {
        const said = 'slurm_load_jobs error: Unable to contact slurm controller (connect failure)\n'
        answer(9_000, () => reply(1, '', `${verb}: error: ${said}`))
        return
      }
      if (lie === 'hung')
        this.#hungUntilMs = Math.max(this.#hungUntilMs, this.#kernel.now + this.#chance.between(1_000, 120_000))
      if (this.#hungUntilMs > this.#kernel.now) {
        // it does what it was asked when it goes on, and nobody hears of it
        this.#kernel.after(this.#hungUntilMs - this.#kernel.now, () => this.#obey(verb, argv))
        const said = `${verb}: error: Batch job submission failed: Socket timed out on send/recv operation\n`
        answer(10_000, () => (timeoutMs < 10_000 ? reply(null, '', '', true) : reply(1, '', said)))
        return
      }
      answer(this.#chance.between(5, 200), () => {
        const text = this.#obey(verb, argv)
        if (lie === 'vanish' && verb === 'sbatch') this.#forgetLast()
        return lie === 'truncated' ? reply(0, text.slice(0, Math.floor(text.length / 2))) : reply(0, text)
      })
    })
  }

  #obey(verb: string, argv: readonly string[]): string {
    if (verb === 'sbatch') return `${this.#submit(argv)}\n`
    if (verb === 'squeue') return this.#queue()
    if (verb === 'scancel') {
      const found = this.allocations.get(Number(argv.at(-1)))
      if (found !== undefined) this.cancel(found)
    }
    return ''
  }

  /** Killed before it wrote its books: the allocation it has just told of was never there, and its id is given again. */
  #forgetLast(): void {
    this.allocations.delete(this.#ids)
    this.#ids -= 1
  }

  #queue(): string {
    const rows = [...this.allocations.values()]
      .filter(({ endedMs }) => this.#kernel.now - endedMs < keptMs)
      .map(({ id, state, identity }) => [id, state, 'None', 'N/A', 'dl', '1:00:00', `/script ${identity}`, identity])
    const header = ['JOBID', 'STATE', 'REASON', 'START_TIME', 'PARTITION', 'TIME_LIMIT', 'COMMAND', 'COMMENT']
    return [header, ...rows].map((row) => row.join(fieldEnd) + recordEnd).join('')
  }

  #submit(argv: readonly string[]): number {
    this.#ids += 1
    const waiting = [...this.allocations.values()].filter(({ state, restart }) => state === 'PENDING' && restart === 0)
    this.#hooks.submitted(waiting.length)
    const minutes = Number(argv[argv.indexOf('-t') + 1])
    const allocation: Allocation = {
      id: this.#ids,
      identity: argv.at(-1) ?? '',
      walltimeMs: minutes * 60_000,
      state: 'PENDING',
      restart: 0,
      node: undefined,
      runner: undefined,
      startedMs: 0,
      endedMs: Number.POSITIVE_INFINITY,
      members: new Set(),
    }
    this.allocations.set(allocation.id, allocation)
    this.#kernel.after(this.#chance.between(500, 240_000), () => this.#start(allocation))
    return allocation.id
  }

  // ------------------------------------------------------------ the life of an allocation

  #start(allocation: Allocation): void {
    if (allocation.state !== 'PENDING' || this.allocations.get(allocation.id) !== allocation) return
    const node = this.#chance.pick(this.#nodes)
    Object.assign(allocation, { state: 'RUNNING', node, startedMs: this.#kernel.now })
    this.#hooks.log(`allocation ${allocation.id} starts on ${node.name}, restart ${allocation.restart}`)
    const runner = this.#hooks.startRunner(allocation, node)
    allocation.runner = runner
    allocation.members.add(runner)
    const { restart } = allocation
    const still = () => allocation.restart === restart && allocation.state === 'RUNNING'
    void runner.ended.then(() => {
      if (still()) this.#finish(allocation, 'COMPLETED')
    })
    const fate = this.#hooks.fate(allocation)
    if (fate !== undefined) {
      const acts = {
        fail: () => this.fail(allocation),
        requeue: () => this.requeue(allocation),
        cancel: () => this.cancel(allocation),
      }
      this.#kernel.after(fate.ms, () => still() && acts[fate.how]())
    }
    this.#kernel.after(allocation.walltimeMs - 60_000, () => still() && runner.alive && runner.signal('SIGUSR2'))
    this.#kernel.after(allocation.walltimeMs, () => still() && this.terminate(allocation, 'TIMEOUT'))
  }

  /** TERM to all, KILL after a while. */
  terminate(allocation: Allocation, state: Allocation['state']): void {
    if (allocation.state !== 'RUNNING') return
    allocation.state = 'COMPLETING'
    this.#hooks.log(`allocation ${allocation.id} is ended: ${state}`)
    const { restart } = allocation
    for (const member of [...allocation.members]) member.signal('SIGTERM')
    const over = () => {
      if (allocation.state === 'COMPLETING' && allocation.restart === restart) this.#finish(allocation, state)
    }
    void allocation.runner?.ended.then(over)
    this.#kernel.after(killWaitMs, over)
  }

  cancel(allocation: Allocation): void {
    if (allocation.state === 'PENDING') {
      allocation.state = 'CANCELLED'
      allocation.endedMs = this.#kernel.now
    } else this.terminate(allocation, 'CANCELLED')
  }

  /** Its node fails: all is gone at once. */
  fail(allocation: Allocation): void {
    if (allocation.state !== 'RUNNING') return
    this.#hooks.log(`allocation ${allocation.id} loses its node`)
    this.#finish(allocation, 'NODE_FAIL')
  }

  /** Put back into the queue by the scheduler, under the same id. */
  requeue(allocation: Allocation): void {
    if (allocation.state !== 'RUNNING') return
    this.#hooks.log(`allocation ${allocation.id} is requeued`)
    this.#end(allocation)
    allocation.state = 'PENDING'
    allocation.restart += 1
    this.#kernel.after(this.#chance.between(1_000, 121_000), () => this.#start(allocation))
  }

  #finish(allocation: Allocation, state: Allocation['state']): void {
    this.#end(allocation)
    allocation.state = state
    allocation.endedMs = this.#kernel.now
  }

  #end(allocation: Allocation): void {
    // launchers before their scripts: nothing is told of a death that took all at once
    const members = [...allocation.members].sort((a, b) => Number(b.mark === undefined) - Number(a.mark === undefined))
    for (const member of members) member.signal('SIGKILL')
    allocation.members.clear()
  }

  // ------------------------------------------------------------ scripts

  /** What a launcher does: scripts one after the other, each to its end and its exit told, though the runner be gone; then its own end. */
  async startLauncher(runner: Task, file: string) {
    const { machine } = runner
    const allocation = [...this.allocations.values()].find((one) => one.runner === runner)
    if (allocation === undefined) throw new Error('a runner without an allocation')
    const session = machine.nextPid()
    const pid = machine.nextPid()
    const startTicks = String(this.#kernel.now)
    let loaded: ScriptStart | undefined
    let ended: () => void = () => undefined
    let busy = false
    let closed = false
    let gone: () => void = () => undefined
    const promise = new Promise<void>((resolve) => {
      gone = resolve
    })
    const launcher: OsProcess = {
      pid,
      startTicks,
      session,
      mark: undefined,
      argv: ['/bin/bash', file],
      signal: (name) => {
        if (name === 'SIGKILL') leave()
      },
    }
    const leave = () => {
      machine.processes.delete(pid)
      allocation.members.delete(launcher)
      ended()
      gone()
    }
    const close = () => {
      closed = true
      if (!busy) leave()
    }
    machine.processes.set(pid, launcher)
    allocation.members.add(launcher)
    void runner.ended.then(close)
    return {
      pid,
      startTicks,
      session,
      gone: promise,
      load: (start: ScriptStart) => {
        loaded = start
      },
      go: () => {
        const start = loaded
        loaded = undefined
        if (start === undefined || !machine.processes.has(pid)) return Promise.resolve()
        const end = new Promise<void>((resolve) => {
          ended = resolve
        })
        busy = true
        this.#startScript(runner, allocation, launcher, start, () => {
          busy = false
          ended()
          if (closed) leave()
        })
        return end
      },
      end: close,
    }
  }

  /** What a script does, from its text as it was rendered, and what its launcher writes; `over` when that is done. */
  #startScript(runner: Task, allocation: Allocation, launcher: OsProcess, start: ScriptStart, over: () => void): void {
    const { machine } = runner
    const { script, workDir, stdout, stderr, exit, environment } = start
    const text = this.#disk.text(script) ?? ''
    const [, seconds = '0', rc = '0', token = '', from = '', to = ''] =
      /^work (\d+) (\d+) (\S+) (\S+) (\S+)$/m.exec(text) ?? []
    const mark = environment.HPC_BATCH_JOB ?? ''
    const run: Run = {
      token,
      mark,
      allocation,
      restart: allocation.restart,
      startMs: this.#kernel.now,
      endMs: undefined,
      told: false,
    }
    this.runs.push(run)
    this.#hooks.log(`script ${token} starts as ${mark} in allocation ${allocation.id}`)
    const up = () => ((this.#kernel.now - machine.bootedMs) / 1000).toFixed(2)
    const tell = (code: number, word: string, own = false) => {
      if (run.endMs !== undefined) return
      run.endMs = this.#kernel.now
      stop()
      machine.processes.delete(body.pid)
      allocation.members.delete(body)
      if (!machine.processes.has(launcher.pid)) return
      run.told = own && (code === 0 || allocation.state === 'RUNNING')
      this.#disk.append(exit, `${word}rc ${code} ${up()}\n0m0.0s 0m0.0s\n0m0.1s 0m0.1s\nend\n`)
      over()
    }
    const body: OsProcess = {
      pid: machine.nextPid(),
      startTicks: String(this.#kernel.now),
      session: launcher.session,
      mark,
      argv: [script],
      signal: (name) => tell(name === 'SIGKILL' ? 137 : 143, name === 'SIGKILL' ? 'Killed\n' : 'Terminated\n'),
    }
    machine.processes.set(body.pid, body)
    allocation.members.add(body)
    this.#disk.append(exit, `0m0.0s 0m0.0s\n0m0.0s 0m0.0s\ngroup ${body.pid}\nstart ${up()}\n`)
    this.#disk.put(stdout, `${token} out\n`)
    this.#disk.put(stderr, '')
    const output = `${workDir}/output/${to}`
    const whole = `${token}:${this.#disk.text(`${workDir}/input/${from}`)}`
    const halfMs = Number(seconds) * 500
    let stop = this.#kernel.after(halfMs, () => {
      this.#disk.put(output, whole.slice(0, 3))
      stop = this.#kernel.after(halfMs, () => {
        if (rc === '0') this.#disk.put(output, whole)
        tell(Number(rc), '', true)
      })
    })
    this.#hooks.started(run)
  }
}
