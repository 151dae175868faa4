/** The values a template's names stand for: where they come from, who wins, and which of them are harmless as they are. */
import { HpcError, quoted } from './errors.ts'
import type { ArgValue } from './job-description.ts'

export interface BoundValue {
  readonly value: ArgValue
  /** Where it comes from, for people: `args.level`, `hpc_env.data`, `built-in`, `input_map.input`, `output_map.text`. */
  readonly origin: string
}

export interface ValueSources {
  readonly hpcEnv: ReadonlyMap<string, string>
  readonly args: ReadonlyMap<string, ArgValue>
  readonly builtIns: ReadonlyMap<string, string>
  /** key → base name, as for `outputs` */
  readonly inputs: ReadonlyMap<string, string>
  readonly outputs: ReadonlyMap<string, string>
}

/** The built-ins whose values the site's configuration sets, under `hpc_env`. */
const setInHpcEnv: ReadonlySet<string> = new Set(['scripts', 'containers'])

/**
 * One value per name. An argument may replace an `hpc_env` key; any other name given twice is refused, for whichever won, somebody
 * meant the other.
 */
export function bindValues({ hpcEnv, args, builtIns, inputs, outputs }: ValueSources): Map<string, BoundValue> {
  const bound = new Map<string, BoundValue>()
  for (const [name, value] of hpcEnv) {
    if (!(setInHpcEnv.has(name) && builtIns.has(name))) bound.set(name, { value, origin: `hpc_env.${name}` })
  }
  for (const [name, value] of args) bound.set(name, { value, origin: `args.${name}` })
  add(bound, builtIns, () => 'built-in', 'the names of built-ins are reserved, choose another')
  add(bound, inputs, (name) => `input_map.${name}`, 'rename one of the two')
  add(bound, outputs, (name) => `output_map.${name}`, 'rename one of the two')
  for (const [name, bind] of bound) refuseUnwritable(name, bind)
  return bound
}

/** `HPC_ARG_<name>` for every value, a list as its items with blanks between: how a program gets a value no shell has read. */
export function argEnvironment(values: ReadonlyMap<string, BoundValue>): Record<string, string> {
  return Object.fromEntries(Array.from(values, ([name, { value }]) => [`HPC_ARG_${name}`, itemsOf(value).join(' ')]))
}

export function itemsOf(value: ArgValue): readonly string[] {
  return typeof value === 'string' ? [value] : value
}

/** Whether the text means itself to every shell and in every kind of quotes. The empty text does not: bare, it is no word at all. */
export function isPlain(text: string): boolean {
  return /^[A-Za-z0-9_@%+=:,./-]+$/.test(text)
}

/** Whether the text is one number to arithmetic: `08` would be a broken octal, `x[$(rm)]` a command. */
export function isInteger(text: string): boolean {
  return /^(?:0|-?[1-9][0-9]*)$/.test(text)
}

/** Our own notion of false, for sections: absent, empty, or one of the words YAML and people use for no. */
export function isFalse(value: ArgValue | undefined): boolean {
  if (value === undefined) return true
  if (typeof value !== 'string') return value.length === 0
  return /^(?:|false|no|off|0|null|~)$/i.test(value)
}

function add(
  bound: Map<string, BoundValue>,
  more: ReadonlyMap<string, string>,
  originOf: (name: string) => string,
  hint: string,
): void {
  for (const [name, value] of more) {
    const known = bound.get(name)
    const origin = originOf(name)
    if (known !== undefined) {
      const both = `it is both ${known.origin} and ${origin}`
      throw new HpcError('description', `Cannot tell what ${quoted(name)} stands for: ${both}`, { hint })
    }
    bound.set(name, { value, origin })
  }
}

/** A script is text without NUL, and its bytes are UTF-8: what cannot be written there cannot arrive. */
function refuseUnwritable(name: string, { value, origin }: BoundValue): void {
  const problem = itemsOf(value)
    .map(unwritable)
    .find((found) => found !== undefined)
  if (problem !== undefined) throw new HpcError('description', `Cannot use ${quoted(name)} (${origin}): ${problem}`)
}

/** Why no script can contain this text, or undefined when one can. */
export function unwritable(text: string): string | undefined {
  if (text.includes('\0')) return 'it contains a NUL character'
  return /\p{Surrogate}/u.test(text) ? 'it is not valid Unicode text' : undefined
}
