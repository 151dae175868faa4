/** What leaves a process otherwise than by files: commands it starts, bytes it sends over the channel; and what does not come back to it. */
import childProcess, { type ChildProcess } from 'node:child_process'
import fs from 'node:fs'
import { basename } from 'node:path'
import type { Writable } from 'node:stream'
import type { Effects } from './effects.ts'
import { type Call, firstHalf } from './file-effects.ts'

const table = childProcess as unknown as Record<string, Call>
const { writeSync } = fs

export function wrapCommands(effects: Effects): void {
  const { strike, launcher } = effects.plan
  const { spawn, execFileSync } = table as { spawn: Call; execFileSync: Call }
  let started = 0
  let launchers = 0
  table.spawn = (program, given, options) => {
    started += 1
    let argv = [program, ...(given as string[])] as string[]
    if (strike?.what === 'reply' && effects.program === 'queuer' && started === strike.at) {
      effects.tell(`the reply to ${argv.join(' ').slice(0, 60)}`)
      argv = ['/bin/sh', '-c', '"$@" >/dev/null 2>&1; kill -9 $$', 'sh', ...argv]
    }
    const isLauncher = basename(argv[1] ?? '').startsWith('job-wrapper.')
    if (isLauncher) {
      launchers += 1
      if (launcher !== undefined && launchers === 1) argv[1] = launcher
    }
    const child = effects.make('exec', shown(argv), () => spawn(argv[0], argv.slice(1), options)) as ChildProcess
    if (effects.program === 'submitter') wrapChannel(effects, child)
    if (isLauncher) wrapSending(effects, child.stdio[3] as Writable, 'to the launcher')
    return child
  }
  table.execFileSync = (...args) =>
    effects.make('exec', shown([args[0], ...(args[1] as string[])] as string[]), () => execFileSync(...args))
}

function shown(argv: readonly string[]): string {
  return argv.join(' ').replaceAll(/\s+/g, ' ').slice(0, 80)
}

function wrapChannel(effects: Effects, child: ChildProcess): void {
  if (child.stdin === null || child.stdout === null) return
  wrapSending(effects, child.stdin, 'to hpc_queuer')
  watchAnswers(effects, child)
}

/** Each write to the channel is an effect. The dying write past the stream, so that their last bytes are on their way. */
export function wrapSending(effects: Effects, stream: Writable, whither: string): void {
  const write = stream.write.bind(stream) as unknown as Call
  stream.write = ((chunk: unknown, ...rest: unknown[]) => {
    const bytes = typeof chunk === 'string' ? Buffer.from(chunk) : (chunk as Uint8Array)
    if (bytes.length === 0) return write(chunk, ...rest)
    const { fd } = (stream as unknown as { _handle: { fd: number } })._handle
    const act = () => (effects.isNext('after') ? sendNow(fd, bytes) : write(chunk, ...rest))
    const half = bytes.length > 1 ? () => void sendNow(fd, untilMidFrame(bytes)) : undefined
    return effects.make('transfer', whither, act, half)
  }) as typeof stream.write
}

function sendNow(fd: number, bytes: Uint8Array): boolean {
  for (let done = 0; done < bytes.length; ) {
    try {
      done += writeSync(fd, bytes, done)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') throw error
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1)
    }
  }
  return true
}

/** Up to the middle of the frame in which the middle of the bytes lies. */
function untilMidFrame(bytes: Uint8Array): Uint8Array {
  for (const { from, to } of framesIn(bytes)) {
    if (to > bytes.length / 2) return bytes.subarray(0, Math.floor((from + to) / 2))
  }
  return firstHalf(bytes)
}

function framesIn(bytes: Uint8Array): { from: number; to: number }[] {
  const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
  const frames: { from: number; to: number }[] = []
  for (let at = 0; at + 8 <= view.length; ) {
    const to = at + 8 + view.readUInt32BE(at) + view.readUInt32BE(at + 4)
    if (to > view.length) break
    frames.push({ from: at, to })
    at = to
  }
  return frames
}

/** Answers are noted as they come. The one to be lost and all after it are not handed on: the channel is broken, as the submitter sees it. */
function watchAnswers(effects: Effects, child: ChildProcess): void {
  const { stdin, stdout } = child
  if (stdin === null || stdout === null) return
  const { strike } = effects.plan
  const lost = strike?.what === 'answer' ? strike.at : Number.POSITIVE_INFINITY
  const push = stdout.push.bind(stdout)
  let waiting: Buffer | undefined
  let answers = 0
  stdout.push = (chunk: Uint8Array | null) => {
    if (answers >= lost || chunk === null) return push(answers >= lost ? null : chunk)
    if (waiting === undefined) {
      // until it says that it is ready, what comes are no frames
      if (Buffer.from(chunk).includes('hpc_queuer ready')) waiting = Buffer.alloc(0)
      return push(chunk)
    }
    waiting = Buffer.concat([waiting, chunk])
    let whole = 0
    for (const { from, to } of framesIn(waiting)) {
      answers += 1
      const text = waiting.toString('latin1', from + 8, Math.min(to, from + 68))
      if (answers === lost) {
        effects.tell(`the answer ${text}`)
        push(waiting.subarray(whole, from))
        setImmediate(() => {
          stdin.destroy()
          stdout.destroy()
        })
        return false
      }
      effects.noteAnswer(text)
      whole = to
    }
    const done = waiting.subarray(0, whole)
    waiting = waiting.subarray(whole)
    return whole === 0 || push(done)
  }
}
