/** The site: its nodes, the scripts on them, and a Slurm that keeps the books and answers as the real one does, or lies as it does. */
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
    // wrappers before their scripts: nothing is told of a death that took all at once
    const members = [...allocation.members].sort((a, b) => Number(b.session === b.pid) - Number(a.session === a.pid))
    for (const member of members) member.signal('SIGKILL')
    allocation.members.clear()
  }

  // ------------------------------------------------------------ scripts

  /** What the wrapper and its script do, from the text of the script as it was rendered. */
  startScript(runner: Task, argv: readonly string[], env: Readonly<Record<string, string>>) {
    const [, , script = '', workDir = '', stdout = '', stderr = '', exitFile = ''] = argv
    const { machine } = runner
    const allocation = [...this.allocations.values()].find((one) => one.runner === runner)
    if (allocation === undefined) throw new Error('a runner without an allocation')
    const text = this.#disk.text(script) ?? ''
    const [, seconds = '0', rc = '0', token = '', from = '', to = ''] =
      /^work (\d+) (\d+) (\S+) (\S+) (\S+)$/m.exec(text) ?? []
    const mark = env.HPC_BATCH_JOB ?? ''
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
    const session = machine.nextPid()
    let ended: (error: Error | undefined) => void = () => undefined
    const promise = new Promise<Error | undefined>((resolve) => {
      ended = resolve
    })
    const leave = (member: OsProcess) => {
      machine.processes.delete(member.pid)
      allocation.members.delete(member)
    }
    const tell = (code: number, word: string, own = false) => {
      if (run.endMs !== undefined) return
      run.endMs = this.#kernel.now
      stop()
      leave(body)
      if (!machine.processes.has(wrapper.pid)) return
      run.told = own && (code === 0 || allocation.state === 'RUNNING')
      this.#disk.append(exitFile, `${word}rc ${code} ${up()}\n0m0.0s 0m0.0s\n0m0.1s 0m0.1s\nend\n`)
      leave(wrapper)
      ended(undefined)
    }
    const wrapper: OsProcess = {
      pid: session,
      startTicks: String(this.#kernel.now),
      session,
      mark,
      argv,
      signal: (name) => {
        if (name !== 'SIGKILL') return
        leave(wrapper)
        ended(undefined)
      },
    }
    const body: OsProcess = {
      pid: machine.nextPid(),
      startTicks: String(this.#kernel.now),
      session,
      mark,
      argv: [script],
      signal: (name) => tell(name === 'SIGKILL' ? 137 : 143, name === 'SIGKILL' ? 'Killed\n' : 'Terminated\n'),
    }
    for (const member of [wrapper, body]) {
      machine.processes.set(member.pid, member)
      allocation.members.add(member)
    }
    this.#disk.append(exitFile, `start ${up()}\n`)
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
    return { pid: session, ended: promise }
  }
}
