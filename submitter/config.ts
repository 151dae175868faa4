/**
 * The configuration: every key is declared once, beside its default and the sentence that documents it (`docs/configuration.md` is made
 * from them). Pure: text in, a frozen plain value out (JSON-serialisable, so that it can be cached), or one error naming every problem.
 *
 * All scalars reach the schema as the text that was written (YAML's FAILSAFE schema, or an ini): `1.10`, `0644` and `no` stay what they are.
 */
import { normalize } from 'node:path'
import type * as z from 'zod'
import { HpcError, printable, quoted } from '../contract/errors.ts'
import { didYouMean } from '../contract/suggest.ts'
import { renderBytes } from '../contract/units.ts'
import { crossChecks, type Problem } from './config-checks.ts'
import { looksLikeIni, readIni } from './config-ini.ts'
import { type Declared, declare } from './config-keys.ts'
import { placeKey, readYaml, type Source } from './config-source.ts'
import { type Base, type Flat, group, type Parsed, resolvePath } from './config-values.ts'

/** Larger than any config is; smaller than what hurts. */
const largestBytes = 1024 ** 2

type ParsedSite = Parsed<Declared['site']>
type DeepReadonly<T> = T extends object ? { readonly [K in keyof T]: DeepReadonly<T[K]> } : T

export type TransportConfig = Parsed<Declared['ssh']> | Parsed<Declared['local']>
export type Lane = Flat<{ readonly name: string } & Parsed<Declared['lane']>>
export type Site = DeepReadonly<
  Flat<
    {
      name: string
      autoLanes: boolean
      lanes: Record<string, Lane>
      hpcEnv: { workspace: string } & Record<string, string>
    } & Omit<ParsedSite, 'lanes' | 'hpcEnv'>
  >
>
export type Config = DeepReadonly<Flat<{ sites: Record<string, Site> } & Omit<Parsed<Declared['root']>, 'sites'>>>

const slurmMemoryBytes = 32 * 1024 ** 3

function finishSite(name: string, parsed: ParsedSite, base: Base): Site {
  const { lanes, hpcEnv, ...rest } = parsed
  const { auto, ...named } = lanes as { auto: boolean; [lane: string]: unknown }
  const shapes = Object.entries(named as Record<string, Parsed<Declared['lane']>>)
  const memory = parsed.scheduler.type === 'slurm' ? { memoryBytes: slurmMemoryBytes } : {}
  const { workspace } = hpcEnv
  const there =
    parsed.transport.type === 'local' ? resolvePath(workspace, base) : normalize(workspace).replace(/(?<=.)\/$/, '')
  return {
    name,
    ...rest,
    hpcEnv: { ...(hpcEnv as Record<string, string>), workspace: there ?? workspace },
    autoLanes: auto,
    lanes: Object.fromEntries(shapes.map(([lane, shape]) => [lane, { name: lane, ...memory, ...shape }])),
  }
}

function freeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value)
    for (const item of Object.values(value)) freeze(item)
  }
  return value
}

/** One sentence per problem the schema found. */
function* sentences(issues: readonly z.core.$ZodIssue[]): Generator<Problem> {
  for (const issue of issues) {
    const path = issue.path.map(String)
    if (issue.code === 'unrecognized_keys') {
      for (const key of issue.keys)
        yield { path: [...path, key], message: `unknown key${didYouMean(key, issue.message.split(' '))}` }
    } else if (issue.code === 'invalid_key') yield { path, message: issue.issues[0]?.message ?? issue.message }
    else yield { path, message: issue.message }
  }
}

/** Nobody reads more at once. */
const shownProblems = 100

function refusal(file: string, lines: readonly string[]): HpcError {
  const head = `Cannot use the configuration ${quoted(file, 400)}: ${lines.length} problem${lines.length === 1 ? '' : 's'}`
  const more = lines.length - shownProblems
  const shown = more > 0 ? [...lines.slice(0, shownProblems), `and ${more} more`] : lines
  return new HpcError('config', [head, ...shown].map((text) => printable(text)).join('\n'), {
    concerns: { path: file },
  })
}

export interface ConfigText extends Base {
  /** For messages, and by its ending for its kind. */
  readonly file: string
  /** Permission bits of the file; none for text that is no file. */
  readonly mode?: number
  /** When not given: an ini when the name ends in `.ini` or the first line is a `[section]`. */
  readonly kind?: 'yaml' | 'ini'
}

export interface ParsedConfig {
  readonly config: Config
  readonly warnings: readonly string[]
}

/** Throws HpcError `config` naming every problem, one per line: `file:line: key: what is expected, what was found`. */
export function parseConfig(text: string, { file, mode, kind, ...base }: ConfigText): ParsedConfig {
  if (Buffer.byteLength(text) > largestBytes)
    throw refusal(file, [
      `${file}: expected at most ${renderBytes(largestBytes)}, found ${renderBytes(Buffer.byteLength(text))}`,
    ])
  const plain = text.replace(/^\ufeff/, '')
  const ini = kind === undefined ? looksLikeIni(file, plain) : kind === 'ini'
  const source = ini ? readIni(plain) : readYaml(plain)
  if (source.problems.length > 0)
    throw refusal(
      file,
      source.problems.map(({ line, message }) => `${file}${line === undefined ? '' : `:${line}`}: ${message}`),
    )
  const parsed = group(declare(base).root).safeParse(source.tree)
  const problems = [...(parsed.success ? [] : sentences(parsed.error.issues)), ...crossChecks(source.tree, mode)]
  if (problems.length > 0 || !parsed.success) throw refusal(file, locate(problems, source, file))
  const { sites, ...rest } = parsed.data
  const finished = Object.entries(sites).map(([name, site]) => [name, finishSite(name, site, base)])
  const open = mode !== undefined && (mode & 0o002) !== 0
  const warnings = [...source.warnings, ...(open ? ['anyone on this machine can change the file: chmod o-w it'] : [])]
  return freeze({ config: { ...rest, sites: Object.fromEntries(finished) }, warnings })
}

/** In the order of the file; a key that is missing stands where its section does. What could be a passphrase is not shown. */
function locate(problems: readonly Problem[], { places }: Source, file: string): string[] {
  const located = problems.map(({ path, message }) => {
    const name =
      places.get(placeKey(path))?.name ??
      path
        .map((key) => (/^[\w-]+$/.test(key) ? key : JSON.stringify(key.replace(/^(passphrase\W).*/s, '$1…'))))
        .join('.')
    let line: number | undefined
    for (let length = path.length; length > 0 && line === undefined; length--)
      line = places.get(placeKey(path.slice(0, length)))?.line
    const said = path.at(-1)?.startsWith('passphrase') ? message.replace(/, found ".*/s, '') : message
    return { line, text: `${file}${line === undefined ? '' : `:${line}`}: ${name === '' ? '' : `${name}: `}${said}` }
  })
  return [...new Set(located.sort((a, b) => (a.line ?? 0) - (b.line ?? 0)).map(({ text }) => text))]
}
