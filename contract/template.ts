/**
 * Templates: `<<name>>` in a script becomes the name's value, and no value is ever read by the shell as anything but text.
 * For authors: docs/templates.md.
 */
import { HpcError, quoted } from './errors.ts'
import { didYouMean } from './suggest.ts'
import { possibleReader } from './template-programs.ts'
import { readTemplate } from './template-reading.ts'
import { renderOther, renderShell } from './template-render.ts'
import { type Piece, runSections } from './template-sections.ts'
import { lineOf, parseTemplate, type Template, type TemplateNode, templateError } from './template-syntax.ts'
import { type BoundValue, itemsOf, unwritable } from './template-values.ts'
import { parseDurationMs } from './units.ts'

export type { Template } from './template-syntax.ts'
export { argEnvironment, type BoundValue, bindValues, type ValueSources } from './template-values.ts'

/** The finished script. Throws a permanent error that names the template's line and the value when it cannot be written. */
export function renderTemplate(template: Template, values: ReadonlyMap<string, BoundValue>): string {
  const nodes = nodesOf(template)
  if (nodes.every((node) => node.kind === 'literal')) return nodes.map(({ text }) => text).join('')
  const pieces = runSections(nodes, values, ({ name, at }) => {
    const problem = `${quoted(name)} has no value${didYouMean(name, values.keys())}`
    return templateError(template, at, problem, missingHint(template.text, name))
  })
  refuseUnwritable(template, pieces)
  return isForPosixShell(template.text) ? renderShell(template, nodes, pieces) : renderOther(template, pieces)
}

const parsed = new Map<string, readonly TemplateNode[]>()
const parsedAtMost = 64

/** Read once for all jobs of a script; what is made from the nodes is kept with them. A gateway has few templates, and small ones. */
function nodesOf(template: Template): readonly TemplateNode[] {
  const key = `${template.name}\0${template.text}`
  const known = parsed.get(key)
  if (known !== undefined) return known
  const nodes = parseTemplate(template)
  if (parsed.size >= parsedAtMost) parsed.clear()
  parsed.set(key, nodes)
  return nodes
}

/** The time the template's author expects a job to take: `# hpc: time=20m` as its first line, or as the line after `#!`. */
export function templateTimeMs(text: string): number | undefined {
  const [first = '', second = ''] = text.split('\n', 2)
  const line = first.startsWith('#!') ? second : first
  const settings = /^#[ \t]*hpc:(.*)$/.exec(line)?.[1]?.trim()
  if (settings === undefined) return undefined
  const timeMs = parseDurationMs(/^time=(\S+)$/.exec(settings)?.[1] ?? '')
  if (timeMs !== undefined && timeMs > 0) return timeMs
  const hint = 'write for instance "# hpc: time=1h30m"; units are d, h, m and s'
  throw new HpcError('description', `Cannot read the template's line ${quoted(line)}: it gives no time`, { hint })
}

export interface TemplateWarning {
  readonly line: number
  readonly message: string
}

/** For whoever checks templates: values in places where another interpreter than the shell reads them. Throws as rendering does. */
export function templateWarnings(template: Template): readonly TemplateWarning[] {
  const nodes = parseTemplate(template)
  if (!isForPosixShell(template.text)) return []
  const reading = readTemplate(template, nodes)
  return Array.from(reading.spots, ([{ name, raw, at }, { site, second }]): TemplateWarning | undefined => {
    const possible = second === undefined ? possibleReader(site) : undefined
    if (raw || (second === undefined && possible === undefined)) return undefined
    const who =
      second === undefined
        ? `${possible} may read <<${name}>> as a program`
        : `${second.reader} reads <<${name}>> as ${second.as}`
    const so = second === undefined ? 'so a value can be taken for code there' : 'so any but plain values are refused'
    return {
      line: lineOf(template.text, at),
      message: `${who}, ${so}; use HPC_ARG_${name} in the environment or an argument`,
    }
  }).filter((warning) => warning !== undefined)
}

/** A script without `#!` is run by bash. */
function isForPosixShell(text: string): boolean {
  const [, line] = /^#!([^\n]*)/.exec(text) ?? []
  const words = line?.trim().split(/\s+/) ?? ['bash']
  const names = words.map((word) => word.slice(word.lastIndexOf('/') + 1))
  const name = names.find((word) => !/^(?:env|busybox)$|^-|=/.test(word))
  return /^(?:sh|bash|dash|ash|ksh|ksh93|mksh|yash)$/.test(name ?? '')
}

function missingHint(text: string, name: string): string {
  if (name === 'else') return 'sections have no else: write the other case as <<#unless name>>…<</unless>>'
  if (name === 'this' || name === 'item') return 'within <<#each files>> the item is called <<files>>'
  const isDelimiter = new RegExp(`^\t*${name}$`, 'm').test(text)
  if (isDelimiter) return `if a here-document is meant, put a space: "<<${name} >>"`
  return `give it in args, or write <<!${name}>> if the script needs the text "<<${name}>>"`
}

function refuseUnwritable(template: Template, pieces: readonly Piece[]): void {
  for (const piece of pieces) {
    if (piece.bound === undefined) continue
    const { node, bound } = piece
    const problem = itemsOf(bound.value)
      .map(unwritable)
      .find((found) => found !== undefined)
    if (problem !== undefined)
      throw templateError(template, node.at, `${quoted(node.name)} (${bound.origin}): ${problem}`)
  }
}
