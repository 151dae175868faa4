/** A dropped `.job` file to a checked JobDescription, or to everything that is wrong with it at once. Never throws. */

import { readArgs, readInputs, readOutputs } from './description-maps.ts'
import {
  isEmpty,
  readDuration,
  readJobName,
  readLine,
  readMemory,
  readNames,
  readScriptName,
  readWhole,
  type Spot,
  spotAt,
} from './description-values.ts'
import { quoted } from './errors.ts'
import type { JobDescription, Problem, Resources } from './job-description.ts'
import { didYouMean, nearest } from './suggest.ts'
import { findYamlFaults, joinKeys, type YamlFault } from './yaml-faults.ts'
import { placeIn, readYamlTreeOnce, type YamlEntry, type YamlMap, type YamlNode, type YamlText } from './yaml-tree.ts'

export type DescriptionReading =
  | { readonly ok: true; readonly description: JobDescription }
  | { readonly ok: false; readonly problems: Problem[] }

type Draft = { -readonly [Field in keyof JobDescription]?: JobDescription[Field] }

/** `key: value` when there is a value, nothing otherwise. */
function given<Key extends string, Value>(key: Key, value: Value | undefined): { [K in Key]?: Value } {
  return (value === undefined ? {} : { [key]: value }) as { [K in Key]?: Value }
}

/** Every key that is ours, and how its value is read. `key:` without a value counts as not given. */
const fields: Readonly<Record<string, (spot: Spot) => Draft>> = {
  script: (spot) => given('script', readScriptName(spot)),
  args: (spot) => ({ args: readArgs(spot) }),
  input_map: (spot) => ({ inputs: readInputs(spot) }),
  output_map: (spot) => ({ outputs: readOutputs(spot) }),
  site: (spot) => given('site', readLine(spot)),
  target: (spot) => given('target', readLine(spot)),
  size: (spot) => given('size', readLine(spot)),
  requirements: (spot) => given('requirements', readLine(spot, true)),
  rank: (spot) => given('rank', readLine(spot, true)),
  resources: (spot) => ({ resources: readResources(spot) }),
  priority: (spot) => given('priority', readWhole(spot, 0, 100)),
  after: (spot) => ({ after: readNames(spot, readJobName) }),
  expiry: (spot) => given('expiryMs', readDuration(spot)),
  max_attempts: (spot) => given('maxAttempts', readWhole(spot, 1, 1000)),
  notify: (spot) => ({ notify: readNames(spot, readLine) }),
}

const most = 1_000_000

const resourceFields: Readonly<Record<string, (spot: Spot) => Resources>> = {
  cpus: (spot) => given('cpus', readWhole(spot, 1, most)),
  memory: (spot) => given('memoryBytes', readMemory(spot)),
  gpus: (spot) => given('gpus', readWhole(spot, 0, most)),
  nodes: (spot) => given('nodes', readWhole(spot, 1, most)),
  time: (spot) => given('timeMs', readDuration(spot)),
}

/** The blocks that we add to `.submitted` and `.finished`. */
const ourBlocks: readonly string[] = ['hpc', 'job']

/** Problems listed before we stop; nobody reads more. */
const enough = 100

/** `name` is the file's name in the dropbox, `x.job`: a job cannot wait for itself. */
export function readDescription(bytes: Uint8Array, name: string): DescriptionReading {
  const reading = readYamlTreeOnce(bytes)
  if (!reading.ok) return { ok: false, problems: [reading.problem] }
  const { tree } = reading
  const placeOf = placeIn(tree.source)
  const problems: Problem[] = []
  const report: Report = (key, offset, message) => {
    if (problems.length < enough) problems.push({ key, ...placeOf(offset), message })
  }

  for (const fault of findYamlFaults(tree, enough)) report(fault.path, fault.offset, faultMessage(fault))
  const { root } = tree
  const draft: Draft = {}
  if (root.kind === 'map') {
    readFields(root, draft, report)
    checkAcross(draft, name, root, report)
  } else if (isEmpty(root)) report('', root.offset, 'is empty; a description needs at least "script:"')
  else if (problems.length === 0)
    report('', root.offset, 'is not a mapping; write one "key: value" per line, beginning with "script:"')
  if (problems.length === 0 && draft.script !== undefined)
    return { ok: true, description: { ...defaults, ...draft, script: draft.script } }
  problems.sort((a, b) => (a.line ?? 0) - (b.line ?? 0) || (a.column ?? 0) - (b.column ?? 0))
  return { ok: false, problems }
}

type Report = (path: string, offset: number, message: string) => void

const defaults: Omit<JobDescription, 'script'> = {
  args: new Map(),
  inputs: new Map(),
  outputs: new Map(),
  resources: {},
  priority: 50,
  after: [],
  notify: [],
}

function readFields(root: YamlMap, draft: Draft, report: Report): void {
  const keys = new Set(root.entries.map(({ key }) => (key.kind === 'text' ? key.text : '')))
  const absent = Object.keys(fields).filter((field) => !keys.has(field))
  let scriptSeen = false
  for (const { key, value } of root.entries) {
    if (key.kind !== 'text') continue // already said by findYamlFaults
    const spot = spotAt(joinKeys('', key.text), key.offset, value, report)
    const read = Object.hasOwn(fields, key.text) ? fields[key.text] : undefined
    if (read === undefined) checkForeignKey(key.text, absent, spot)
    else if (!isEmpty(value)) Object.assign(draft, read(spot))
    scriptSeen ||=
      read === undefined ? meantField(key.text, absent) === 'script' : key.text === 'script' && !isEmpty(value)
  }
  if (!scriptSeen) report('script', root.offset, 'is missing; name the template to run, as in "script: align"')
}

/** A key that is none of ours is the tool's own and carried to the result, unless it looks like one of ours gone wrong. */
function checkForeignKey(key: string, absent: readonly string[], spot: Spot): void {
  const meant = meantField(key, absent)
  if (ourBlocks.includes(key)) spot.say('is written by us into ".job.submitted" and results; remove it')
  else if (key === '<<') spot.say('is a YAML merge key, which is not supported; write the entries out')
  else if (meant !== undefined)
    spot.say(`is not a key we know (did you mean ${quoted(meant)}?); correct it, or rename it if it is your own`)
}

/** Short words are near each other by chance (`rack`, `rank`): one of those is a mistake only if ours is not there as well. */
function meantField(key: string, absent: readonly string[]): string | undefined {
  return nearest(key, key.length < 6 ? absent : Object.keys(fields))
}

function readResources(spot: Spot): Resources {
  const { node } = spot
  if (node.kind !== 'map') {
    if (node.kind !== 'alias') spot.say('must be a mapping, such as "resources: {cpus: 4, memory: 16G, time: 2h}"')
    return {}
  }
  const resources = {}
  for (const { key, value } of node.entries) {
    if (key.kind !== 'text') continue
    const inner = spot.inside(key.text, key.offset, value)
    const read = Object.hasOwn(resourceFields, key.text) ? resourceFields[key.text] : undefined
    const known = Object.keys(resourceFields)
    if (read === undefined) inner.say(`is no resource${didYouMean(key.text, known)}; known are ${known.join(', ')}`)
    else if (!isEmpty(value)) Object.assign(resources, read(inner))
  }
  return resources
}

/** What only shows when the fields are seen together: one name with two meanings, a job that waits for itself. */
function checkAcross(draft: Draft, name: string, root: YamlMap, report: Report): void {
  const firstIn = new Map<string, string>()
  for (const map of ['args', 'input_map', 'output_map']) {
    for (const key of textKeys(entryOf(root, map)?.value)) {
      const meant = map === 'output_map' ? key.text.replace(/\?$/, '') : key.text
      const other = firstIn.get(meant) ?? map
      firstIn.set(meant, other)
      if (other === map) continue
      const message = `is given in ${quoted(other)} too, and a name in a template can mean one thing only; rename one`
      report(joinKeys(map, key.text), key.offset, message)
    }
  }
  const stem = name.replace(/\.job$/, '')
  if (draft.after?.some((other) => other === stem || other === `${stem}.job`))
    report('after', entryOf(root, 'after')?.key.offset ?? root.offset, 'names this job itself; remove it')
}

function entryOf(map: YamlMap, name: string): YamlEntry | undefined {
  return map.entries.find(({ key }) => key.kind === 'text' && key.text === name)
}

function textKeys(node: YamlNode | undefined): YamlText[] {
  return node?.kind === 'map' ? node.entries.flatMap(({ key }) => (key.kind === 'text' ? [key] : [])) : []
}

function faultMessage(fault: YamlFault): string {
  switch (fault.kind) {
    case 'alias':
      return `uses the YAML alias ${quoted(fault.written)}; aliases are not supported, write the value out`
    case 'tag':
      return `uses the YAML tag ${quoted(fault.written)}, which is not allowed; write a plain value`
    case 'key':
      return 'has a key that is no plain text; use a name as the key'
    case 'duplicate':
      return 'is given twice; keep one'
  }
}

/** Problems spelt out in one sentence before the rest is only counted. */
const spelledOut = 5

/** `Cannot accept "x.job": input_map.audio (line 3, column 3) …; …`, the message of the job's result. */
export function parseDescriptionProblems(problems: readonly Problem[], name: string): string {
  const shown = problems.slice(0, spelledOut).map(renderProblem)
  const rest = problems.length - shown.length
  if (rest > 0) shown.push(`and ${rest} more problem${rest === 1 ? '' : 's'}`)
  return `Cannot accept ${quoted(name)}: ${shown.join('; ')}`
}

function renderProblem({ key, line, column, message }: Problem): string {
  const place = [line === undefined ? '' : `line ${line}`, column === undefined ? '' : `column ${column}`]
  const where = place.filter((part) => part !== '').join(', ')
  return `${key === '' ? 'the file' : key}${where === '' ? '' : ` (${where})`} ${message}`
}
