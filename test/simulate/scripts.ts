/** What a launcher and its scripts do on a node, from the text of the script as it was rendered. */
import { posix } from 'node:path'
import type { ScriptStart } from '../../contract/launcher.ts'
import type { Allocation } from './cluster.ts'
import type { Disk } from './disk.ts'
import type { Chance, Kernel } from './kernel.ts'
import type { OsProcess } from './machine.ts'
import type { Task } from './task.ts'

/** One start of a script, as it really went. */
export interface Run {
  readonly token: string
  readonly mark: string
  readonly allocation: Allocation
  /** Which start of the allocation. */
  readonly restart: number
  readonly startMs: number
  endMs: number | undefined
  /** What its allocation had left when it began. */
  readonly leftMs: number
  /** Came to its own end and told it: nothing may run it again. */
  told: boolean
  /** That it was ever begun went with the power of the whole site, and it went with it. */
  forgotten: boolean
  /** Where it told its exit. */
  readonly exitFile: string
  /** Its job had its result at the site when it began. */
  readonly afterResult: boolean
}

export interface ScriptWorld {
  readonly kernel: Kernel
  readonly chance: Chance
  readonly disk: Disk
  readonly runs: Run[]
  readonly log: (text: string) => void
  readonly started: (ms: number) => void
  readonly ended: () => void
}

interface Orders {
  readonly seconds: number
  readonly rc: number
  readonly token: string
  readonly mood: string
  readonly inputs: readonly string[]
  readonly outputs: readonly string[]
  readonly folders: readonly string[]
}

/** The one line of a template that stands for its work: `do <seconds> <rc> <token> <mood> in … out … dir …`. */
function ordersOf(text: string): Orders {
  const [, seconds = '0', rc = '0', token = '', mood = '', inputs = '', outputs = '', folders = ''] =
    /^do (\d+) (\d+) (\S+) (\S+) in(.*) out(.*) dir(.*)$/m.exec(text) ?? []
  const words = (list: string) => list.split(' ').filter((word) => word !== '')
  return {
    ...{ seconds: Number(seconds), rc: Number(rc), token, mood },
    ...{ inputs: words(inputs), outputs: words(outputs), folders: words(folders) },
  }
}

/** The result of the job whose attempt tells its exit there. */
export function resultBeside(exitFile: string): string {
  return posix.join(posix.dirname(posix.dirname(exitFile)), 'result', 'result.json')
}

/** What a script makes of its inputs. */
export function contentOf(token: string, output: string, inputs: readonly (string | undefined)[]): string {
  return `${token}:${output}:${inputs.join('+')}`
}

/**
 * What a launcher does: scripts one after the other, each to its end and its exit told, though the runner be gone; then its own end. As
 * the real one does, it leaves when it cannot write what it has to tell.
 */
export function startLauncher(world: ScriptWorld, allocation: Allocation, runner: Task, file: string) {
  const { machine } = runner
  const session = machine.nextPid()
  const pid = machine.nextPid()
  const startTicks = String(world.kernel.now)
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
  runner.atEnd(close)
  return {
    pid,
    startTicks,
    session,
    gone: promise,
    load: (start: ScriptStart) => {
      loaded = start
      // as the real one, it opens the file and writes what it used before
      append(world.disk, machine.name, start.exit, '0m0.0s 0m0.0s\n0m0.0s 0m0.0s\n')
    },
    go: () => {
      const start = loaded
      loaded = undefined
      if (start === undefined || !machine.processes.has(pid)) return Promise.resolve()
      const end = new Promise<void>((resolve) => {
        ended = resolve
      })
      busy = true
      startScript(world, allocation, runner, launcher, start, (told) => {
        busy = false
        ended()
        if (closed || !told) leave()
      })
      return end
    },
    end: close,
  }
}

/** False when it cannot be written. */
function append(disk: Disk, machine: string, path: string, text: string): boolean {
  try {
    disk.append(path, text, machine)
    return true
  } catch {
    return false
  }
}

/** What a script does, and what its launcher writes; `over` when that is done, and whether it could be written. */
function startScript(
  world: ScriptWorld,
  allocation: Allocation,
  runner: Task,
  launcher: OsProcess,
  start: ScriptStart,
  over: (told: boolean) => void,
): void {
  const { kernel, chance, disk } = world
  const { machine } = runner
  const { script, workDir, stdout, stderr, exit: exitFile, environment } = start
  const orders = ordersOf(disk.text(script) ?? '')
  const { token, rc } = orders
  const mark = environment.HPC_BATCH_JOB ?? ''
  const up = () => ((kernel.now - machine.bootedMs) / 1000).toFixed(2)
  const say = (text: string) => append(disk, machine.name, exitFile, text)
  const groupId = machine.nextPid()
  if (!say(`group ${groupId}\nstart ${up()}\n`)) {
    over(false)
    return
  }
  const run: Run = {
    token,
    mark,
    allocation,
    restart: allocation.restart,
    startMs: kernel.now,
    leftMs: allocation.startedMs + allocation.walltimeMs - kernel.now,
    endMs: undefined,
    told: false,
    forgotten: false,
    exitFile,
    afterResult: disk.text(resultBeside(exitFile)) !== undefined,
  }
  world.runs.push(run)
  world.started(orders.seconds * 1000)
  world.log(`script ${token} starts as ${mark} in allocation ${allocation.id}`)
  let signalled = false
  let stop: () => void = () => undefined
  const tell = (code: number, word: string, own = false) => {
    if (run.endMs !== undefined) return
    run.endMs = kernel.now
    stop()
    machine.processes.delete(body.pid)
    allocation.members.delete(body)
    if (!machine.processes.has(launcher.pid)) return
    const whole = say(`${word}rc ${code} ${up()}\n0m0.0s 0m0.0s\n0m0.1s 0m0.1s\nend\n`)
    // what it says after a signal may tell of the signal
    run.told = whole && own && !signalled && (code === 0 || allocation.state === 'RUNNING')
    over(whole)
    world.ended()
  }
  const body: OsProcess = {
    pid: groupId,
    startTicks: String(kernel.now),
    session: launcher.session,
    mark,
    argv: [script],
    signal: (name) => {
      if (name === 'SIGKILL') tell(137, 'Killed\n')
      else if (orders.mood === 'stubborn') signalled = true
      else tell(143, 'Terminated\n')
    },
  }
  machine.processes.set(body.pid, body)
  allocation.members.add(body)
  disk.put(stdout, `${token} out\n`, machine.name)
  disk.put(stderr, '', machine.name)
  const read = () => orders.inputs.map((name) => disk.text(`${workDir}/input/${name}`))
  const write = (part: boolean) => {
    const inputs = read()
    for (const name of orders.outputs) {
      const whole = contentOf(token, name, inputs)
      disk.put(`${workDir}/output/${name}`, part ? whole.slice(0, 3) : whole, machine.name)
    }
    for (const name of orders.folders) {
      const dir = `${workDir}/output/${name}`
      disk.put(`${dir}/first`, contentOf(token, 'first', inputs), machine.name)
      if (!part) disk.put(`${dir}/below/second`, contentOf(token, 'second', inputs), machine.name)
    }
  }
  const halfMs = orders.seconds * 500
  const finish = () => {
    // an input that is not there is an error that every script finds
    const lacks = read().includes(undefined)
    if (rc === 0 && !lacks && orders.mood !== 'forgetful') write(false)
    if (orders.mood === 'crashing') tell(139, 'Segmentation fault\n', true)
    else tell(lacks ? 66 : rc, '', true)
  }
  const begin = () => {
    if (orders.mood !== 'forgetful') write(true)
    stop = kernel.after(halfMs, finish)
  }
  stop = kernel.after(halfMs + chance.between(0, 20), begin)
}
