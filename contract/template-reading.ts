/** The first reading: the whole template with holes for its values and all its sections, as the shell will read it. */
import { type HoleSite, hole, readShell } from './shell-lexer.ts'
import { type Place, placeOf } from './template-places.ts'
import { type SecondReader, secondReader } from './template-programs.ts'
import { type LiteralNode, type Template, type TemplateNode, templateError, type ValueNode } from './template-syntax.ts'

export interface Spot {
  readonly site: HoleSite
  readonly place: Place
  readonly second: SecondReader | undefined
}

export interface TemplateReading {
  readonly spots: ReadonlyMap<ValueNode, Spot>
  /** What is open at each character of a literal. */
  readonly states: ReadonlyMap<LiteralNode, readonly string[]>
}

/**
 * Sections are read as if each were rendered once. That is right for every choice of them, because none may change what is open: the
 * text after it is read the same with it and without it.
 */
export function readTemplate(template: Template, nodes: readonly TemplateNode[]): TemplateReading {
  const flat = flatten(nodes)
  const { states, holes, problem } = readShell(flat.text)
  if (problem !== undefined) throw templateError(template, flat.offsetOf(problem.at), problem.message, readingHint)
  for (const { node, start, end } of flat.sections) {
    if (states[start] === states[end]) continue
    const hint = 'open and close quotes, parentheses, here-documents and comments within the section, or outside of it'
    throw templateError(
      template,
      node.at,
      `the section "${node.name}" does not leave the shell's quoting as it finds it`,
      hint,
    )
  }
  const spots = flat.values.map(({ node, start }, index): [ValueNode, Spot] => {
    const site = holes[index]
    if (site?.at !== start) throw templateError(template, node.at, 'the place of this value was not understood')
    const second = secondReader(site, flat.text.slice(start + 1))
    return [node, { site, place: placeOf(site, second), second }]
  })
  const literals = flat.literals.map(({ node, start, end }): [LiteralNode, readonly string[]] => [
    node,
    states.slice(start, end),
  ])
  return { spots: new Map(spots), states: new Map(literals) }
}

const readingHint = 'if bash does read it, keep this part in a script of its own and call that'

interface Placed<Node> {
  readonly node: Node
  readonly start: number
  readonly end: number
}

function flatten(nodes: readonly TemplateNode[]) {
  const literals: Placed<LiteralNode>[] = []
  const values: Placed<ValueNode>[] = []
  const sections: Placed<Exclude<TemplateNode, LiteralNode | ValueNode>>[] = []
  let text = ''
  const add = (node: TemplateNode): void => {
    const start = text.length
    if (node.kind === 'literal') {
      text += node.text
      literals.push({ node, start, end: text.length })
    } else if (node.kind === 'value') {
      text += hole
      values.push({ node, start, end: text.length })
    } else {
      node.body.forEach(add)
      sections.push({ node, start, end: text.length })
    }
  }
  nodes.forEach(add)
  /** Where in the template the character at `at` stands. */
  const offsetOf = (at: number): number => {
    const found = [...literals, ...values].find(({ start, end }) => start <= at && at < end)
    return found === undefined ? 0 : found.node.at + at - found.start
  }
  return { text, literals, values, sections, offsetOf }
}
