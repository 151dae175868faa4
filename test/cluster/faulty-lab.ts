/** What the scenarios of this folder share: jobs that tell how they were run, gates in the conversation, and what a good end is. */
import assert from 'node:assert/strict'
import { existsSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { build } from 'esbuild'
import { keysIn } from '../../contract/spool.ts'
import { list, type Ran, until } from '../support/world.ts'
import type { GateRule } from './gate.ts'
import { asRoot, daemon, Lab, type LabOptions, meetingPlace } from './lab.ts'

/**
 * Jobs of the template `told`: each start says so in `starts.<n>`, its end in `ends.<n>`, and holds a lock of the kernel's while it runs,
 * so that two that run side by side cannot hide (`together.<n>`). They copy `from` to `to` and wait for the file `go` (or `go.<n>`), if
 * they are to.
 */
export class Told {
  readonly lab: Lab
  readonly dir: string
  readonly jobs = new Map<string, { readonly content: Buffer; readonly out: string }>()

  constructor(lab: Lab) {
    this.lab = lab
    this.dir = meetingPlace(lab)
    lab.template(
      'told',
      `#!/bin/bash
exec 9>>${this.dir}/lock.<<n>>
flock -n 9 || echo together >>${this.dir}/together.<<n>>
echo "$$" >>${this.dir}/starts.<<n>>
cp <<workspace>>/input/<<from>> <<workspace>>/output/<<to>> || exit 9
<<#if waits>>until [ -e ${this.dir}/go ] || [ -e ${this.dir}/go.<<n>> ]; do sleep 0.1 9>&-; done<</if>>
echo "$$" >>${this.dir}/ends.<<n>>
`,
    )
  }

  drop(n: string, content: string | Buffer = n, options: { waits?: boolean; more?: string; out?: string } = {}): void {
    const bytes = Buffer.from(content)
    const out = options.out ?? this.lab.out(n)
    this.jobs.set(n, { content: bytes, out })
    const maps = `input_map: {from: ${this.lab.input(n, bytes)}}\noutput_map: {to: ${out}}\n`
    const args = `args: {n: ${n}${options.waits === true ? ', waits: 1' : ''}}\n`
    this.lab.drop(n, `script: told\n${args}${maps}${options.more ?? ''}`)
  }

  go(n?: string): void {
    writeFileSync(join(this.dir, n === undefined ? 'go' : `go.${n}`), '')
  }

  #lines(kind: string, n: string): string[] {
    const path = join(this.dir, `${kind}.${n}`)
    return existsSync(path) ? readFileSync(path, 'utf8').trimEnd().split('\n') : []
  }

  /** Pids of the script's starts so far. */
  starts(n: string): number[] {
    return this.#lines('starts', n).map(Number)
  }

  ends(n: string): number {
    return this.#lines('ends', n).length
  }

  started(n: string, times = 1): Promise<void> {
    return until(`start ${times} of ${n}`, () => this.starts(n).length >= times, 90_000)
  }

  /** Every job has its one right result, its script ended once and never ran beside itself, and nothing is left on either side. */
  async judge(): Promise<void> {
    const { lab } = this
    for (const [n, { content, out }] of this.jobs) {
      const { job, args } = lab.finished(n)
      assert.deepEqual([job.status, job.message, args.n], ['ok', 'processed OK', n], JSON.stringify(job))
      assert.ok(readFileSync(out).equals(content), `${out} is not right`)
      assert.equal(this.ends(n), 1, `${n} ended ${this.ends(n)} times`)
      assert.deepEqual(this.#lines('together', n), [], `${n} ran beside itself`)
      // a start whose runner ended with it is an attempt like any other
      assert.equal(job.attempts, this.starts(n).length, `${n}: ${JSON.stringify(job.history)}`)
    }
    await nothingLeft(lab, [...this.jobs.keys()])
    const outs = [...this.jobs.values()].map(({ out }) => out)
    const beside = readdirSync(join(lab.dir, 'out')).filter((name) => !outs.includes(lab.out(name)))
    assert.deepEqual(beside, [], 'left beside the destinations')
  }
}

/** The dropbox holds these results and nothing else, the workspace nothing of any job. */
export async function nothingLeft(lab: Lab, names: readonly string[]): Promise<void> {
  await lab.drained()
  const ran = await lab.tick()
  assert.equal(ran.code, 0, ran.stderr)
  assert.deepEqual(
    readdirSync(lab.dropbox)
      .filter((name) => name !== '.hpc')
      .sort(),
    names.map((name) => `${name}.job.finished`).sort(),
  )
  const left = lab.jobsLeft().concat(list(join(lab.workspace, '.trash')))
  for (const folder of ['queue', 'running', 'done'])
    for (const dir of list(join(lab.workspace, folder)))
      left.push(...keysIn(list(join(lab.workspace, folder, dir))).map((key) => `${folder}/${dir}/${key}`))
  assert.deepEqual(left, [], 'left at the site')
}

/** A lab on whose login node conversations can be stopped at a frame. */
export async function labWithGate(options: LabOptions = {}): Promise<GatedLab> {
  const lab = new Lab(options)
  const ruleFile = join(lab.folder, 'gate.json')
  const at = join(lab.folder, 'at')
  const program = join(lab.folder, 'bin', 'gate.cjs')
  await build({
    entryPoints: [join(import.meta.dirname, 'gate.ts')],
    outfile: program,
    bundle: true,
    platform: 'node',
    logLevel: 'warning',
  })
  const node = lab.program(
    'node',
    `#!/bin/sh
case $1 in */hpc_queuer) [ ! -e ${ruleFile} ] || exec ${process.execPath} ${program} ${ruleFile} ${process.execPath} "$@" ;; esac
exec ${process.execPath} "$@"
`,
  )
  writeFileSync(lab.configFile, lab.config({ ...options, site: `node: ${node}\n${options.site ?? ''}` }))
  await asRoot('chmod', '777', lab.folder)
  return Object.assign(lab, {
    shut(rule: Omit<GateRule, 'at'>): Gate {
      rmSync(at, { force: true })
      writeFileSync(ruleFile, JSON.stringify({ ...rule, at }))
      return {
        /** Passes until one stands before the gate; `act` is what happens then. Gives what that pass said at its end. */
        async meet(act: () => Promise<void>): Promise<Ran> {
          for (let pass = 1; pass <= 60; pass++) {
            const ticking = lab.tick()
            const ended = ticking.then(() => true)
            await until('the gate, or the end of the pass', async () => {
              return existsSync(at) || (await Promise.race([ended, sleep(50).then(() => false)]))
            })
            if (existsSync(at)) await act()
            const ran = await ticking
            if (existsSync(at)) {
              rmSync(ruleFile)
              return ran
            }
            assert.equal(ran.code, 0, ran.stderr)
          }
          throw new Error(`no pass came to ${JSON.stringify(rule)}`)
        },
      }
    },
  })
}

export type GatedLab = Lab & { shut(rule: Omit<GateRule, 'at'>): Gate }

export interface Gate {
  meet(act: () => Promise<void>): Promise<Ran>
}

export function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}

/** The sshd processes that serve connections, the account's own included. */
export function sshSessions(): number[] {
  const found: number[] = []
  const children = (pid: number): number[] =>
    readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ').filter(Boolean).map(Number)
  for (let next = children(daemon('sshd')); next.length > 0; ) {
    const sshd = next.filter((pid) => readFileSync(`/proc/${pid}/comm`, 'utf8') === 'sshd\n')
    found.push(...sshd)
    next = sshd.flatMap(children)
  }
  return found
}

export function sizeOf(path: string): number {
  return existsSync(path) ? statSync(path).size : 0
}
