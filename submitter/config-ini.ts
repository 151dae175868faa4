/**
 * hpc_batch's `hpc_submitter.ini`, unchanged, as the tree our YAML would be. Read as Python's configparser reads it: keys lower-cased, `=` or
 * `:`, whole-line comments, values that go on over indented lines, `[DEFAULT]`, `%%` for `%` and `%(key)s`; only where it would fail on
 * a lone `%`, we take that as it is.
 */
import { printable } from '../contract/errors.ts'
import type { Place, Source, Tree } from './config-source.ts'

/** An ini by its name, or because its first line of text is a `[section]`. */
export function looksLikeIni(file: string, text: string): boolean {
  if (/\.ini$/i.test(file)) return true
  const first = text.split('\n').find((line) => !/^\s*(?:[#;]|\r?$)/.test(line)) ?? ''
  return /^\[[^\]]+\]\s*$/.test(first)
}

interface Option {
  readonly text: string
  readonly line: number
}
type Section = ReadonlyMap<string, Option>

interface Ini {
  readonly sections: ReadonlyMap<string, Section>
  readonly problems: { readonly line: number; readonly message: string }[]
}

/** The state machine of configparser's `_read`, problems collected. No problem quotes a value: it may be the passphrase. */
function parseIni(source: string): Ini {
  const sections = new Map<string, Map<string, { lines: string[]; line: number }>>()
  const problems: Ini['problems'] = []
  let section: Map<string, { lines: string[]; line: number }> | undefined
  let option: { lines: string[]; line: number } | undefined
  let optionIndent = 0
  for (const [index, raw] of source.split(/\r\n|\n|\r/).entries()) {
    const line = index + 1
    const text = raw.trim()
    if (/^[#;]/.test(text)) continue
    if (text === '') {
      option?.lines.push('')
      continue
    }
    const indent = raw.search(/\S/)
    if (option !== undefined && indent > optionIndent) {
      option.lines.push(text)
      continue
    }
    optionIndent = indent
    option = undefined
    const header = /^\[(.+)\]/.exec(text)?.[1]
    if (header !== undefined) {
      if (sections.has(header) && header !== 'DEFAULT')
        problems.push({ line, message: `[${header}] stands here a second time` })
      section = sections.get(header) ?? new Map()
      sections.set(header, section)
      continue
    }
    // no pattern: one with two open ends takes minutes for a long line of blanks
    const delimiter = text.search(/[=:]/)
    const key = delimiter < 0 ? undefined : text.slice(0, delimiter).trimEnd().toLowerCase()
    if (section === undefined) problems.push({ line, message: 'expected a [section] first' })
    else if (key === undefined || key === '') problems.push({ line, message: 'expected "key = value" or a [section]' })
    else {
      if (section.has(key)) problems.push({ line, message: `"${key}" stands here a second time` })
      option = { lines: [text.slice(delimiter + 1).trimStart()], line }
      section.set(key, option)
    }
  }
  const joined = [...sections].map(([name, options]): [string, Section] => {
    const values = [...options].map(([key, { lines, line }]): [string, Option] => {
      return [key, { text: lines.join('\n').trimEnd(), line }]
    })
    return [name, new Map(values)]
  })
  return { sections: new Map(joined), problems }
}

/** References followed for one value: values that double each other would go on for ever. */
const mostReferences = 1000

/** Python's BasicInterpolation where that has an answer; anything else stays as written. */
function interpolate(text: string, options: Section, followed = { count: 0 }, depth = 0): string {
  return text.replace(/%(?:%|\(([^()]+)\)s)/g, (written, name?: string) => {
    if (name === undefined) return '%'
    const named = options.get(name.toLowerCase())
    if (named === undefined || depth >= 10 || followed.count >= mostReferences) return written
    followed.count += 1
    return interpolate(named.text, options, followed, depth + 1)
  })
}

const transport = ['sites', 'hpc', 'transport']
const lane = ['sites', 'hpc', 'lanes', 'default']
const hpcEnv = ['sites', 'hpc', 'hpc_env']

/** Section → key → where that stands in our tree. */
const known: Readonly<Record<string, Readonly<Record<string, readonly string[]>>>> = {
  remote: {
    host: [...transport, 'host'],
    port: [...transport, 'port'],
    user: [...transport, 'user'],
    key_file: [...transport, 'key_file'],
    passphrase: [...transport, 'passphrase'],
  },
  hpc: { gres: [...lane, 'gres'], partition: [...lane, 'queue'], memory: [...lane, 'memory'] },
  // The locks of a gateway lie in its dropbox now; that a lockfile is named is no reason to warn every minute.
  cronjob: { dropbox: ['dropbox'], lockfile: [] },
  hpc_env: { workspace: [...hpcEnv, 'workspace'] },
}

/** One site `hpc` (slurm over ssh) with one lane `default`, as hpc_batch had. */
export function readIni(source: string): Source {
  const { sections, problems } = parseIni(source)
  const places = new Map<string, Place>()
  const warnings: string[] = []
  const read = new Map<string, Record<string, string>>()
  for (const [section, keys] of Object.entries(known)) {
    const inherited = sections.get('DEFAULT') ?? new Map<string, Option>()
    const own = sections.get(section) ?? new Map<string, Option>()
    const options: Section = new Map([...inherited, ...own])
    const values: Record<string, string> = {}
    for (const [key, path] of Object.entries(keys)) places.set(JSON.stringify(path), { name: `[${section}] ${key}` })
    for (const [key, { text, line }] of options) {
      const path =
        (Object.hasOwn(keys, key) ? keys[key] : undefined) ?? (section === 'hpc_env' ? [...hpcEnv, key] : undefined)
      const warn = (why: string) => warnings.push(printable(`line ${line}: [${section}] ${key} ${why}`))
      if (path === undefined) {
        if (own.has(key)) warn('is not used')
      } else if (section === 'hpc_env' && !/^[a-z_][a-z0-9_]*$/.test(key)) warn('cannot be named by a template')
      else if (section === 'hpc_env' && ['job_id', 'site', 'lane', '__proto__'].includes(key))
        warn('is not used: templates have a value of their own by that name')
      else {
        values[key] = interpolate(text, options)
        places.set(JSON.stringify(path), { name: `[${section}] ${key}`, line })
      }
    }
    read.set(section, values)
  }
  for (const name of sections.keys())
    if (name !== 'DEFAULT' && !Object.hasOwn(known, name)) warnings.push(printable(`[${name}] is not used`))
  places.set(JSON.stringify(hpcEnv), { name: '[hpc_env]' })

  const { partition = '', gres = '', memory = '' } = read.get('hpc') ?? {}
  const tree: Tree = {
    dropbox: read.get('cronjob')?.dropbox ?? '',
    // hpc_batch kept its templates in tools/, beside the submitter and this file.
    templates: ['./templates', './tools'],
    sites: {
      hpc: {
        // hpc_batch read no ssh config.
        transport: { type: 'ssh', ssh_config: 'false', ...read.get('remote') },
        scheduler: { type: 'slurm' },
        hpc_env: read.get('hpc_env') ?? {},
        lanes: {
          default: {
            queue: partition,
            gres,
            memory: /^\d+$/.test(memory) ? `${memory}G` : memory || '32G',
            time: '480m',
          },
        },
      },
    },
  }
  return { tree, places, warnings, problems }
}
