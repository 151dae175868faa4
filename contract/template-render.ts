/** Puts a script together from the pieces of its template, and reads it again before anybody runs it. */
import { quoted } from './errors.ts'
import { hole, readShell } from './shell-lexer.ts'
import type { Neighbours } from './template-joints.ts'
import { readTemplate, type TemplateReading } from './template-reading.ts'
import type { Piece, ValuePiece } from './template-sections.ts'
import { lineOf, type Template, type TemplateNode, templateError, type ValueNode } from './template-syntax.ts'
import { isPlain, itemsOf } from './template-values.ts'
import { problemOf, writeItems } from './template-write.ts'

interface Written {
  readonly piece: Piece
  readonly text: string
}

/** For a POSIX shell: any value may stand nearly anywhere. */
export function renderShell(template: Template, nodes: readonly TemplateNode[], pieces: readonly Piece[]): string {
  const reading = readingOf(template, nodes)
  const raw = pieces.flatMap((piece) => (piece.bound !== undefined && piece.node.raw ? itemsOf(piece.bound.value) : []))
  const prefix = freePrefix([template.text, ...raw].join('\n'))
  const names = new Map<string, string>()
  const bind = (text: string): string => {
    const name = names.get(text) ?? `${prefix}${names.size + 1}`
    names.set(text, name)
    return name
  }
  const written = writePieces(template, pieces, reading, bind)
  const body = written.map(({ text }) => text).join('')
  const top = endOfLeadingComments(body)
  const bindings = Array.from(names, ([text, name]) => `${name}='${text.replaceAll("'", `'\\''`)}'\n`).join('')
  const script = body.slice(0, top) + bindings + body.slice(top)
  refuseMisread(template, script, written, reading, (at) => (at < top ? at : at + bindings.length))
  return script
}

const readings = new WeakMap<readonly TemplateNode[], TemplateReading>()

/** What the shell makes of the template itself is the same for all jobs. */
function readingOf(template: Template, nodes: readonly TemplateNode[]): TemplateReading {
  const known = readings.get(nodes)
  if (known !== undefined) return known
  const reading = readTemplate(template, nodes)
  readings.set(nodes, reading)
  return reading
}

/** For any other interpreter, whose quoting is unknown here: only values pass that need none. */
export function renderOther(template: Template, pieces: readonly Piece[]): string {
  const texts = pieces.map((piece) => {
    if (piece.bound === undefined) return piece.node.text
    const items = itemsOf(piece.bound.value)
    if (piece.node.raw || items.every(isPlain)) return items.join(' ')
    const hint = `read it from the environment variable HPC_ARG_${piece.node.name}`
    throw refusal(template, piece, 'only plain text may stand in a script whose "#!" line names no POSIX shell', hint)
  })
  return texts.join('')
}

function writePieces(
  template: Template,
  pieces: readonly Piece[],
  reading: TemplateReading,
  bind: (text: string) => string,
): readonly Written[] {
  const flat = pieces.map((piece) => (piece.bound === undefined ? piece.node.text : hole)).join('')
  let at = 0
  return pieces.map((piece): Written => {
    const start = at
    if (piece.bound === undefined) {
      at += piece.node.text.length
      return { piece, text: piece.node.text }
    }
    at += hole.length
    const items = itemsOf(piece.bound.value)
    if (piece.node.raw) return { piece, text: items.join(' ') }
    const spot = reading.spots.get(piece.node)!
    const problem = problemOf(items, spot, neighbours(flat, start))
    if (problem === undefined) return { piece, text: writeItems(items, spot, bind) }
    const hint = `the program can read it from "$HPC_ARG_${piece.node.name}"; letters, digits and _@%+=:,./- are plain`
    throw refusal(template, piece, problem, hint)
  })
}

/**
 * The second reading. Whatever the rules above overlooked (a line that ends a here-document early, raw text with a quote in it), every
 * character of the template must stand in what it stood in before the values came.
 */
function refuseMisread(
  template: Template,
  script: string,
  written: readonly Written[],
  reading: TemplateReading,
  placeInScript: (at: number) => number,
): void {
  const { states, problem } = readShell(script)
  let suspect: ValueNode | undefined
  let at = 0
  for (const { piece, text } of written) {
    if (piece.bound !== undefined) suspect = piece.node
    else {
      const expected = reading.states.get(piece.node) ?? []
      const wrong = expected.findIndex((state, offset) => states[placeInScript(at + offset)] !== state)
      if (wrong !== -1) throw misread(template, piece.node.at + wrong, suspect)
    }
    at += text.length
  }
  if (problem !== undefined) throw misread(template, suspect?.at ?? 0, suspect)
}

function misread(template: Template, at: number, suspect: ValueNode | undefined) {
  const subject =
    suspect === undefined
      ? 'a section'
      : `the value of ${quoted(suspect.name)} in line ${lineOf(template.text, suspect.at)}`
  const hint = 'the value may end a here-document, or contain quotes where it is inserted raw'
  return templateError(template, at, `the shell would read this line otherwise because of ${subject}`, hint)
}

function refusal(template: Template, { node, bound }: ValuePiece, problem: string, hint: string) {
  const shown =
    itemsOf(bound.value)
      .map((item) => quoted(item, 60))
      .join(' ') || 'an empty list'
  return templateError(template, node.at, `${quoted(node.name)} (${bound.origin}) is ${shown}, but ${problem}`, hint)
}

/** Both sides of the hole, far enough for any name or number, without line continuations: the shell does not see those. */
function neighbours(flat: string, at: number): Neighbours {
  const joined = (text: string) => text.replace(/\\./gs, (pair) => (pair === '\\\n' ? '' : pair))
  return { before: joined(flat.slice(Math.max(0, at - 1000), at)), after: joined(flat.slice(at + 1, at + 1000)) }
}

/** Where variables can be bound: below `#!` and the scheduler's directives, above the first command. */
function endOfLeadingComments(body: string): number {
  return /^(?:(?:[ \t]*\n)*[ \t]*#[^\n]*\n)*/.exec(body)?.[0].length ?? 0
}

/** `_v`, with more underscores when the script already has such names. */
function freePrefix(text: string): string {
  let prefix = '_v'
  while (new RegExp(`${prefix}[0-9]`).test(text)) prefix += '_'
  return prefix
}
