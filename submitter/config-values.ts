/** How the values of the configuration are read: text to value, with the words for what is expected; and mappings with known keys. */
import { resolve } from 'node:path'
import * as z from 'zod'
import { quoted } from '../contract/errors.ts'
import { parseDurationMs, parseMemoryBytes } from '../contract/units.ts'

/** Where `~` and relative paths start. */
export interface Base {
  /** The config file's folder; for the built-in defaults the current folder. */
  readonly dir: string
  readonly home: string
}

export function found(value: unknown): string {
  if (value === undefined || value === '') return 'nothing'
  if (typeof value === 'string') return quoted(value)
  return Array.isArray(value) ? 'a list' : 'a mapping'
}

/** A scalar. `expected` ends the sentence "expected …"; `parse` gives undefined for text that is anything else; `advice` ends that message. */
export function scalar<T>(expected: string, parse: (text: string) => T | undefined, advice = (_text: string) => '') {
  const sentence = (value: unknown) =>
    `expected ${expected}, found ${found(value)}${typeof value === 'string' ? advice(value) : ''}`
  return z
    .string({ error: (issue) => sentence(issue.input) })
    .transform((text, context): T => {
      const value = text === '' ? undefined : parse(text)
      if (value !== undefined) return value
      context.issues.push({ code: 'custom', input: text, message: sentence(text) })
      return z.NEVER
    })
    .meta({ expected })
}

export const matching = (expected: string, pattern: RegExp) =>
  scalar(expected, (text) => (pattern.test(text) ? text : undefined))

export const text = scalar('text', (value) => value)
/** Becomes a word of a command line: never an option, never two words. */
export const word = matching('one word that does not begin with "-"', /^[^\s\0-][^\s\0]*$/)
export const namePattern = /^[A-Za-z0-9][A-Za-z0-9_-]*$/
export const name = matching('a name of letters, digits, "_" and "-"', namePattern)
export const duration = scalar('a duration such as "8h" or "1d2h30m"', parseDurationMs)
export const longDuration = scalar(
  'a duration such as "8h" or "1d2h30m", more than 0',
  (value) => parseDurationMs(value) || undefined,
)
export const memory = scalar(
  'an amount of memory such as "32G" or "512M"',
  (value) => parseMemoryBytes(value) || undefined,
)
export const memoryOrNone = scalar('an amount of memory such as "32G" or "512M", or "0"', (value) =>
  value === '0' ? 0 : parseMemoryBytes(value),
)
export const switchedOn = scalar('"true" or "false"', (value) =>
  value === 'true' || value === 'false' ? value === 'true' : undefined,
)
export const mode = scalar('file permissions such as "0644"', (value) =>
  /^0?[0-7]{3,4}$/.test(value) ? Number.parseInt(value, 8) : undefined,
)
export const whole = (least: number) =>
  scalar(`a whole number, ${least} or more`, (value) =>
    /^\d{1,9}$/.test(value) && Number(value) >= least ? Number(value) : undefined,
  )

export function resolvePath(path: string, { dir, home }: Base): string | undefined {
  if (/[\0\n\r]/.test(path) || /^~[^/]/.test(path)) return undefined
  return path.startsWith('~') ? resolve(home, `.${path.slice(1)}`) : resolve(dir, path)
}

export function list<T>(item: z.ZodType<T>) {
  const { expected } = item.meta() as { expected: string }
  return z
    .array(item, { error: (issue) => `expected a list, each item ${expected}, found ${found(issue.input)}` })
    .meta({ expected: `a list, each item ${expected}` })
}

/** A list that may be written as its one item. */
export function oneOrMore<T>(item: z.ZodType<T>) {
  const { expected } = item.meta() as { expected: string }
  return z
    .preprocess((value) => (typeof value === 'string' ? [value] : value), list(item).min(1, `expected ${expected}`))
    .meta({ expected: `${expected}, or a list of such` })
}

export function mapping<T>(key: z.ZodType<string, string>, value: z.ZodType<T>, expected: string) {
  return z
    .record(key, value, { error: (issue) => `expected ${expected}, found ${found(issue.input)}` })
    .meta({ expected })
}

// ---- Sections: mappings with known keys ----

export interface Field<As extends string = string, S extends z.ZodType = z.ZodType> {
  readonly as: As
  readonly schema: S
}
export type Fields = Readonly<Record<string, Field>>
export type Flat<T> = { readonly [K in keyof T]: T[K] }
export type Parsed<F extends Fields> = Flat<
  {
    [K in keyof F as undefined extends z.output<F[K]['schema']> ? never : F[K]['as']]: z.output<F[K]['schema']>
  } & {
    [K in keyof F as undefined extends z.output<F[K]['schema']> ? F[K]['as'] : never]?: Exclude<
      z.output<F[K]['schema']>,
      undefined
    >
  }
>

/** A key of the file: its name in the parsed value (with the unit), its schema (with the default) and its documentation. */
export function field<const As extends string, S extends z.ZodType>(
  as: As,
  schema: S,
  description: string,
): Field<As, S> {
  return { as, schema: schema.describe(description) }
}

/** A known key with nothing behind it is a key not given, as a section that is all comments is. */
export function withoutBlanks(known: readonly string[]) {
  return (value: unknown) => {
    if (value === '') return {}
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return value
    return Object.fromEntries(Object.entries(value).filter(([key, item]) => item !== '' || !known.includes(key)))
  }
}

export function section<F extends Fields>(fields: F) {
  const known = Object.keys(fields)
  return z
    .strictObject(Object.fromEntries(known.map((key) => [key, (fields[key] as Field).schema])), {
      // For unknown keys the message is the list of the known ones: `sentences` makes one sentence of each, with a suggestion.
      error: (issue) =>
        issue.code === 'unrecognized_keys' ? known.join(' ') : `expected a mapping, found ${found(issue.input)}`,
    })
    .transform((value) => {
      const given = Object.entries(value).filter(([, item]) => item !== undefined)
      return Object.fromEntries(given.map(([key, item]) => [(fields[key] as Field).as, item])) as Parsed<F>
    })
}

export function group<F extends Fields>(fields: F) {
  return z.preprocess(withoutBlanks(Object.keys(fields)), section(fields)).meta({ expected: 'a mapping' })
}
