/** Stands for `system/process.ts`: the same questions, asked of a simulated machine. */
import type { Command, Reply } from '../../scheduler/scheduler.ts'
import type { Machine } from './machine.ts'
import { Death, type Task } from './task.ts'

interface Identity {
  readonly pid: number
  readonly startTicks: string
  readonly bootId: string
}

export interface Answers {
  readonly run: (command: Command, timeoutMs: number) => Promise<Reply>
  readonly startLauncher: (task: Task, file: string) => Promise<object>
}

export function processesOf(task: Task, answers: Answers) {
  const { machine }: { machine: Machine } = task
  const carrying = (value: string, session?: number) =>
    [...machine.processes.values()]
      .filter(
        (one) => one.mark === value || (session !== undefined && one.session === session && one.mark !== undefined),
      )
      .map(({ pid }) => pid)
  const living = <T>(act: () => T): T => {
    if (!task.alive) throw new Death('killed')
    return act()
  }
  return {
    runCommand: (command: Command, timeoutMs: number) => living(() => answers.run(command, timeoutMs)),
    startLauncher: (file: string) => living(() => answers.startLauncher(task, file)),
    identifyProcess: (pid: number, bootId: string): Identity | undefined => {
      const found = machine.processes.get(pid)
      return found === undefined ? undefined : { pid, startTicks: found.startTicks, bootId }
    },
    isAlive: ({ pid, startTicks, bootId }: Identity, here: string) =>
      bootId === here && machine.processes.get(pid)?.startTicks === startTicks,
    processesCarrying: (_: string, values: Iterable<string>, sessions?: ReadonlyMap<string, number | undefined>) =>
      new Map([...values].map((value) => [value, carrying(value, sessions?.get(value))])),
    processesMarked: (_: string, value: string, session?: number) => carrying(value, session),
    groupLives: (group: number) => [...machine.processes.values()].some(({ pid }) => pid === group),
    memoryOf: () => undefined,
    commandLine: (pid: number) => machine.processes.get(pid)?.argv ?? [],
    openForWriting: () => false,
    signal: (pid: number, name: string) => {
      if (!task.alive) throw new Death('killed')
      const found = machine.processes.get(Math.abs(pid))
      found?.signal(name)
      return found !== undefined
    },
  }
}
