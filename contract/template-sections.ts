/**
 * Runs a template's tree with Handlebars: it takes the sections apart and looks the names up. It is given a program we built, never
 * text (its own syntax and escapes would apply to `{{`, `\` and `&`), with no helper but ours, and what comes out is a list of pieces.
 */
import Handlebars from 'handlebars'
import type { LiteralNode, SectionNode, TemplateNode, ValueNode } from './template-syntax.ts'
import { type BoundValue, isFalse, itemsOf } from './template-values.ts'

export interface LiteralPiece {
  readonly node: LiteralNode
  readonly bound?: undefined
}

export interface ValuePiece {
  readonly node: ValueNode
  readonly bound: BoundValue
}

export type Piece = LiteralPiece | ValuePiece

/** Names are looked up as own properties of this, which inherits nothing: `constructor` and `__proto__` are names like any other. */
type Scope = Record<string, BoundValue>

type Run = (scope: Scope) => unknown

/** The pieces of the finished text in order. A value that is used and not there is `missing`'s to refuse. */
export function runSections(
  nodes: readonly TemplateNode[],
  values: ReadonlyMap<string, BoundValue>,
  missing: (node: ValueNode) => Error,
): readonly Piece[] {
  const { known, run } = programFor(nodes)
  const pieces: Piece[] = []
  const helpers = {
    literal(index: number) {
      pieces.push({ node: known[index] as LiteralNode })
    },
    value(index: number, bound: BoundValue | undefined) {
      const node = known[index] as ValueNode
      if (bound === undefined) throw missing(node)
      pieces.push({ node, bound })
    },
    section(this: Scope, index: number, bound: BoundValue | undefined, options: { fn: Run }) {
      for (const scope of scopesOf(known[index] as SectionNode, bound, this)) options.fn(scope)
    },
  }
  run(scopeOf(values), { helpers })
  return pieces
}

interface Program {
  readonly known: readonly TemplateNode[]
  readonly run: (scope: Scope, options: { helpers: Record<string, (...args: never[]) => void> }) => string
}

const programs = new WeakMap<readonly TemplateNode[], Program>()

/** Compiled once for all that is rendered from these nodes. */
function programFor(nodes: readonly TemplateNode[]): Program {
  const made = programs.get(nodes)
  if (made !== undefined) return made
  const known: TemplateNode[] = []
  const engine = Handlebars.create()
  for (const name of Object.keys(engine.helpers)) engine.unregisterHelper(name)
  const run = engine.compile(programOf(nodes, known), {
    knownHelpers: { literal: true, value: true, section: true },
    knownHelpersOnly: true,
    noEscape: true,
    data: false,
  })
  const program = { known, run }
  programs.set(nodes, program)
  return program
}

/** The scopes a section's body runs in: none, the one around it, or one per item, in which the list's name is the item. */
function scopesOf(section: SectionNode, bound: BoundValue | undefined, scope: Scope): readonly Scope[] {
  const no = isFalse(bound?.value)
  if (section.kind !== 'each') return no === (section.kind === 'unless') ? [scope] : []
  if (bound === undefined || no) return []
  return itemsOf(bound.value).map((value, index) =>
    scopeOf([...Object.entries(scope), [section.name, { value, origin: `${bound.origin}[${index}]` }]]),
  )
}

function scopeOf(entries: Iterable<readonly [string, BoundValue]>): Scope {
  const scope: Scope = Object.create(null)
  for (const [name, value] of entries)
    Object.defineProperty(scope, name, { value, enumerable: true, configurable: true })
  return scope
}

function programOf(nodes: readonly TemplateNode[], known: TemplateNode[]): object {
  return {
    type: 'Program',
    strip: {},
    blockParams: undefined,
    loc,
    body: nodes.map((node) => statementOf(node, known)),
  }
}

function statementOf(node: TemplateNode, known: TemplateNode[]): object {
  const index = { type: 'NumberLiteral', value: known.push(node) - 1, original: known.length - 1, loc }
  const call = (helper: string, params: object[]) => ({
    path: path(helper, helper),
    params,
    hash: undefined,
    strip: {},
    loc,
  })
  if (node.kind === 'literal') return { type: 'MustacheStatement', escaped: false, ...call('literal', [index]) }
  const subject = path(node.name, `./${node.name}`)
  if (node.kind === 'value') return { type: 'MustacheStatement', escaped: false, ...call('value', [index, subject]) }
  const unstripped = { openStrip: {}, inverseStrip: {}, closeStrip: {} }
  return {
    type: 'BlockStatement',
    ...call('section', [index, subject]),
    ...unstripped,
    program: programOf(node.body, known),
  }
}

/** `original` with `./` in front is what makes a name a variable even where a helper is called the same. */
function path(name: string, original: string): object {
  return { type: 'PathExpression', data: false, depth: 0, parts: [name], original, loc }
}

const nowhere = { line: 1, column: 0 }
const loc = { source: undefined, start: nowhere, end: nowhere }
