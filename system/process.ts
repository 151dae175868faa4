/** Starting other programs and knowing which processes live. */
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process'
import { readdirSync, readFileSync, readlinkSync, statSync } from 'node:fs'
import type { Duplex } from 'node:stream'
import { launcherMark } from '../contract/job-mark.ts'
import { goText, renderLoad, type ScriptStart } from '../contract/launcher.ts'
import type { Command, Reply } from '../scheduler/scheduler.ts'
import { errno } from './os.ts'

const outputLimit = 64 * 1024 * 1024

/** What a command left behind may hold its streams open for so long after its end. */
const lingerMs = 1_000
const unkillableMs = 5_000

/**
 * Runs a command without a shell, to its end or its time-out. Never rejects: a program that cannot be started is a reply with code 127.
 * It has a session of its own, and the time-out ends all of it: at many sites squeue and sbatch are shell scripts around the real ones.
 * The command's `env` is added to ours, or with `alone` replaces it.
 */
export function runCommand(command: Command, timeoutMs: number, env: 'added' | 'alone' = 'added'): Promise<Reply> {
  return new Promise((resolve) => {
    const [program, ...args] = command.argv
    const out: Buffer[] = []
    const err: Buffer[] = []
    let size = 0
    let timedOut = false
    let lingering: NodeJS.Timeout | undefined
    let timer: NodeJS.Timeout | undefined
    const finish = (code: number | null, more: string) => {
      clearTimeout(timer)
      clearTimeout(lingering)
      const stdout = Buffer.concat(out).toString('utf8')
      resolve({ code, stdout, stderr: Buffer.concat(err).toString('utf8') + more, timedOut })
    }
    let child: ChildProcessWithoutNullStreams
    try {
      child = spawn(program, args, {
        stdio: ['pipe', 'pipe', 'pipe'],
        detached: true,
        env: env === 'alone' ? command.env : { ...process.env, ...command.env },
      })
    } catch (error) {
      // too long a command line throws at once
      finish(127, `${program}: ${error instanceof Error ? error.message : String(error)}`)
      return
    }
    const killAll = () => {
      if (child.pid === undefined || !signal(-child.pid, 'SIGKILL')) child.kill('SIGKILL')
      // one that waits for a dead file server cannot even be killed
      lingering ??= setTimeout(() => {
        for (const stream of [child.stdin, child.stdout, child.stderr]) stream.destroy()
        child.unref()
        finish(null, '')
      }, unkillableMs)
    }
    const keep = (list: Buffer[]) => (chunk: Buffer) => {
      size += chunk.length
      if (size <= outputLimit) list.push(chunk)
      else killAll()
    }
    child.stdout.on('data', keep(out))
    child.stderr.on('data', keep(err))
    child.stdin.on('error', () => undefined)
    child.stdin.end(command.stdin ?? '')
    timer = setTimeout(() => {
      timedOut = true
      killAll()
    }, timeoutMs)
    child.on('error', (error) => finish(127, `${program}: ${error.message}`))
    // what the command itself has said is all in the pipes when it ends: when nothing more comes out of them, it has been read
    const linger = () => {
      const read = size
      clearTimeout(lingering)
      lingering = setTimeout(() => {
        setImmediate(() => {
          if (size !== read) return linger()
          child.stdout.destroy()
          child.stderr.destroy()
        })
      }, lingerMs)
    }
    child.on('exit', linger)
    child.on('close', (code) => finish(code, ''))
  })
}

/** Starts scripts one after the other, and outlives us; see `contract/launcher.ts`. */
export interface Launcher {
  readonly pid: number
  readonly startTicks: string
  /** Of all its scripts. */
  readonly session: number
  readonly gone: Promise<void>
  /** Makes a script ready, beside the one that runs; it does not run yet. */
  load(start: ScriptStart): void
  /** Runs what is ready. Settles when the script has ended and its exit is written, or the launcher is gone. */
  go(): Promise<void>
  /** It starts no more scripts, and ends. */
  end(): void
}

/** Starts a launcher from its file, in a session of its own. */
export async function startLauncher(file: string, env: Readonly<Record<string, string>>): Promise<Launcher> {
  const child = spawn('/bin/bash', [file], {
    detached: true,
    // one stream both ways, and none of the first three: Node would close that when the shell which starts the launcher has ended
    stdio: ['ignore', 'ignore', 'ignore', 'pipe'],
    cwd: '/',
    env: { ...env, [launcherMark]: '1' },
  })
  const stream = child.stdio[3] as Duplex
  let isGone = false
  let report: (text: string) => void = () => undefined
  const gone = new Promise<void>((resolve) => {
    stream.once('close', () => {
      isGone = true
      report('')
      resolve()
    })
  })
  // a write to one that has gone
  stream.on('error', () => undefined)
  stream.on('data', (chunk: Buffer) => report(chunk.toString('latin1')))
  const pid = await new Promise<number>((resolve, reject) => {
    let said = ''
    child.once('error', reject)
    report = (text) => {
      said += text
      if (text === '') reject(new Error('bash ended without a word'))
      else if (said.endsWith('\n')) resolve(Number(said))
    }
  })
  return {
    pid,
    startTicks: statFields(pid)?.[19] ?? '',
    session: child.pid ?? pid,
    gone,
    load: (start) => void stream.write(renderLoad(start)),
    go: () => {
      const end = new Promise<void>((resolve) => {
        report = () => resolve()
      })
      stream.write(goText)
      return isGone ? Promise.resolve() : end
    },
    end: () => void stream.end(),
  }
}

export interface ProcessIdentity {
  readonly pid: number
  /** Clock ticks since boot at which it started: with the pid and the boot, a process is known for good. */
  readonly startTicks: string
  readonly bootId: string
}

function statFields(pid: number): string[] | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8')
    return text.slice(text.lastIndexOf(')') + 2).split(' ')
  } catch {
    return undefined
  }
}

export function identifyProcess(pid: number, bootId: string): ProcessIdentity | undefined {
  const startTicks = statFields(pid)?.[19]
  return startTicks === undefined ? undefined : { pid, startTicks, bootId }
}

/** True when exactly that process still runs here; a zombie has ended. */
export function isAlive(identity: ProcessIdentity, bootId: string): boolean {
  if (identity.bootId !== bootId) return false
  const fields = statFields(identity.pid)
  return fields !== undefined && fields[19] === identity.startTicks && fields[0] !== 'Z' && fields[0] !== 'X'
}

/** A process of a job, and the session it is in. */
interface Found {
  readonly pid: number
  readonly session: string
}

function carries(environment: Buffer, mark: Buffer): boolean {
  const at = environment.indexOf(mark)
  return at === 0 || (at > 0 && environment[at - 1] === 0)
}

/**
 * Pids of living processes whose environment holds `NAME=value`, by value: children that left their session carry it still. So does
 * whoever shares a session with one of them: a container's own processes may have been given an empty environment. One walk over /proc
 * for all values. A session that is ours to know is named in `sessions`. Its launcher is none of them.
 */
export function processesCarrying(
  name: string,
  values: Iterable<string>,
  sessions: ReadonlyMap<string, number | undefined> = new Map(),
): Map<string, number[]> {
  const marks = [...values].map((value) => ({ value, mark: Buffer.from(`${name}=${value}\0`) }))
  const prefix = Buffer.from(`${name}=`)
  const launcherPrefix = Buffer.from(`${launcherMark}=`)
  const owners = new Map<string, string>()
  for (const [value, session] of sessions) if (session !== undefined) owners.set(String(session), value)
  const found = new Map<string, Found[]>(marks.map(({ value }) => [value, []]))
  const unmarked: Found[] = []
  for (const entry of readdirSync('/proc')) {
    const first = entry.charCodeAt(0)
    if (first < 48 || first > 57) continue
    const pid = Number(entry)
    let environment: Buffer | undefined
    try {
      environment = readFileSync(`/proc/${entry}/environ`)
    } catch {
      // gone meanwhile, another user's, or one that hides it: its session may still tell
    }
    // a zombie has ended
    const fields = statFields(pid)
    if (fields === undefined || fields[0] === 'Z' || fields[0] === 'X') continue
    const one = { pid, session: fields[3] ?? '' }
    const isMarked = environment?.includes(prefix) === true
    if (!isMarked && environment?.includes(launcherPrefix) === true) continue
    const marked =
      environment !== undefined && isMarked ? marks.find(({ mark }) => carries(environment, mark)) : undefined
    if (marked === undefined) unmarked.push(one)
    else {
      found.get(marked.value)?.push(one)
      owners.set(one.session, marked.value)
    }
  }
  for (const one of unmarked) {
    const owner = owners.get(one.session)
    if (owner !== undefined) found.get(owner)?.push(one)
  }
  return new Map([...found].map(([value, list]) => [value, list.map(({ pid }) => pid)]))
}

export function processesMarked(name: string, value: string, session?: number): number[] {
  return processesCarrying(name, [value], new Map([[value, session]])).get(value) ?? []
}

/** Whether a process group has a member, be it one that is just ending. One call, whatever the number of processes. */
export function groupLives(group: number): boolean {
  try {
    process.kill(-group, 0)
    return true
  } catch (error) {
    return errno(error) !== 'ESRCH'
  }
}

/** Resident memory of a process now, and its own peak; undefined when it is gone. */
export function memoryOf(pid: number): { readonly residentBytes: number; readonly peakBytes: number } | undefined {
  try {
    const status = readFileSync(`/proc/${pid}/status`, 'utf8')
    const kibibytes = (name: string) => Number(new RegExp(`^${name}:\\s*(\\d+) kB$`, 'm').exec(status)?.[1] ?? 0)
    return { residentBytes: kibibytes('VmRSS') * 1024, peakBytes: kibibytes('VmHWM') * 1024 }
  } catch {
    return undefined
  }
}

/** The words of a process's command line; none when it is gone. */
export function commandLine(pid: number): string[] {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0')
  } catch {
    return []
  }
}

/** True when a process we can see has this file (device and inode) open for writing. */
export function openForWriting(device: number, inode: number): boolean {
  for (const entry of readdirSync('/proc')) {
    if (!/^\d+$/.test(entry) || Number(entry) === process.pid) continue
    try {
      for (const fd of readdirSync(`/proc/${entry}/fd`)) {
        const link = readlinkSync(`/proc/${entry}/fd/${fd}`)
        if (!link.startsWith('/')) continue
        const found = statSync(`/proc/${entry}/fd/${fd}`)
        if (found.dev !== device || found.ino !== inode) continue
        const flags = /^flags:\s*([0-7]+)$/m.exec(readFileSync(`/proc/${entry}/fdinfo/${fd}`, 'utf8'))?.[1]
        if (flags !== undefined && (Number.parseInt(flags, 8) & 3) !== 0) return true
      }
    } catch {
      // gone meanwhile, or another user's
    }
  }
  return false
}

/** Sends a signal; false when there is no such process (any more). */
export function signal(pid: number, name: NodeJS.Signals): boolean {
  try {
    process.kill(pid, name)
    return true
  } catch {
    return false
  }
}
