/** Where a run works: a folder in memory, so that no disk is measured; and what it must put away when it ends. */
import { spawnSync } from 'node:child_process'
import { closeSync, existsSync, mkdirSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

export const root = join(import.meta.dirname, '..')
export const cli = join(root, 'dist', 'hpc-submitter.mjs')
export const runnerProgram = join(root, 'on_hpc', 'scripts', 'hpc_runner')
/** The one that has paramiko; a python of the user's own may not. */
export const python = '/usr/bin/python3'

export class Place {
  readonly dir: string
  readonly inMemory: boolean
  readonly #endings: (() => Promise<unknown> | unknown)[] = []
  #count = 0

  constructor() {
    const memory = '/dev/shm'
    this.inMemory = existsSync(memory)
    this.dir = mkdtempSync(join(this.inMemory ? memory : tmpdir(), 'hpc-bench-'))
    // what others make by mkdtemp lies here too
    process.env.TMPDIR = this.dir
    this.atEnd(() => rmSync(this.dir, { recursive: true, force: true }))
  }

  /** A new empty folder. */
  folder(name: string): string {
    this.#count += 1
    const dir = join(this.dir, `${this.#count}-${name}`)
    mkdirSync(dir)
    return dir
  }

  /**
   * Has the host of a virtual machine give so much memory before it is counted on. A page that is touched first costs four times what one does
   * that was used a moment ago, and what lies idle for some seconds the host takes back; who writes over his file of the turn before is spared it.
   */
  warmMemory(megabytes: number): void {
    const path = join(this.dir, 'warm')
    const block = Buffer.alloc(1024 * 1024)
    const fd = openSync(path, 'w')
    for (let i = 0; i < megabytes; i++) writeSync(fd, block)
    closeSync(fd)
    rmSync(path)
  }

  /** What is begun last is ended first. */
  atEnd(act: () => Promise<unknown> | unknown): void {
    this.#endings.push(act)
  }

  async end(): Promise<void> {
    for (const act of this.#endings.reverse()) {
      try {
        await act()
      } catch (error) {
        process.stderr.write(`bench: ${String(error)}\n`)
      }
    }
  }
}

export function has(program: string): boolean {
  return spawnSync('/bin/sh', ['-c', `command -v ${program}`], { stdio: 'ignore' }).status === 0
}

export function pythonHas(...modules: string[]): boolean {
  return spawnSync(python, ['-c', `import ${modules.join(', ')}`], { stdio: 'ignore' }).status === 0
}

function firstLine(program: string, ...args: string[]): string {
  const ran = spawnSync(program, args, { encoding: 'utf8' })
  return `${ran.stdout ?? ''}${ran.stderr ?? ''}`.split('\n')[0]?.trim() ?? ''
}

export function versions(): Record<string, string> {
  return {
    commit: firstLine('git', '-C', root, 'describe', '--always', '--dirty'),
    node: process.version,
    kernel: firstLine('uname', '-sr').replace(/-.*/, ''),
    cpu: firstLine('/bin/sh', '-c', "grep -m1 'model name' /proc/cpuinfo | cut -d: -f2"),
    cores: firstLine('nproc'),
    load: firstLine('cut', '-d ', '-f1-3', '/proc/loadavg'),
    ssh: firstLine('ssh', '-V'),
    python: firstLine(python, '--version'),
    paramiko: firstLine(python, '-c', 'import paramiko; print(paramiko.__version__)'),
    parallel: firstLine('parallel', '--version'),
    tar: firstLine('tar', '--version'),
  }
}
