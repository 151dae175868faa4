/** The `<<…>>` syntax of templates: text to a tree of literals, values and sections. Everything that is not exactly ours is literal. */
import { HpcError, printable } from './errors.ts'
import { didYouMean } from './suggest.ts'

export interface Template {
  /** The script's name, as in `templates/<name>.template`. */
  readonly name: string
  readonly text: string
}

export interface LiteralNode {
  readonly kind: 'literal'
  readonly text: string
  /** Offset in the template's text, as in every node. */
  readonly at: number
}

export interface ValueNode {
  readonly kind: 'value'
  readonly name: string
  /** `<<&name>>`: inserted as it is, for an author who wants the shell to read it. */
  readonly raw: boolean
  readonly at: number
}

const sectionKinds = ['if', 'unless', 'each'] as const
type SectionKind = (typeof sectionKinds)[number]

export interface SectionNode {
  readonly kind: SectionKind
  readonly name: string
  readonly body: readonly TemplateNode[]
  readonly at: number
}

export type TemplateNode = LiteralNode | ValueNode | SectionNode

const name = '[A-Za-z_][A-Za-z0-9_]*'
const literal = `<<!(?<literal>(?:[!&]*${name}|#${name} +${name}|/${name}))>>`
const value = `<<(?<raw>&?)(?<name>${name})>>`
const open = `<<#(?<open>${name}) +(?<subject>${name})>>`
const close = `<</(?<close>${name})>>`
const tag = new RegExp(`${literal}|${value}|${open}|${close}`, 'g')

/** The template's tree, or a permanent error for a file bash could not run as it stands or whose sections do not pair up. */
export function parseTemplate(template: Template): readonly TemplateNode[] {
  refuseUnusableText(template)
  const root: TemplateNode[] = []
  const opened: { kind: SectionKind; name: string; at: number; body: TemplateNode[]; outer: TemplateNode[] }[] = []
  let body = root
  let end = 0
  for (const match of template.text.matchAll(tag)) {
    const at = match.index
    const found = match.groups ?? {}
    if (at > end) body.push({ kind: 'literal', text: template.text.slice(end, at), at: end })
    end = at + match[0].length
    if (found.literal !== undefined) {
      body.push({ kind: 'literal', text: `<<${found.literal}>>`, at })
    } else if (found.name !== undefined) {
      body.push({ kind: 'value', name: found.name, raw: found.raw === '&', at })
    } else if (found.open !== undefined) {
      const kind = sectionKind(template, at, found.open)
      opened.push({ kind, name: found.subject ?? '', at, body: [], outer: body })
      body = opened.at(-1)?.body ?? body
    } else {
      const section = opened.pop()
      const closed = sectionKind(template, at, found.close ?? '')
      if (section === undefined) throw templateError(template, at, `"${match[0]}" closes a section that is not open`)
      if (section.kind !== closed)
        throw templateError(
          template,
          at,
          `"${match[0]}" stands where "<<#${section.kind} ${section.name}>>" of line ${lineOf(template.text, section.at)} is still open`,
        )
      body = section.outer
      body.push({ kind: section.kind, name: section.name, body: section.body, at: section.at })
    }
  }
  const open = opened.at(-1)
  if (open !== undefined)
    throw templateError(
      template,
      open.at,
      `"<<#${open.kind} ${open.name}>>" is never closed`,
      `close it with <</${open.kind}>>`,
    )
  if (end < template.text.length) body.push({ kind: 'literal', text: template.text.slice(end), at: end })
  return root
}

/** Every node in the order of the text, the insides of sections included. */
export function* walk(nodes: readonly TemplateNode[]): Generator<TemplateNode> {
  for (const node of nodes) {
    yield node
    if ('body' in node) yield* walk(node.body)
  }
}

export function lineOf(text: string, at: number): number {
  let line = 1
  for (let i = text.indexOf('\n'); i !== -1 && i < at; i = text.indexOf('\n', i + 1)) line++
  return line
}

/** A permanent error that says which line of which template it is about. */
export function templateError(template: Template, at: number, problem: string, hint?: string): HpcError {
  const message = `Cannot render templates/${template.name}.template:${lineOf(template.text, at)}: ${printable(problem)}`
  return new HpcError('description', message, hint === undefined ? {} : { hint })
}

function sectionKind(template: Template, at: number, word: string): SectionKind {
  const kind = sectionKinds.find((known) => known === word)
  if (kind !== undefined) return kind
  const hint = `sections are <<#if name>>, <<#unless name>> and <<#each name>>; a literal tag is written <<!…>>`
  throw templateError(template, at, `"${word}" is no kind of section${didYouMean(word, sectionKinds)}`, hint)
}

function refuseUnusableText(template: Template): void {
  const carriageReturn = template.text.indexOf('\r\n')
  if (carriageReturn !== -1) {
    const hint = `save it with Unix line ends, for instance: sed -i 's/\\r$//' templates/${template.name}.template`
    throw templateError(
      template,
      carriageReturn,
      'lines end with CR LF, which a shell reads as part of the commands',
      hint,
    )
  }
  const nul = template.text.indexOf('\0')
  if (nul !== -1) throw templateError(template, nul, 'the text contains a NUL byte, which no script can')
  if (template.text.startsWith('\ufeff'))
    throw templateError(
      template,
      0,
      'the text begins with a byte order mark, which hides the "#!" line',
      'save it as UTF-8 without BOM',
    )
}
