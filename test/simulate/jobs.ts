/** The jobs tools drop: what each asks for, what its script will do, and how it may rightly end. */
import type { Content, End, Job } from '../judge/evidence.ts'
import type { Chance } from './kernel.ts'
import { contentOf } from './scripts.ts'

/** Templates of every gateway; the one line of each is read by `scripts.ts`. */
export const templates: Readonly<Record<string, string>> = {
  work: '#!/bin/sh\ndo <<seconds>> <<rc>> <<token>> <<mood>> in <<from>> out <<to>> dir\n',
  many: '#!/bin/sh\ndo <<seconds>> <<rc>> <<token>> <<mood>> in <<from>> <<shared>> out <<to>> <<more>> dir <<folder>>\n',
}

/** How a job may differ from the plain one. */
export interface JobWishes {
  /** Its one text, for those that are refused. */
  readonly refused: boolean
  readonly cancelled: boolean
  readonly large: boolean
  /** Names of sites, when there are several. */
  readonly sites: readonly string[]
  /** Of an input that others use too. */
  readonly shared: string
  /** Takes seconds, seldom more. */
  readonly brief: boolean
  /** Says how long it takes. */
  readonly timed: boolean
  /** There may be no room on its site's disk. */
  readonly mayBeFull: boolean
}

export interface PlannedJob {
  readonly job: Job
  readonly site: string | undefined
  readonly text: string
  readonly inputs: Readonly<Record<string, string>>
  /** So long after its drop its tool asks to stop it. */
  readonly cancelAfterMs: number | undefined
  /** So long it may take, as it says itself. */
  readonly timeMs: number | undefined
  readonly about: string
}

const times: Readonly<Record<string, number>> = { '20s': 20_000, '7m': 420_000, '15m': 900_000, '100m': 6_000_000 }

const largeBytes = 24_000

export function planJob(chance: Chance, dir: string, name: string, wishes: JobWishes): PlannedJob {
  const dropbox = `${dir}/dropbox`
  if (wishes.refused) return refusedJob(chance, dir, dropbox, name)
  const many = chance.happens(0.3)
  const mood = chance.pick(['plain', 'plain', 'plain', 'plain', 'plain', 'stubborn', 'crashing', 'forgetful', 'slow'])
  const rc = mood === 'plain' && chance.happens(0.15) ? 3 : 0
  const usual = wishes.brief ? chance.between(1, 10) : chance.between(1, 30)
  const seconds = mood === 'slow' ? chance.between(60, 90) : chance.happens(0.8) ? usual : chance.between(30, 240)
  const rarely = chance.happens(0.2) ? chance.pick(['15m', '100m']) : undefined
  const known = mood === 'slow' ? '20s' : wishes.timed ? '7m' : rarely
  const site = wishes.sites.length > 1 ? chance.pick(wishes.sites) : undefined
  const input = chance.hex(wishes.large ? chance.between(largeBytes / 2, largeBytes) : chance.between(0, 40))
  const from = `${dir}/in/${name}.in`
  const shared = `${dir}/in/shared.in`
  const inputs: Record<string, string> = { [from]: input, ...(many ? { [shared]: wishes.shared } : {}) }
  const read = many ? [input, wishes.shared] : [input]
  const [to, more, folder] = ['out', 'more', 'folder'].map((end) => `${dir}/out/${name}.${end}`) as [
    string,
    string,
    string,
  ]
  const base = (path: string) => path.slice(path.lastIndexOf('/') + 1)
  const whole: Record<string, Content> = { [to]: contentOf(name, base(to), read) }
  if (many) {
    whole[more] = contentOf(name, base(more), read)
    whole[folder] = { first: contentOf(name, 'first', read), 'below/second': contentOf(name, 'second', read) }
  }
  const text = [
    `script: ${many ? 'many' : 'work'}`,
    `args: {seconds: ${seconds}, rc: ${rc}, token: ${name}, mood: ${mood}}`,
    `input_map: {from: ${from}${many ? `, shared: ${shared}` : ''}}`,
    `output_map: {to: ${to}${many ? `, more: ${more}, folder: ${folder}` : ''}}`,
    ...(known === undefined ? [] : [`resources: {time: ${known}}`]),
    ...(site === undefined ? [] : [`site: ${site}`]),
    '...\n',
  ].join('\n')
  const ends = endsOf({ name, mood, rc, whole, cancelled: wishes.cancelled, mayBeFull: wishes.mayBeFull })
  return {
    job: { dropbox, name, args: { token: name }, ends, ...(wishes.cancelled ? { mayNotRun: true } : {}) },
    site,
    text,
    inputs,
    cancelAfterMs: wishes.cancelled ? chance.between(0, chance.pick([1_000, 120_000, 600_000])) : undefined,
    timeMs: known === undefined ? undefined : times[known],
    about: `${seconds} s, ${mood}, rc ${rc}${many ? ', many outputs' : ''}${wishes.large ? ', large' : ''}`,
  }
}

interface Planned {
  readonly name: string
  readonly mood: string
  readonly rc: number
  readonly whole: Readonly<Record<string, Content>>
  readonly cancelled: boolean
  readonly mayBeFull: boolean
}

function endsOf({ name, mood, rc, whole, cancelled, mayBeFull }: Planned): End[] {
  const none = Object.fromEntries(Object.keys(whole).map((path) => [path, null]))
  const stdout = `${name} out\n`
  const error = (more: Pick<End, 'rc'> & Partial<End>): End => ({
    ...{ status: 'error', state: 'done', stdout, outputs: none },
    ...more,
  })
  const ok: End = { status: 'ok', state: 'done', rc: 0, message: 'processed OK', stdout, outputs: whole }
  const ends: End[] = []
  if (mood === 'crashing') ends.push(error({ rc: -11, message: 'Remote command failed with return code -11' }))
  else if (mood === 'forgetful') ends.push(error({ rc: 0, message: /did not write/ }))
  else if (mood === 'slow') {
    for (const end of [-15, -9]) ends.push(error({ rc: end, message: /ran longer than its time/ }))
    // on a full disk its launcher cannot tell how it ended
    if (mayBeFull) ends.push(error({ rc: null, state: 'aborted', message: /ran longer than its time/ }))
    // nobody ends it when its runner has died or stands still
    ends.push(ok)
  } else if (rc !== 0) ends.push(error({ rc, message: `Remote command failed with return code ${rc}` }))
  else ends.push(ok)
  if (cancelled) {
    for (const end of [null, -15, -9, -11, 0, rc])
      ends.push({
        ...{ status: 'error', state: 'cancelled', rc: end, message: /cancelled/, outputs: none },
        ...(end === null ? { startsUnknown: true } : {}),
      })
  }
  return ends
}

/** What is wrong with itself is told at once, without a site. */
function refusedJob(chance: Chance, dir: string, dropbox: string, name: string): PlannedJob {
  const out = `${dir}/out/${name}.out`
  const args = `args: {seconds: 1, rc: 0, token: ${name}, mood: plain}`
  const [text, message] = chance.pick<readonly [string, RegExp]>([
    [`script: nosuch\n${args}\noutput_map: {to: ${out}}\n...\n`, /nosuch/],
    [`script: work\n${args}\ninput_map: {from: ${dir}/in/none}\noutput_map: {to: ${out}}\n...\n`, /does not exist/],
    [`script: work\n${args}\noutput_map: {to: ${out}}\n...\n`, /from/],
    [`script: work\nargs: {seconds: 1, token: [${name}\n...\n`, /Cannot accept/],
  ])
  const end: End = { status: 'error', state: 'aborted', rc: null, message, outputs: { [out]: null } }
  const job: Job = { dropbox, name, ends: [end], mayNotRun: true }
  return { job, site: undefined, text, inputs: {}, cancelAfterMs: undefined, timeMs: undefined, about: 'to be refused' }
}
