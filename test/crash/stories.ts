/** The journeys whose effects are enumerated: what is dropped, step by step what happens, and how each job must end whatever dies. */
import { mkdirSync, readFileSync, utimesSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { End, Job } from '../judge/evidence.ts'
import { countsItself } from '../judge/run-log.ts'
import { until, type World } from '../support/world.ts'
import type { Conduct, CrashWorld } from './crash-world.ts'

export type Step =
  /** A pass of the submitter, with the queuer it starts. */
  | 'pass'
  /** The allocation that was submitted before, to its end. */
  | 'allocation'
  /** The tool asks for the job's end, then a pass. */
  | 'cancel'
  /** The same while the script runs, until its runner has left. */
  | 'cancel-running'

export interface Story {
  readonly name: string
  /** Another job has been here before: workspace, lane and programs are there. */
  readonly warm: boolean
  readonly steps: readonly Step[]
  drop(world: World, runs: string): Job[]
}

const journey = ['pass', 'allocation', 'pass'] as const

const ok = (stdout: string, outputs: End['outputs']): End => ({
  ...{ status: 'ok', state: 'done', rc: 0, message: 'processed OK' },
  ...{ stdout, outputs },
})

function template(world: World, runs: string, name: string, body: string): void {
  world.template(name, `#!/bin/sh\n${countsItself('<<token>>', runs)}\n${body}\n`)
}

function drop(world: World, name: string, script: string, more: string): void {
  world.drop(name, `script: ${script}\nargs: {token: ${name}}\n${more}`)
}

/** Copies its input: one file in, one out. */
function dropCopy(world: World, name: string, from: string, to: string): void {
  drop(world, name, 'counted', `input_map: {from: ${from}}\noutput_map: {to: ${to}}\n`)
}

const copies = 'cp input/<<from>> output/<<to>>; echo <<token>> out'

function success(world: World, runs: string): Job[] {
  template(world, runs, 'counted', copies)
  const to = world.out('a')
  writeFileSync(to, 'old')
  dropCopy(world, 'a', world.input('in', 'content'), to)
  return [{ dropbox: world.dropbox, name: 'a', args: { token: 'a' }, ends: [ok('a out\n', { [to]: 'content' })] }]
}

function failing(world: World, runs: string): Job[] {
  template(world, runs, 'failing', 'echo part >output/<<to>>; echo out; exit 3')
  const to = world.out('a')
  writeFileSync(to, 'old')
  drop(world, 'a', 'failing', `output_map: {to: ${to}}\n`)
  const message = 'Remote command failed with return code 3'
  const end: End = { status: 'error', state: 'done', rc: 3, message, stdout: 'out\n', outputs: { [to]: 'old' } }
  return [{ dropbox: world.dropbox, name: 'a', args: { token: 'a' }, ends: [end] }]
}

function refused(world: World, runs: string): Job[] {
  template(world, runs, 'counted', copies)
  dropCopy(world, 'a', join(world.dir, 'in', 'missing'), world.out('a'))
  const message = /missing/
  const end: End = { status: 'error', state: 'aborted', rc: null, message, outputs: { [world.out('a')]: null } }
  return [{ dropbox: world.dropbox, name: 'a', args: { token: 'a' }, ends: [end], mayNotRun: true }]
}

function cancelled(world: World, runs: string): Job[] {
  template(world, runs, 'endless', 'echo part >output/<<to>>; sleep 600')
  const to = world.out('a')
  writeFileSync(to, 'old')
  drop(world, 'a', 'endless', `output_map: {to: ${to}}\n`)
  const end = { status: 'error', state: 'cancelled', message: /cancelled/, outputs: { [to]: 'old' } } as const
  const ends = [null, -15].map((rc) => ({ ...end, rc }))
  return [{ dropbox: world.dropbox, name: 'a', args: { token: 'a' }, ends, mayNotRun: true }]
}

function shared(world: World, runs: string): Job[] {
  template(world, runs, 'counted', copies)
  // large enough for the site's store, from which the second job gets it
  const content = 'content '.repeat(130 * 1024)
  const from = world.input('in', content)
  return ['a', 'b'].map((name) => {
    const to = world.out(name)
    dropCopy(world, name, from, to)
    return { dropbox: world.dropbox, name, args: { token: name }, ends: [ok(`${name} out\n`, { [to]: content })] }
  })
}

/** A file and a folder that replace others, an optional one that comes and one that does not. */
function outputs(world: World, runs: string): Job[] {
  const made =
    'cp input/<<from>> output/<<file>>; mkdir -p output/<<folder>>/sub; cp input/<<from>> output/<<folder>>/sub/copy; echo 1 >output/<<folder>>/one; echo yes >output/<<extra>>'
  template(world, runs, 'several', made)
  const [file, folder, extra, absent] = ['file', 'folder', 'extra', 'absent'].map((name) => world.out(name)) as [
    string,
    string,
    string,
    string,
  ]
  writeFileSync(file, 'old')
  mkdirSync(folder)
  writeFileSync(join(folder, 'old'), 'old')
  const input = world.input('in', 'content')
  const maps = `input_map: {from: ${input}}\noutput_map: {file: ${file}, folder: ${folder}, "extra?": ${extra}, "absent?": ${absent}}\n`
  drop(world, 'a', 'several', maps)
  const content = {
    [file]: 'content',
    [folder]: { 'sub/copy': 'content', one: '1\n' },
    [extra]: 'yes\n',
    [absent]: null,
  }
  return [{ dropbox: world.dropbox, name: 'a', args: { token: 'a' }, ends: [ok('', content)] }]
}

export const stories: readonly Story[] = [
  { name: 'success', warm: false, steps: journey, drop: success },
  { name: 'failing', warm: true, steps: journey, drop: failing },
  { name: 'refused', warm: true, steps: ['pass'], drop: refused },
  { name: 'cancelled-waiting', warm: true, steps: ['pass', 'cancel', 'pass'], drop: cancelled },
  { name: 'cancelled-running', warm: true, steps: ['pass', 'cancel-running', 'pass'], drop: cancelled },
  { name: 'shared-input', warm: true, steps: journey, drop: shared },
  { name: 'several-outputs', warm: true, steps: journey, drop: outputs },
]

export function isCancelled({ steps }: Story): boolean {
  return steps.some((step) => step.startsWith('cancel'))
}

/** As `touch` does. */
export function requestCancel(world: World): void {
  const path = join(world.dropbox, 'a.job.cancel')
  writeFileSync(path, '')
  const now = new Date()
  utimesSync(path, now, now)
}

export function hasBegun(runs: string): boolean {
  try {
    return readFileSync(runs, 'utf8').includes('start ')
  } catch {
    return false
  }
}

/** One step under its plan; it has ended when all that it started has. */
export async function take(step: Step, crash: CrashWorld, conduct: Conduct): Promise<void> {
  const env = crash.conduct(conduct)
  if (step === 'allocation') return crash.allocation(env, conduct)
  if (step !== 'cancel-running') {
    if (step === 'cancel') requestCancel(crash.world)
    return crash.pass(env, conduct)
  }
  let gone = false
  const allocation = crash.allocation(env, conduct).finally(() => {
    gone = true
  })
  await until('the script to start', () => gone || hasBegun(crash.runs))
  requestCancel(crash.world)
  await crash.pass(env, conduct)
  // undisturbed by a death of the pass, the runner hears of it
  if (!['submitter', 'queuer'].includes(conduct.strike?.program ?? '')) await allocation
}
