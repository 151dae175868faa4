/** What the scenarios of this folder share: jobs that tell how they were run, gates in the conversation, and what a good end is. */
import assert from 'node:assert/strict'
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { build } from 'esbuild'
import type { End, Evidence, Job } from '../judge/evidence.ts'
import { evidenceOf, judgeWorld } from '../judge/judged-world.ts'
import { judgeLeavings } from '../judge/leavings.ts'
import { Reader } from '../judge/reader.ts'
import { countsItself, readRuns } from '../judge/run-log.ts'
import { type Ran, until } from '../support/world.ts'
import type { GateRule } from './gate.ts'
import { asRoot, daemon, Lab, type LabOptions, meetingPlace } from './lab.ts'

/**
 * Jobs of the template `told`, which copy `from` to `to` and, where they are to, wait for the file `go` or `go.<n>`. Each start writes its
 * pid and its ends down, counts itself for the judge, and holds a lock of the kernel's while any process of it lives: two that run side by
 * side cannot hide, however they end.
 */
export class Told {
  readonly lab: Lab
  readonly dir: string
  readonly reader = new Reader()
  readonly jobs = new Map<string, Job>()

  constructor(lab: Lab) {
    this.lab = lab
    this.dir = meetingPlace(lab)
    lab.template(
      'told',
      `#!/bin/bash
exec 9>>${this.dir}/lock.<<n>>
flock -n 9 || echo "$HPC_BATCH_JOB" >>${this.dir}/together.<<n>>
${countsItself('<<n>>', `${this.dir}/runs`)}
echo "$$" >>${this.dir}/starts.<<n>>
cp <<workspace>>/input/<<from>> <<workspace>>/output/<<to>> || exit 9
<<#if waits>>until [ -e ${this.dir}/go ] || [ -e ${this.dir}/go.<<n>> ]; do sleep 0.1; done<</if>>
echo "$HPC_BATCH_JOB" >>${this.dir}/ends.<<n>>
`,
    )
  }

  drop(
    n: string,
    content = n,
    options: { waits?: boolean; more?: string; out?: string; end?: Partial<End>; job?: Partial<Job> } = {},
  ): void {
    const out = options.out ?? this.lab.out(n)
    const right: End = { status: 'ok', state: 'done', rc: 0, message: 'processed OK', outputs: { [out]: content } }
    const job = {
      dropbox: this.lab.dropbox,
      name: n,
      args: { n },
      ends: [{ ...right, ...options.end }],
      ...options.job,
    }
    this.jobs.set(n, job)
    // reading large outputs all the time would be all that this machine does
    if (content.length < 100_000) this.reader.watch({ dropbox: job.dropbox, name: n, outputs: { [out]: content } })
    const maps = `input_map: {from: ${this.lab.input(n, content)}}\noutput_map: {to: ${out}}\n`
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

  /** How often the script came to its end. */
  ends(n: string): number {
    return this.#lines('ends', n).length
  }

  started(n: string, times = 1): Promise<void> {
    return until(`start ${times} of ${n}`, () => this.starts(n).length >= times, 90_000)
  }

  /**
   * All promises were kept, by the judge and by the kernel's locks; `more` for what the story knows besides.
   * `withoutRuns`: jobs given up without word from the site, whose results cannot tell of their starts.
   */
  async judge(more: Partial<Evidence> = {}, withoutRuns: readonly string[] = []): Promise<void> {
    const { lab } = this
    await lab.drained()
    // the last pass empties the trash
    const ran = await lab.tick()
    assert.equal(ran.code, 0, ran.stderr)
    const seen = this.reader.end()
    const told = new Set([...this.jobs.keys()].flatMap((n) => this.#lines('ends', n)))
    const runs = readRuns(join(this.dir, 'runs'), (mark) => told.has(mark)).filter(
      ({ job }) => !withoutRuns.includes(job),
    )
    assert.deepEqual(judgeWorld(lab, [...this.jobs.values()], { runs, seen, ...more }), [])
    for (const n of this.jobs.keys()) assert.deepEqual(this.#lines('together', n), [], `${n} ran beside itself`)
  }
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
    shut(rule: Stop): Gate {
      const open = `${at}.open`
      for (const path of [at, open]) rmSync(path, { force: true })
      writeFileSync(ruleFile, JSON.stringify({ ...rule, at, open }))
      return {
        /** Passes until one stands before the gate; `act` is what happens then. Gives what that pass said at its end. */
        async meet(act: () => Promise<void>): Promise<Ran> {
          for (let pass = 1; pass <= 60; pass++) {
            const ticking = lab.tick()
            const ended = ticking.then(() => true)
            await until('the gate, or the end of the pass', async () => {
              return existsSync(at) || (await Promise.race([ended, sleep(50).then(() => false)]))
            })
            if (existsSync(at)) {
              await act()
              writeFileSync(open, '')
            }
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

/** The dropbox holds these results and nothing else, and the workspace nothing of any job. */
export async function nothingLeft(lab: Lab, names: readonly string[]): Promise<void> {
  await lab.drained()
  // the last pass empties the trash
  const ran = await lab.tick()
  assert.equal(ran.code, 0, ran.stderr)
  const jobs = names.map((name) => ({ dropbox: lab.dropbox, name, ends: [] }))
  const gateways = [{ dropbox: lab.dropbox, state: join(lab.dir, 'state'), destinations: [] }]
  assert.deepEqual(judgeLeavings(evidenceOf(lab, jobs, { gateways })), [])
}

/** Which frame a gate stops, and how. */
export type Stop = Omit<GateRule, 'at' | 'open'>

export type GatedLab = Lab & { shut(rule: Stop): Gate }

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
