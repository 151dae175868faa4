/** The site's Slurm: it keeps the books and answers as the real one does, or lies as it does. Its nodes run runners and scripts. */
import type { Command, Reply } from '../../scheduler/scheduler.ts'
import type { Chance, Kernel } from './kernel.ts'
import type { Machine, OsProcess } from './machine.ts'
import type { Task } from './task.ts'

const fieldEnd = '\x1f'
const recordEnd = '\x1e\n'
const keptMs = 300_000
const killWaitMs = 30_000

export interface Allocation {
  readonly id: number
  readonly identity: string
  readonly walltimeMs: number
  readonly submittedMs: number
  /** Began to work for the first time, or was gone before that. */
  leftQueueMs: number | undefined
  state: 'PENDING' | 'RUNNING' | 'COMPLETING' | 'COMPLETED' | 'CANCELLED' | 'TIMEOUT' | 'NODE_FAIL' | 'PREEMPTED'
  restart: number
  node: Machine | undefined
  runner: Task | undefined
  startedMs: number
  endedMs: number
  /** Since then the scheduler does not see its node, on which all goes on. */
  cutOffMs: number | undefined
  readonly members: Set<OsProcess>
  /** Somebody of the account submitted the script of one of ours once more. */
  readonly byHand: boolean
}

export type Lie = 'hung' | 'deaf' | 'truncated' | 'vanish'
export type Fate = 'fail' | 'cut off' | 'requeue' | 'cancel' | 'preempt' | 'preempt and requeue'

export interface ClusterHooks {
  startRunner(allocation: Allocation, node: Machine): Task
  log(text: string): void
  /** Before the scheduler does what it is asked: its answer is to be wrong in this way. */
  lie(verb: string): Lie | undefined
  /** How an allocation that has just started is to end before its time, and after how long. */
  fate(): { readonly how: Fate; readonly ms: number } | undefined
  /** How long a new allocation waits. */
  waitMs(): number
  /** So long after its start somebody submits it once more; undefined when nobody does. */
  byHandMs(): number | undefined
}

export class Cluster {
  readonly allocations = new Map<number, Allocation>()
  /** Those whose ids were given again. */
  readonly vanished: Allocation[] = []
  readonly nodes: readonly Machine[]
  readonly #kernel: Kernel
  readonly #chance: Chance
  readonly #hooks: ClusterHooks
  #ids = 0
  #hungUntilMs = 0

  constructor(kernel: Kernel, chance: Chance, nodes: readonly Machine[], hooks: ClusterHooks) {
    this.#kernel = kernel
    this.#chance = chance
    this.nodes = nodes
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
        // it does what it was asked when it goes on, or a little after it has begun to answer others, and nobody hears of it
        const lateMs = this.#chance.pick([0, 0, this.#chance.between(0, 40_000)])
        this.#kernel.after(this.#hungUntilMs - this.#kernel.now + lateMs, () => this.#obey(verb, argv))
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
    const last = this.allocations.get(this.#ids)
    if (last === undefined) return
    last.leftQueueMs = this.#kernel.now
    this.vanished.push(last)
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
    const minutes = Number(argv[argv.indexOf('-t') + 1])
    const { id } = this.#enqueue(argv.at(-1) ?? '', minutes * 60_000, this.#hooks.waitMs())
    return id
  }

  #enqueue(identity: string, walltimeMs: number, waitMs: number, byHand = false): Allocation {
    this.#ids += 1
    const allocation: Allocation = {
      id: this.#ids,
      identity,
      walltimeMs,
      submittedMs: this.#kernel.now,
      leftQueueMs: undefined,
      state: 'PENDING',
      restart: 0,
      node: undefined,
      runner: undefined,
      startedMs: 0,
      endedMs: Number.POSITIVE_INFINITY,
      cutOffMs: undefined,
      members: new Set(),
      byHand,
    }
    this.allocations.set(allocation.id, allocation)
    this.#kernel.after(waitMs, () => this.#start(allocation))
    return allocation
  }

  // ------------------------------------------------------------ the life of an allocation

  #start(allocation: Allocation): void {
    if (allocation.state !== 'PENDING' || this.allocations.get(allocation.id) !== allocation) return
    const up = this.nodes.filter((node) => node.isUp)
    if (up.length === 0) {
      this.#kernel.after(30_000, () => this.#start(allocation))
      return
    }
    const node = this.#chance.pick(up)
    Object.assign(allocation, { state: 'RUNNING', node, startedMs: this.#kernel.now })
    allocation.leftQueueMs ??= this.#kernel.now
    this.#hooks.log(`allocation ${allocation.id} starts on ${node.name}, restart ${allocation.restart}`)
    const runner = this.#hooks.startRunner(allocation, node)
    allocation.runner = runner
    allocation.members.add(runner)
    const { restart } = allocation
    const still = () => allocation.restart === restart && allocation.state === 'RUNNING'
    void runner.ended.then(() => {
      // a node that is down has not said so yet
      if (still() && node.isUp) this.#finish(allocation, 'COMPLETED')
    })
    const byHandMs = allocation.byHand ? undefined : this.#hooks.byHandMs()
    if (byHandMs !== undefined)
      this.#kernel.after(byHandMs, () => void this.#enqueue(allocation.identity, allocation.walltimeMs, 1_000, true))
    const fate = this.#hooks.fate()
    if (fate !== undefined) this.#kernel.after(fate.ms, () => still() && this.#meet(allocation, fate.how))
    this.#kernel.after(allocation.walltimeMs - 60_000, () => still() && runner.alive && runner.signal('SIGUSR2'))
    this.#kernel.after(allocation.walltimeMs, () => still() && this.terminate(allocation, 'TIMEOUT'))
  }

  #meet(allocation: Allocation, how: Fate): void {
    const acts: Readonly<Record<Fate, () => void>> = {
      fail: () => this.#lose(allocation),
      'cut off': () => this.#cutOff(allocation),
      requeue: () => this.#requeue(allocation),
      cancel: () => this.cancel(allocation),
      preempt: () => this.terminate(allocation, 'PREEMPTED'),
      'preempt and requeue': () => this.terminate(allocation, 'PENDING'),
    }
    acts[how]()
  }

  /** TERM to all, KILL after a while. */
  terminate(allocation: Allocation, state: Allocation['state']): void {
    if (allocation.state !== 'RUNNING') return
    allocation.state = 'COMPLETING'
    this.#hooks.log(`allocation ${allocation.id} is ended: ${state}`)
    const { restart } = allocation
    for (const member of [...allocation.members]) member.signal('SIGTERM')
    const over = () => {
      if (allocation.state !== 'COMPLETING' || allocation.restart !== restart) return
      if (state === 'PENDING') this.#queueAgain(allocation)
      else this.#finish(allocation, state)
    }
    void allocation.runner?.ended.then(over)
    this.#kernel.after(killWaitMs, over)
  }

  cancel(allocation: Allocation): void {
    if (allocation.state === 'PENDING') {
      allocation.state = 'CANCELLED'
      allocation.endedMs = this.#kernel.now
      allocation.leftQueueMs ??= this.#kernel.now
    } else this.terminate(allocation, 'CANCELLED')
  }

  /** Its node fails: all is gone at once. */
  #lose(allocation: Allocation): void {
    this.#hooks.log(`allocation ${allocation.id} loses its node`)
    this.#finish(allocation, 'NODE_FAIL')
  }

  /** The scheduler takes the node for dead, and all on it goes on for a while. */
  #cutOff(allocation: Allocation): void {
    this.#hooks.log(`allocation ${allocation.id} is cut off from the scheduler`)
    Object.assign(allocation, { state: 'NODE_FAIL', endedMs: this.#kernel.now, cutOffMs: this.#kernel.now })
    this.#kernel.after(this.#chance.between(1_000, 1_800_000), () => this.#end(allocation))
  }

  /** A node has crashed: the scheduler finds that out in its own time. */
  nodeIsDown(node: Machine): void {
    const requeues = this.#chance.happens(0.3)
    this.#kernel.after(this.#chance.between(10_000, 300_000), () => {
      for (const allocation of this.allocations.values()) {
        if (allocation.node !== node || allocation.runner?.alive !== false) continue
        if (allocation.state !== 'RUNNING' && allocation.state !== 'COMPLETING') continue
        if (requeues) this.#requeue(allocation)
        else this.#lose(allocation)
      }
    })
  }

  /** Put back into the queue by the scheduler, under the same id. */
  #requeue(allocation: Allocation): void {
    this.#hooks.log(`allocation ${allocation.id} is requeued`)
    this.#queueAgain(allocation)
  }

  #queueAgain(allocation: Allocation): void {
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
}
