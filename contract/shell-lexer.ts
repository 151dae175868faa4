/**
 * Reads shell text as bash does, as far as quoting goes: what every character stands in, and what is known about each hole.
 * A hole is a NUL, the one character no script contains; it is taken for a piece of a word, whatever will stand there.
 */
import { beginWord, readCode, refuseUnreadHere } from './template-shell-code.ts'
import { Cursor, type Enclosure, type Frame, Unreadable } from './template-shell-cursor.ts'
import { readArithmetic, readEscape, readExpandable, readParameter } from './template-shell-expansions.ts'
import { readHere } from './template-shell-here.ts'
import {
  type Code,
  endWord,
  hole,
  openCode,
  type Position,
  readsCasePatterns,
  wordSoFar,
} from './template-shell-words.ts'

export { type Enclosure, hole, type Position }

export interface HoleSite {
  readonly at: number
  /** From the outermost inwards; the first is always `commands`. */
  readonly enclosures: readonly Enclosure[]
  /** The word of a command the hole is in, as written so far, quotes and parentheses included. */
  readonly word: string
  /** The words before it in its command (in a here-document: of the command that reads it), without assignments and redirections. */
  readonly words: readonly string[]
  readonly position: Position
  /** Whether its word is what a redirection names. */
  readonly redirected: boolean
  /** Whether its word has an open `[` or `{`, which make the shell read `-`, `,` and `..` as syntax. */
  readonly inBrackets: boolean
  readonly inBraces: boolean
}

export interface ShellReading {
  /** What is open where each character begins, and at the end: equal entries, equal quoting. */
  readonly states: readonly string[]
  readonly holes: readonly HoleSite[]
  /** Why the text cannot be read to its end. */
  readonly problem?: { readonly at: number; readonly message: string }
}

/** Reads the whole text; `problem` says where and why when quotes, brackets or here-documents do not pair up. */
export function readShell(text: string): ShellReading {
  const cursor = new Cursor(text, openCode('commands', false, 0))
  const states: string[] = []
  const holes: HoleSite[] = []
  try {
    while (cursor.at < text.length) {
      const { state } = cursor
      if (states.length === cursor.at) states.push(state)
      if (text[cursor.at - 1] === '\n') refuseStraddling(cursor)
      if (cursor.peek() === hole) holes.push(readHole(cursor))
      else readCharacter(cursor, cursor.top)
      while (states.length < cursor.at) states.push(state)
    }
    states.push(cursor.state)
    finish(cursor)
    return { states, holes }
  } catch (error) {
    if (!(error instanceof Unreadable)) throw error
    return { states, holes, problem: { at: error.at, message: error.message } }
  }
}

function readCharacter(cursor: Cursor, frame: Frame): void {
  const c = cursor.peek()
  switch (frame.kind) {
    case 'commands':
    case 'words':
    case 'pattern':
      readCode(cursor, frame)
      break
    case 'double':
      if (c === '"') cursor.close()
      else readExpandable(cursor, true)
      break
    case 'single':
      if (c === "'") cursor.close()
      else cursor.take()
      break
    case 'ansi':
      if (c === "'") cursor.close()
      else if (c === '\\') readEscape(cursor)
      else cursor.take()
      break
    case 'backticks':
      if (c === '`') cursor.close()
      else if (c === '\\') readEscape(cursor)
      else cursor.take()
      break
    case 'comment':
      if (c === '\n') cursor.close(0)
      else cursor.take()
      break
    case 'parameter':
      readParameter(cursor, frame)
      break
    case 'arithmetic':
      readArithmetic(cursor, frame)
      break
    case 'here-document':
    case 'here-document as it is':
      readHere(cursor, frame)
  }
}

function readHole(cursor: Cursor): HoleSite {
  const { at, stack } = cursor
  const code = stack.findLast((frame): frame is Code => 'words' in frame)
  const command = stack.findLast((frame): frame is Code => frame.kind === 'commands')
  const here = stack.slice(command === undefined ? 0 : stack.indexOf(command)).find((frame) => 'document' in frame)
  if (code === undefined || command === undefined) throw new Unreadable(at, 'no command is open')
  const site: HoleSite = {
    at,
    enclosures: stack.map((frame) => frame.kind),
    word: wordSoFar(command, cursor),
    words: here?.document.words ?? [...command.words],
    position: readsCasePatterns(command) ? 'command' : command.position,
    redirected: command.redirected,
    inBrackets: code.brackets > 0,
    inBraces: code.braces > 0,
  }
  if (cursor.top === code) beginWord(cursor, code)
  cursor.take()
  return site
}

function finish(cursor: Cursor): void {
  if (cursor.top.kind === 'comment') cursor.close(0)
  const { top } = cursor
  if (top.kind !== 'commands' || top.closes)
    throw new Unreadable(top.openedAt, `the ${nameOf(top)} that begins here never ends`)
  endWord(top, cursor)
  refuseUnreadHere(top)
}

/** Bash cuts a here-document out by its lines, whatever is open in it. */
function refuseStraddling(cursor: Cursor): void {
  const here = cursor.stack.find((frame) => 'end' in frame && frame.end === cursor.at)
  if (here !== undefined && here !== cursor.top) {
    const { top } = cursor
    throw new Unreadable(
      top.openedAt,
      `the ${nameOf(top)} that begins here does not end before the here-document around it`,
    )
  }
}

function nameOf(frame: Frame): string {
  switch (frame.kind) {
    case 'commands':
    case 'words':
    case 'pattern':
      return 'parenthesis'
    case 'double':
    case 'single':
    case 'ansi':
      return 'quotation'
    case 'parameter':
    case 'arithmetic':
      return 'expansion'
    default:
      return frame.kind
  }
}
