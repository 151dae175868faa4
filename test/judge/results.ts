/** Promises 1, 2 and 5: one result per complete job, the right one, beside whole outputs, with a history that can be true. */
import { load } from 'js-yaml'
import type { Content, End, Evidence, Job, View } from './evidence.ts'

interface Block {
  readonly status?: string
  readonly state?: string
  readonly message?: string
  readonly rc?: number | null
  readonly stdout?: string
  readonly attempts?: number
  readonly history?: readonly { readonly state: string; readonly at: string }[]
}

export function judgeResult(evidence: Evidence, job: Job): readonly string[] {
  const { view, seen } = evidence
  const text = view.text(`${job.dropbox}/${job.name}.job.finished`)
  if (text === undefined) return [`${job.name} has no result`]
  const { args, block } = readResult(text)
  if (block === undefined)
    return [`${job.name} has a result that cannot be read: ${JSON.stringify(text.slice(0, 200))}`]
  const said: string[] = []
  for (const [key, value] of Object.entries(job.args ?? {})) {
    if (String(args?.[key]) !== value) said.push(`has a result that is not its own: ${key} is ${String(args?.[key])}`)
  }
  const end = job.ends.find((one) => matches(one, block)) ?? givenUp(evidence, job, block)
  if (end === undefined) said.push(`ended as ${shown(block)}, and may end as ${job.ends.map(shown).join(' or ')}`)
  else said.push(...judgeOutputs(view, end))
  said.push(...judgeHistory(evidence, job, block, end))
  for (const sighting of seen?.sightings ?? []) {
    if (sighting.name !== job.name || sighting.dropbox !== job.dropbox || end === undefined) continue
    for (const [path, content] of Object.entries(end.outputs)) {
      const found = sighting.outputs[path]
      if (found !== undefined && !same(found, content))
        said.push(`was seen finished while ${path} held ${short(found)}`)
    }
  }
  if (seen?.replaced.includes(`${job.dropbox}/${job.name}.job.finished`)) said.push('was finished more than once')
  return said.map((sentence) => `${job.name} ${sentence}`)
}

function readResult(text: string): { readonly args?: Record<string, unknown>; readonly block?: Block } {
  try {
    // as any tool would read it
    const { args, job } = load(text) as { args?: Record<string, unknown>; job?: Block }
    return { ...(args !== undefined && { args }), ...(job !== undefined && { block: job }) }
  } catch {
    return {}
  }
}

function matches(end: End, block: Block): boolean {
  const { message } = end
  return (
    block.status === end.status &&
    block.state === end.state &&
    block.rc === end.rc &&
    (end.stdout === undefined || block.stdout === end.stdout) &&
    (message === undefined ||
      (typeof message === 'string' ? block.message === message : message.test(block.message ?? '')))
  )
}

/** A job may be given up for its deaths, and for nothing else; then none of its outputs may have come. */
function givenUp({ runs, maxAttempts = 3 }: Evidence, job: Job, block: Block): End | undefined {
  if (block.state !== 'aborted' || block.status !== 'error') return undefined
  const deaths = (runs ?? []).filter((run) => run.job === job.name && !run.told).length
  return deaths >= maxAttempts ? { status: 'error', state: 'aborted', rc: null, outputs: {} } : undefined
}

function judgeOutputs(view: View, end: End): readonly string[] {
  return Object.entries(end.outputs).flatMap(([path, content]) => {
    const found = contentAt(view, path, content)
    return same(found, content) ? [] : [`has at ${path} ${short(found)}, not ${short(content)}`]
  })
}

/** What lies at a destination, read as that which is expected there. */
export function contentAt(view: View, path: string, expected: Content): Content {
  if (expected === null || typeof expected === 'string') {
    const text = view.text(path)
    return text ?? (view.names(path).length > 0 ? filesIn(view, path) : null)
  }
  const files = view.text(path) ?? filesIn(view, path)
  // a view does not tell an empty folder from none
  return typeof files === 'object' && Object.keys(files).length === 0 && Object.keys(expected).length > 0 ? null : files
}

function filesIn(view: View, dir: string): Readonly<Record<string, string>> {
  const files: Record<string, string> = {}
  const walk = (folder: string, prefix: string) => {
    for (const name of view.names(folder)) {
      const text = view.text(`${folder}/${name}`)
      if (text !== undefined) files[prefix + name] = text
      else walk(`${folder}/${name}`, `${prefix}${name}/`)
    }
  }
  walk(dir, '')
  return files
}

export function same(a: Content, b: Content): boolean {
  if (a === null || b === null || typeof a === 'string' || typeof b === 'string') return a === b
  const names = Object.keys(a)
  return names.length === Object.keys(b).length && names.every((name) => a[name] === b[name])
}

function short(content: Content): string {
  const text = JSON.stringify(content)
  return text.length > 120 ? `${text.slice(0, 120)}… (${text.length} characters)` : text
}

function shown({ status, state, rc, message, stdout }: Block | End): string {
  return `${state} ${status} rc ${rc} ${message === undefined ? '' : String(message)}${stdout === undefined ? '' : ` stdout ${JSON.stringify(stdout)}`}`
}

/** Which state may follow which; the design's chain, with the ways back and out. */
const followers: Readonly<Record<string, readonly string[]>> = {
  // what cannot be read is refused before anything is known of it
  submitted: ['waiting', 'aborted'],
  waiting: ['waiting', 'held', 'ready', 'aborted', 'cancelling', 'cancelled'],
  held: ['waiting', 'ready', 'aborted', 'cancelling', 'cancelled'],
  ready: ['ready', 'waiting', 'scheduled', 'aborted', 'cancelling', 'cancelled'],
  scheduled: ['scheduled', 'held', 'running', 'aborted', 'cancelling', 'cancelled'],
  running: ['running', 'scheduled', 'finishing', 'aborted', 'cancelling', 'cancelled'],
  cancelling: ['cancelled', 'running', 'finishing', 'aborted'],
  finishing: ['done', 'aborted', 'cancelled'],
}

function judgeHistory(
  { runs, clocksApart }: Evidence,
  job: Job,
  block: Block,
  end: End | undefined,
): readonly string[] {
  const history = block.history ?? []
  const states = history.map(({ state }) => state)
  const said: string[] = []
  if (states[0] !== 'submitted') said.push(`has a history that begins with ${states[0]}`)
  if (states.at(-1) !== block.state) said.push(`is ${block.state} and has a history that ends with ${states.at(-1)}`)
  for (const [i, state] of states.entries()) {
    const next = states[i + 1]
    if (next !== undefined && !followers[state]?.includes(next)) said.push(`went from ${state} to ${next}`)
  }
  const mine = (runs ?? []).filter((run) => run.job === job.name).length
  if (runs !== undefined && end?.startsUnknown !== true && mine > (block.attempts ?? 0))
    said.push(`was started ${mine} times, and its result tells of ${block.attempts}`)
  if (block.rc !== null && !states.includes('running')) said.push('has an exit code and was never running')
  if (clocksApart !== true) {
    const times = history.map(({ at }) => Date.parse(at))
    // file systems and clocks round differently: a second is no lie
    if (times.some((at, i) => at + 1000 < (times[i - 1] ?? at))) said.push(`has a history that goes back in time`)
  }
  return said
}
