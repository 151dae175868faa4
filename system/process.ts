/** Starting other programs and knowing which processes live. */
import { spawn } from 'node:child_process'
import { readdirSync, readFileSync, readlinkSync, statSync } from 'node:fs'
import type { Command, Reply } from '../scheduler/scheduler.ts'

const outputLimit = 64 * 1024 * 1024

/** What a command left behind may hold its streams open for so long after its end. */
const lingerMs = 1_000

/**
 * Runs a command without a shell, to its end or its time-out. Never rejects: a program that cannot be started is a reply with code 127.
 * It has a session of its own, and the time-out ends all of it: at many sites squeue and sbatch are shell scripts around the real ones.
 */
export function runCommand(command: Command, timeoutMs: number): Promise<Reply> {
  return new Promise((resolve) => {
    const [program, ...args] = command.argv
    const child = spawn(program, args, {
      stdio: ['pipe', 'pipe', 'pipe'],
      detached: true,
      env: command.env === undefined ? process.env : { ...process.env, ...command.env },
    })
    const out: Buffer[] = []
    const err: Buffer[] = []
    let size = 0
    let timedOut = false
    let lingering: NodeJS.Timeout | undefined
    const killAll = () => {
      if (child.pid === undefined || !signal(-child.pid, 'SIGKILL')) child.kill('SIGKILL')
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
    const timer = setTimeout(() => {
      timedOut = true
      killAll()
    }, timeoutMs)
    const finish = (code: number | null, more: string) => {
      clearTimeout(timer)
      clearTimeout(lingering)
      const stdout = Buffer.concat(out).toString('utf8')
      resolve({ code, stdout, stderr: Buffer.concat(err).toString('utf8') + more, timedOut })
    }
    child.on('error', (error) => finish(127, `${program}: ${error.message}`))
    // what the command itself has said is all in the pipes when it ends: when nothing more comes out of them, it has been read
    const linger = () => {
      const read = size
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

/** Starts a program in a session of its own, with no streams of ours; settles when it has ended, or could not be started. */
export function startDetached(
  argv: readonly [string, ...string[]],
  env: Readonly<Record<string, string>>,
): Promise<void> {
  const [program, ...args] = argv
  const child = spawn(program, args, { detached: true, stdio: 'ignore', cwd: '/', env })
  return new Promise((resolve) => {
    child.once('exit', () => resolve())
    child.once('error', () => resolve())
  })
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

/** Pids of living processes whose environment holds `NAME=value`: children that left their session carry it still. */
export function processesMarked(name: string, value: string): number[] {
  const mark = Buffer.from(`${name}=${value}\0`)
  const found: number[] = []
  for (const entry of readdirSync('/proc')) {
    if (!/^\d+$/.test(entry)) continue
    try {
      const environment = readFileSync(`/proc/${entry}/environ`)
      const at = environment.indexOf(mark)
      if (at === 0 || (at > 0 && environment[at - 1] === 0)) {
        if (statFields(Number(entry))?.[0] !== 'Z') found.push(Number(entry))
      }
    } catch {
      // gone meanwhile, or another user's
    }
  }
  return found
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
