/** What strikes: each fault finds its victim when its time has come, and puts back what it took away. */
import { setTimeout as sleep } from 'node:timers/promises'
import { account, control, daemon, type Lab, nodes } from '../cluster/lab.ts'
import { run } from '../support/world.ts'
import type { GatewayLoop } from './gateway-loop.ts'
import type { FaultKind, PlannedFault } from './plan.ts'
import { childrenOf, pidsWhere, signal } from './processes.ts'

export class Faults {
  readonly #lab: Lab
  readonly #gateways: readonly GatewayLoop[]
  readonly #say: (line: string) => void
  readonly #underWay = new Set<Promise<void>>()
  /** Daemons that are down or stopped: two faults do not take turns on one. */
  readonly #away = new Set<string>()
  readonly struck = new Map<FaultKind, number>()
  missed = 0

  constructor(lab: Lab, gateways: readonly GatewayLoop[], say: (line: string) => void) {
    this.#lab = lab
    this.#gateways = gateways
    this.#say = say
  }

  strike(fault: PlannedFault): void {
    const striking = this.#strike(fault).then(
      (what) => {
        this.#say(`fault ${fault.kind}: ${what ?? 'nothing to strike'}`)
        if (what === undefined) this.missed += 1
        else this.struck.set(fault.kind, (this.struck.get(fault.kind) ?? 0) + 1)
      },
      (error: Error) => this.#say(`fault ${fault.kind} came to nothing: ${error.message}`),
    )
    this.#underWay.add(striking)
    void striking.then(() => this.#underWay.delete(striking))
  }

  /** All is put back. */
  async over(): Promise<void> {
    await Promise.all(this.#underWay)
  }

  async #strike({ kind, victim, lastsMs }: PlannedFault): Promise<string | undefined> {
    const one = <T>(list: readonly T[]): T | undefined => list[Math.floor(victim * list.length)]
    switch (kind) {
      case 'kill submitter':
        return this.#kill(one(this.#submitters()))
      case 'kill queuer':
        return this.#kill(one(this.#queuers()))
      case 'kill runner':
        return this.#kill(one(this.#lab.runners()))
      case 'kill slurmstepd':
        return this.#kill(one(pidsWhere(([title = '']) => /^slurmstepd: \[\d+\.batch\]/.test(title))))
      case 'cut connections':
        return said((await run([control, 'drop'])).code, 'all')
      case 'restart sshd':
      case 'restart slurmctld':
      case 'restart munged':
        return this.#restart(kind.slice('restart '.length), lastsMs)
      case 'restart slurmd':
        return this.#restart(`slurmd.${one(nodes)}`, lastsMs)
      case 'scancel':
        return this.#onAllocation(one, ['scancel'])
      case 'scancel with KILL':
        return this.#onAllocation(one, ['scancel', '--full', '--signal=KILL'])
      case 'requeue':
        return this.#requeue(one)
      case 'node down':
        return said(
          (await slurm('scontrol', 'update', `nodename=${one(nodes)}`, 'state=down', 'reason=chaos')).code,
          `${one(nodes)}`,
        )
      case 'stop runner':
        return this.#stop(lastsMs, one(this.#lab.runners()))
      case 'stop queuer':
        return this.#stop(lastsMs, one(this.#queuers()))
      case 'stop submitter':
        return this.#stop(lastsMs, one(this.#submitters()))
      case 'stop connections':
        return this.#stop(lastsMs, ...this.#connections())
      case 'stop slurmctld':
        return this.#away.has('slurmctld')
          ? undefined
          : this.#whileAway('slurmctld', () => this.#stop(lastsMs, daemon('slurmctld')))
    }
  }

  #submitters(): number[] {
    return this.#gateways.flatMap(({ pid }) => (pid === undefined ? [] : [pid]))
  }

  #queuers(): number[] {
    const { workspace } = this.#lab
    return pidsWhere(
      ([, program = '', ...more]) =>
        program.startsWith(workspace) && program.endsWith('/hpc_queuer') && more.includes(workspace),
    )
  }

  #connections(): number[] {
    return childrenOf(daemon('sshd')).flatMap((pid) => [pid, ...childrenOf(pid)])
  }

  #kill(pid: number | undefined): string | undefined {
    return pid !== undefined && signal(pid, 'SIGKILL') ? `${pid}` : undefined
  }

  async #stop(lastsMs: number, ...pids: (number | undefined)[]): Promise<string | undefined> {
    const stopped = pids.filter((pid) => pid !== undefined).filter((pid) => signal(pid, 'SIGSTOP'))
    if (stopped.length === 0) return undefined
    this.#say(`stopped ${stopped.join(' ')} for ${lastsMs} ms`)
    await sleep(lastsMs)
    for (const pid of stopped) signal(pid, 'SIGCONT')
    return stopped.join(' ')
  }

  async #whileAway<T>(name: string, work: () => Promise<T>): Promise<T> {
    this.#away.add(name)
    try {
      return await work()
    } finally {
      this.#away.delete(name)
    }
  }

  async #restart(name: string, lastsMs: number): Promise<string | undefined> {
    if (this.#away.has(name)) return undefined
    return this.#whileAway(name, async () => {
      const killed = await run([control, 'kill', name])
      if (killed.code !== 0) return undefined
      this.#say(`${killed.stdout.trim()}, away for ${lastsMs} ms`)
      await sleep(lastsMs)
      await run([control, 'start', name])
      return name
    })
  }

  async #onAllocation(
    one: <T>(list: readonly T[]) => T | undefined,
    argv: readonly string[],
  ): Promise<string | undefined> {
    const id = one(await this.#allocations())
    if (id === undefined) return undefined
    return said((await slurm(...argv, id)).code, id)
  }

  /** As a site's own rules would: ours says that it does not want to be. */
  async #requeue(one: <T>(list: readonly T[]) => T | undefined): Promise<string | undefined> {
    const id = one(await this.#allocations())
    if (id === undefined) return undefined
    await slurm('scontrol', 'update', `jobid=${id}`, 'requeue=1')
    return said((await slurm('scontrol', 'requeue', id)).code, id)
  }

  async #allocations(): Promise<string[]> {
    const reply = await slurm('squeue', '-h', '-u', account, '-o', '%i')
    return reply.stdout.split('\n').filter(Boolean)
  }
}

/** A controller that is stopped or away is not waited for. */
function slurm(...argv: string[]) {
  return run(['timeout', '15', ...argv])
}

function said(code: number | null, what: string): string | undefined {
  return code === 0 ? what : undefined
}
