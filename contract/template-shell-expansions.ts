/** What begins with `$`, and quotes: everything that may stand within a word. */
import { type Cursor, type Expansion, Unreadable } from './template-shell-cursor.ts'
import { hole, openCode } from './template-shell-words.ts'

/** `\` and the character it quotes, but a hole is read for itself. */
export function readEscape(cursor: Cursor): void {
  cursor.take(cursor.peek(1) === hole ? 1 : 2)
}

/** One character of a text where `$`, backticks and `\` have their meaning: double quotes, here-documents. */
export function readExpandable(cursor: Cursor, quoted: boolean): void {
  const c = cursor.peek()
  if (c === '\\') readEscape(cursor)
  else if (c === '$') readDollar(cursor, quoted)
  else if (c === '`') cursor.open({ kind: 'backticks', openedAt: cursor.at })
  else cursor.take()
}

function readDollar(cursor: Cursor, quoted: boolean, singleQuotes = !quoted): void {
  const openedAt = cursor.at
  const next = cursor.peek(1)
  if (next === '(') {
    if (isArithmetic(cursor.text, openedAt + 1)) cursor.open(arithmetic('))', openedAt, quoted), 3)
    else cursor.open(openCode('commands', true, openedAt), 2)
  } else if (next === '{') cursor.open(parameter(cursor, quoted), 2)
  else if (next === '[') cursor.open(arithmetic(']', openedAt, quoted), 2)
  else if (next === "'" && singleQuotes) cursor.open({ kind: 'ansi', openedAt }, 2)
  else if (next === '"' && !quoted) cursor.open({ kind: 'double', openedAt }, 2)
  else cursor.take(next === '$' ? 2 : 1)
}

/** One character of `${…}`. The first `}` that is not quoted ends it; `{` does not count. */
export function readParameter(cursor: Cursor, frame: Expansion): void {
  const c = cursor.peek()
  if (c === '}') cursor.close()
  else if (c === '"') cursor.open({ kind: 'double', openedAt: cursor.at })
  else if (c === "'" && frame.singleQuotes) cursor.open({ kind: 'single', openedAt: cursor.at })
  else if (c === '$') readDollar(cursor, frame.quoted, frame.singleQuotes)
  else readExpandable(cursor, frame.quoted)
}

export function readArithmetic(cursor: Cursor, frame: Expansion): void {
  const c = cursor.peek()
  if (frame.depth === 0 && cursor.text.startsWith(frame.closer, cursor.at)) cursor.close(frame.closer.length)
  else if (c === '"') cursor.open({ kind: 'double', openedAt: cursor.at })
  else if (c === "'" && frame.singleQuotes) cursor.open({ kind: 'single', openedAt: cursor.at })
  else {
    if (c === '(' || c === '[') frame.depth++
    if (c === ')' || c === ']') frame.depth--
    if (frame.depth < 0)
      throw new Unreadable(frame.openedAt, 'the arithmetic that begins here does not pair its brackets')
    readExpandable(cursor, frame.quoted)
  }
}

export function arithmetic(closer: ']' | '))', openedAt: number, quoted: boolean): Expansion {
  return { kind: 'arithmetic', openedAt, closer, quoted, singleQuotes: !quoted, depth: 0 }
}

/** `((` is arithmetic when its parenthesis closes with `))`; else it is one command group in another, as bash decides too. */
export function isArithmetic(text: string, at: number): boolean {
  if (text[at] !== '(' || text[at + 1] !== '(') return false
  let depth = 0
  for (let i = at; i < text.length; i++) {
    if (text[i] === '(') depth++
    else if (text[i] === ')') {
      depth--
      if (depth === 1) return text[i + 1] === ')'
    }
  }
  return false
}

/** In quotes, single quotes within `${…}` quote patterns (`${x#'a'}`) but not words (`${x:-'a'}`). */
function parameter(cursor: Cursor, quoted: boolean): Expansion {
  const name = /\$\{[#!]?(?:[A-Za-z_\0][A-Za-z0-9_\0]*|[0-9]+|[@*?$!#-])?(?:\[[^\]]*\])?/y
  const operator = cursor.peek(cursor.match(name).length)
  const singleQuotes = !quoted || '#%/^,'.includes(operator)
  return { kind: 'parameter', openedAt: cursor.at, closer: '}', quoted, singleQuotes, depth: 0 }
}
