/** Which values a place in a template takes, and how a reference to one is written there. */
import type { Enclosure, HoleSite } from './shell-lexer.ts'
import type { SecondReader } from './template-programs.ts'

/** How a reference is written: by the quotes that are open around it. */
export type Quoting = 'bare' | 'double' | 'single' | 'ansi'

export interface Place {
  readonly quoting: Quoting
  /** `plain` and `integer`: no reference would be followed here, or something would read its value as code. */
  readonly takes: 'anything' | 'plain' | 'integer'
  /** Why not anything. */
  readonly because?: string
  /** Whether nobody reads this as code, so that the empty text is as harmless as a plain one. */
  readonly inert?: boolean
}

const references: Record<Quoting, (name: string) => string> = {
  bare: (name) => `"\${${name}}"`,
  double: (name) => `\${${name}}`,
  single: (name) => `'"\${${name}}"'`,
  ansi: (name) => `'"\${${name}}"$'`,
}

/** The text that stands for variable `name`'s value, within these quotes, as one piece of a word. */
export function renderReference(quoting: Quoting, name: string): string {
  return references[quoting](name)
}

/** What may stand at a hole, given who else than the shell's first reading evaluates it. */
export function placeOf(site: HoleSite, second: SecondReader | undefined): Place {
  const inner = site.enclosures.at(-1) ?? 'commands'
  const quoting = quotingOf(inner)
  const command = site.enclosures.lastIndexOf('commands')
  const within = new Set(site.enclosures.slice(command + 1))
  const only = (takes: 'plain' | 'integer', because: string): Place => ({ quoting, takes, because })
  const inert = (because: string): Place => ({ quoting, takes: 'plain', because, inert: true })
  if (inner === 'comment') return inert('nothing is expanded in a comment')
  if (inner === 'here-document as it is') return inert('nothing is expanded in a here-document with a quoted delimiter')
  if (site.enclosures.includes('backticks'))
    return only('plain', 'quotes cannot be told apart within backticks (but in $(…) they can)')
  if (within.has('arithmetic') || site.inBrackets)
    return only('integer', 'the shell evaluates arithmetic and subscripts')
  if (within.has('parameter')) return only('plain', 'a value cannot be told from the syntax within ${…}')
  if (second === undefined) return { takes: 'anything', quoting }
  return only(second.as === 'arithmetic' ? 'integer' : 'plain', `${second.reader} reads this as ${second.as}`)
}

function quotingOf(inner: Enclosure): Quoting {
  switch (inner) {
    case 'single':
    case 'ansi':
    case 'double':
      return inner
    case 'here-document':
      return 'double'
    default:
      return 'bare'
  }
}
