/** The jobs of a chaos run: what each is dropped as, and the one right end it has whatever strikes. */
import { chmodSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Lab, meetingPlace } from '../cluster/lab.ts'
import type { End, Job } from '../judge/evidence.ts'
import type { Watched } from '../judge/reader.ts'
import { countsItself } from '../judge/run-log.ts'
import { Chance } from '../simulate/kernel.ts'
import type { Plan, PlannedJob } from './plan.ts'

const before = 'what lay there before\n'

/** Where the scripts of a run count themselves. */
export class ScriptLog {
  readonly runs: string
  readonly together: string
  readonly #dir: string

  constructor(lab: Lab) {
    this.#dir = meetingPlace(lab)
    this.runs = join(this.#dir, 'runs')
    this.together = join(this.#dir, 'together')
    for (const path of [this.runs, this.together]) {
      writeFileSync(path, '')
      chmodSync(path, 0o666)
    }
  }

  /** Top of every script: it counts itself, and holds a lock of the kernel's, so that two which run side by side cannot hide. */
  head(): string {
    return `#!/bin/sh
${countsItself('<<token>>', this.runs)}
exec 9>>${this.#dir}/lock.<<token>>
flock -n 9 || echo "<<token>> $HPC_BATCH_JOB" >>${this.together}
sleep <<seconds>>
`
  }
}

export function giveTemplates(lab: Lab, log: ScriptLog): void {
  const templates: Record<PlannedJob['kind'], string> = {
    copy: 'cp input/<<from>> output/<<to>>\necho <<token>> out\n',
    slow: 'cp input/<<from>> output/<<to>>\necho <<token>> out\n',
    large: 'cat input/<<from>> input/<<from>> >output/<<to>>\necho <<token>> out\n',
    several:
      'cp input/<<from>> output/<<to>>\nmkdir -p output/<<tree>>/deep\ncp input/<<from>> output/<<tree>>/deep/copy\necho <<token>> >output/<<tree>>/name\necho <<token>> out\n',
    failing: 'cp input/<<from>> output/<<to>>\necho <<token>> out\nexit 3\n',
    talking: 'cp input/<<from>> output/<<to>>\nseq 1 2000\necho <<token>> out\n',
  }
  for (const [kind, text] of Object.entries(templates)) lab.template(kind, log.head() + text)
}

function contentOf(plan: Plan, job: PlannedJob): string {
  const chance = new Chance(plan.seed ^ (job.bytes + 1))
  const line = `${job.name} ${chance.hex(60)}\n`
  return line.repeat(Math.ceil(job.bytes / line.length)).slice(0, job.bytes)
}

const numbers = Array.from({ length: 2000 }, (_, n) => `${n + 1}\n`).join('')

/** Makes the input and what lay at the destination, and says how the job must end; `drop` then drops it. */
export function prepareJob(
  lab: Lab,
  plan: Plan,
  job: PlannedJob,
): { judged: Job; watched: Watched; drop: () => void; cancel: () => void } {
  const { name, kind } = job
  const content = contentOf(plan, job)
  const to = lab.out(name)
  if (kind === 'failing') writeFileSync(to, before)
  const tree = lab.out(`${name}.tree`)
  const outputs = {
    [to]: kind === 'failing' ? before : kind === 'large' ? content + content : content,
    ...(kind === 'several' ? { [tree]: { 'deep/copy': content, name: `${name}\n` } } : {}),
  }
  const out = `${name} out\n`
  // a job that is cancelled in time leaves all as it was, and an exit code if its script had begun
  const cancelled = (more: Pick<End, 'rc' | 'message' | 'startsUnknown'>): End => {
    const nothing = Object.fromEntries(Object.keys(outputs).map((path) => [path, null]))
    return { status: 'error', state: 'cancelled', ...more, outputs: kind === 'failing' ? outputs : nothing }
  }
  const cancelledEnds = [
    ...[null, -15, -9].map((rc) => cancelled({ rc, message: 'The job was cancelled on request' })),
    cancelled({ rc: null, message: 'The job was cancelled before it was sent' }),
    cancelled({ rc: null, message: /does not answer and is to be told/, startsUnknown: true }),
  ]
  const shared = { state: 'done', stdout: kind === 'talking' ? numbers + out : out, outputs } as const
  const end =
    kind === 'failing'
      ? ({ ...shared, status: 'error', rc: 3, message: 'Remote command failed with return code 3' } as const)
      : ({ ...shared, status: 'ok', rc: 0, message: 'processed OK' } as const)
  const maps = `input_map: {from: ${lab.input(name, content)}}\noutput_map: {to: ${to}${kind === 'several' ? `, tree: ${tree}` : ''}}\n`
  const lane = job.lane === 'gpu' ? 'resources: {gpus: 1}\n' : ''
  // only its own exit may end a job here, however often the ground is taken from under it
  const text = `script: ${kind}\nargs: {token: ${name}, seconds: ${job.seconds}}\n${maps}${lane}max_attempts: 100\n`
  return {
    judged: {
      dropbox: lab.dropbox,
      name,
      args: { token: name },
      ends: [end, ...(job.cancelAfterMs === undefined ? [] : cancelledEnds)],
      mayNotRun: job.cancelAfterMs !== undefined,
    },
    watched: { dropbox: lab.dropbox, name, outputs },
    drop: () => lab.drop(name, text),
    cancel: () => {
      if (!lab.has(`${name}.job.finished`)) writeFileSync(join(lab.dropbox, `${name}.job.cancel`), '')
    },
  }
}
