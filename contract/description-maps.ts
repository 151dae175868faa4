/** The three maps of a description: `args`, `input_map`, `output_map`. Their keys are template names, their values text and paths. */

import { hasControls, isEmpty, isPassable, maxNameBytes, readText, type Spot } from './description-values.ts'
import { quoted } from './errors.ts'
import type { ArgValue, OutputTarget } from './job-description.ts'

/** Names a template has already; a job may not give them another meaning. */
export const builtinNames = ['workspace', 'scripts', 'containers', 'job_id', 'site', 'lane'] as const

/** Our own folders beside a job's files. */
const reservedBaseNames: readonly string[] = ['input', 'output']

const maxPathBytes = 4095

interface Named {
  readonly name: string
  readonly spot: Spot
}

/** The entries of a map whose keys are template names; an empty map when there is nothing. `optional` takes a `?` off the end. */
function readNamed(spot: Spot, meant: string): Named[] {
  const { node } = spot
  if (isEmpty(node) || node.kind === 'alias') return []
  if (node.kind !== 'map') {
    spot.say(`must be a mapping, one line "name: ${meant}" per entry`)
    return []
  }
  const named: Named[] = []
  for (const { key, value } of node.entries) {
    if (key.kind !== 'text') continue // already said by findYamlFaults
    named.push({ name: key.text, spot: spot.inside(key.text, key.offset, value) })
  }
  return named
}

/** True when the name can stand in a template; otherwise says why not. */
function isTemplateName(name: string, spot: Spot): boolean {
  if ((builtinNames as readonly string[]).includes(name)) {
    spot.say(`${quoted(name)} is one of the names every template has (${builtinNames.join(', ')}); use another name`)
    return false
  }
  if (name === '__proto__') {
    spot.say(`${quoted(name)} cannot be a name in a template: programs take it for something else; use another name`)
    return false
  }
  if (/^[A-Za-z_][A-Za-z0-9_]{0,239}$/.test(name)) return true
  spot.say(`${quoted(name)} cannot be a name in a template: use letters, digits and "_", not starting with a digit`)
  return false
}

export function readArgs(spot: Spot): Map<string, ArgValue> {
  const args = new Map<string, ArgValue>()
  for (const { name, spot: value } of readNamed(spot, 'value')) {
    if (!isTemplateName(name, value)) continue
    const read = value.node.kind === 'list' ? readItems(value) : readText(value)
    if (read !== undefined) args.set(name, read)
  }
  return args
}

function readItems(spot: Spot): string[] {
  if (spot.node.kind !== 'list') return []
  return spot.node.items.flatMap((item, index) => readText(spot.inside(`[${index}]`, item.offset, item)) ?? [])
}

export function readInputs(spot: Spot): Map<string, string> {
  const inputs = new Map<string, string>()
  const keyOf = new Map<string, string>()
  for (const { name, spot: value } of readNamed(spot, '/absolute/path')) {
    const path = readPath(value, false)
    if (!isTemplateName(name, value) || path === undefined) continue
    checkBaseName(path, name, value, keyOf, 'inputs')
    inputs.set(name, path)
  }
  return inputs
}

/** `name?:` is the output `name` that a successful run may leave out. */
export function readOutputs(spot: Spot): Map<string, OutputTarget> {
  const outputs = new Map<string, OutputTarget>()
  const keyOf = new Map<string, string>()
  for (const { name: key, spot: value } of readNamed(spot, '/absolute/path')) {
    const optional = key.endsWith('?')
    const name = optional ? key.slice(0, -1) : key
    const path = readPath(value, true)
    if (!isTemplateName(name, value) || path === undefined) continue
    if (outputs.has(name) && optional !== outputs.get(name)?.optional)
      value.say(`is given both as "${name}" and as "${name}?"; keep one`)
    else checkBaseName(path, key, value, keyOf, 'outputs')
    outputs.set(name, { path, optional })
  }
  return outputs
}

/** An absolute path whose last part can be a file's name on HPC. An output that ends in `/` is the folder of that name. */
function readPath(spot: Spot, isOutput: boolean): string | undefined {
  if (isEmpty(spot.node)) {
    spot.say('has no path; give it an absolute one, or remove the key')
    return undefined
  }
  const text = readText(spot)
  if (text === undefined) return undefined
  const reason = pathTrouble(text, isOutput)
  if (reason === undefined) return isOutput ? text.replace(/\/+$/, '') : text
  spot.say(`${quoted(text)} ${reason}`)
  return undefined
}

function pathTrouble(text: string, isOutput: boolean): string | undefined {
  if (!text.startsWith('/')) return 'is not an absolute path; write it from "/" on'
  if (hasControls(text) || !isPassable(text)) return 'contains line breaks or control characters; rename the file'
  if (Buffer.byteLength(text) > maxPathBytes) return `is longer than ${maxPathBytes} bytes; use a shorter path`
  if (!isOutput && text.endsWith('/')) return 'ends in "/" but an input is one file; remove the "/" or name a file'
  const base = baseName(text)
  if (base === '' || base === '.' || base === '..') return 'does not end in a file name; name the file itself'
  if (reservedBaseNames.includes(base))
    return `ends in "${base}", which is a folder of ours on HPC; use another file name`
  if (Buffer.byteLength(base) > maxNameBytes)
    return `ends in a name of more than ${maxNameBytes} bytes; use a shorter one`
  return undefined
}

function baseName(path: string): string {
  const trimmed = path.replace(/\/+$/, '')
  return trimmed.slice(trimmed.lastIndexOf('/') + 1)
}

/** Files of one job meet in one folder on HPC, under their base names. */
function checkBaseName(path: string, key: string, spot: Spot, keyOf: Map<string, string>, what: string): void {
  const base = baseName(path)
  const other = keyOf.get(base)
  if (other === undefined) keyOf.set(base, key)
  else if (other !== key)
    spot.say(
      `has the same file name ${quoted(base)} as ${quoted(other)}, and the ${what} of a job share one folder; rename one`,
    )
}
