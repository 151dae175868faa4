/** Values that would run together with what stands next to them: `$name<<x>>`, `\<<x>>`, `<<level>>>file`. */
import type { HoleSite } from './shell-lexer.ts'
import { isPlain } from './template-values.ts'

/** The template's text on both sides of a hole, line continuations taken out. */
export interface Neighbours {
  readonly before: string
  readonly after: string
}

/** What the text before a hole leaves unfinished. */
export type Unfinished = 'backslash' | 'dollar' | 'tilde' | 'name' | 'escape'

export function unfinishedBefore(site: HoleSite, before: string): Unfinished | undefined {
  switch (site.enclosures.at(-1)) {
    case 'single':
    case 'comment':
    case 'here-document as it is':
      return undefined
    case 'ansi':
      return /(?<!\\)(?:\\\\)*\\(?:x[0-9a-fA-F]?|[0-7]{1,2}|u[0-9a-fA-F]{0,3}|U[0-9a-fA-F]{0,7}|c?)$/.test(before)
        ? 'escape'
        : undefined
    default:
      return isTildePrefix(site) ? 'tilde' : afterExpandable(before)
  }
}

/** Why these texts cannot stand there as they are, although their characters are harmless; undefined when they can. */
export function jointProblem(site: HoleSite, around: Neighbours, items: readonly string[]): string | undefined {
  const [first = '', last = ''] = [items[0], items.at(-1)]
  if (unfinishedBefore(site, around.before) === 'name' && /^[A-Za-z0-9_]/.test(first) && isPlain(first))
    return 'it would become part of the variable name before it; write ${name}<<…>>'
  const inCode = ['commands', 'words', 'pattern'].includes(site.enclosures.at(-1) ?? '')
  if (inCode && /^[0-9]+$/.test(last) && /^[0-9\0]*$/.test(site.word) && /^[0-9\0]*[<>]/.test(around.after))
    return 'with the redirection after it, it would be a file descriptor; put a space between them'
  if (inCode && site.inBraces && items.some((item) => isPlain(item) && /,|\.\./.test(item)))
    return 'within {…} its "," or ".." would make the shell expand it'
  if (site.enclosures.includes('arithmetic') && first.startsWith('-') && around.before.endsWith('-'))
    return 'after "-" it would be read as "--"; put a space between them'
  return undefined
}

/** `~` where the shell looks for a home folder: at the beginning of a word, or of a part of an assigned path. */
function isTildePrefix({ enclosures, word }: HoleSite): boolean {
  return enclosures.at(-1) === 'commands' && /(?:^|[=:])~$/.test(word)
}

function afterExpandable(before: string): Unfinished | undefined {
  const [, slashes = '', dollars = '', name = ''] = /(\\*)(\$*)([A-Za-z_\0][A-Za-z0-9_\0]*)?$/.exec(before) ?? []
  const escaped = slashes.length % 2
  if (dollars === '') return escaped === 1 && name === '' ? 'backslash' : undefined
  if ((dollars.length - escaped) % 2 === 0) return undefined
  return name === '' ? 'dollar' : 'name'
}
