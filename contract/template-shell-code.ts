/** Shell code proper: words, operators, redirections and parentheses. */
import { type Cursor, Unreadable } from './template-shell-cursor.ts'
import { arithmetic, isArithmetic, readEscape, readExpandable } from './template-shell-expansions.ts'
import { openHere, readDelimiter } from './template-shell-here.ts'
import {
  assignment,
  type Code,
  continueCasePatterns,
  dropWord,
  endCaseBranch,
  endCasePatterns,
  endCommand,
  endWord,
  hole,
  isConditional,
  openCode,
  readsCasePatterns,
  reservedWords,
  wordSoFar,
} from './template-shell-words.ts'

/** One character of code, or one operator. */
export function readCode(cursor: Cursor, code: Code): void {
  const c = cursor.peek()
  if (c === '#' && code.wordAt === undefined && code.kind !== 'pattern') {
    cursor.open({ kind: 'comment', openedAt: cursor.at })
  } else if (c === '\\') {
    if (cursor.peek(1) !== '\n') beginWord(cursor, code)
    readEscape(cursor)
  } else if (c === ' ' || c === '\t') {
    endWord(code, cursor)
    cursor.take()
  } else (operators[c] ?? readWordCharacter)(cursor, code)
}

const operators: Readonly<Record<string, (cursor: Cursor, code: Code) => void>> = {
  '\n': readNewline,
  '(': openParenthesis,
  ')': closeParenthesis,
  ';': readOperator,
  '&': readOperator,
  '|': readOperator,
  '<': readRedirection,
  '>': readRedirection,
}

function readWordCharacter(cursor: Cursor, code: Code): void {
  const before = wordSoFar(code, cursor)
  beginWord(cursor, code)
  const c = cursor.peek()
  if (c === '"') cursor.open({ kind: 'double', openedAt: cursor.at })
  else if (c === "'") cursor.open({ kind: 'single', openedAt: cursor.at })
  else if (c === '[' && beginsSubscript(code, before)) cursor.open(arithmetic(']', cursor.at, false))
  else {
    if (c === '[') code.brackets++
    if (c === ']') code.brackets = Math.max(0, code.brackets - 1)
    if (c === '{') code.braces++
    if (c === '}') code.braces = Math.max(0, code.braces - 1)
    readExpandable(cursor, false)
  }
}

/** `name[` where an assignment may stand, and `[` in `a=([…]=x)`: the shell evaluates what is in it, quoted or not. */
function beginsSubscript(code: Code, before: string): boolean {
  if (code.kind === 'words') return before === ''
  return code.kind === 'commands' && code.position !== 'argument' && /^[A-Za-z_][A-Za-z0-9_]*$/.test(before)
}

function readNewline(cursor: Cursor, code: Code): void {
  endWord(code, cursor)
  if (!isConditional(code)) endCommand(code)
  cursor.take()
  const [first] = code.pending
  if (first === undefined) return
  if (cursor.stack.some((frame) => frame !== code && 'pending' in frame && frame.pending.length > 0))
    throw new Unreadable(first.openedAt, 'two here-documents begin on one line, one in a substitution within the other')
  const documents = code.pending
  code.pending = []
  openHere(cursor, documents)
}

function openParenthesis(cursor: Cursor, code: Code): void {
  if (code.position === 'command' && reservedWords.has(wordSoFar(code, cursor))) endWord(code, cursor)
  const word = wordSoFar(code, cursor)
  const mayBeArithmetic = word === '' && (code.position === 'command' || code.words.at(-1) === 'for')
  if (readsCasePatterns(code) && word === '') {
    continueCasePatterns(code)
    cursor.take()
  } else if (code.kind !== 'commands' || isConditional(code) || /[?*+@!]$/.test(word))
    openWithin(cursor, code, 'pattern')
  else if (assignment.exec(word)?.[0] === word) openWithin(cursor, code, 'words')
  else if (mayBeArithmetic && isArithmetic(cursor.text, cursor.at)) {
    beginWord(cursor, code)
    cursor.open(arithmetic('))', cursor.at, false), 2)
  } else {
    endWord(code, cursor)
    endCommand(code)
    cursor.open(openCode('commands', true, cursor.at))
  }
}

function closeParenthesis(cursor: Cursor, code: Code): void {
  endWord(code, cursor)
  if (readsCasePatterns(code)) {
    endCasePatterns(code)
    cursor.take()
    return
  }
  if (!code.closes) throw new Unreadable(cursor.at, 'this ")" closes nothing')
  if (code.cases.length > 0) throw new Unreadable(cursor.at, 'this ")" stands between "case" and "esac"')
  refuseUnreadHere(code)
  cursor.close()
  const outer = cursor.top
  if (outer.kind === 'commands' && outer.wordAt === undefined) endCommand(outer)
}

function readOperator(cursor: Cursor, code: Code): void {
  endWord(code, cursor)
  const redirection = cursor.match(/&>>?/y)
  const branchEnd = cursor.match(/;;&|;;|;&/y)
  if (branchEnd !== '') endCaseBranch(code)
  if (redirection !== '') code.redirected = true
  else if (!isConditional(code)) endCommand(code)
  cursor.take(Math.max(1, redirection.length, branchEnd.length))
}

function readRedirection(cursor: Cursor, code: Code): void {
  if (cursor.peek(1) === '(') {
    openWithin(cursor, code, 'commands', 2)
    return
  }
  const word = wordSoFar(code, cursor)
  if (/^(?:[0-9]+|\{[A-Za-z_][A-Za-z0-9_]*\})$/.test(word)) dropWord(code)
  else endWord(code, cursor)
  const comparison = code.kind === 'pattern' || isConditional(code)
  const operator = comparison ? cursor.peek() : cursor.match(/<<<|<<-|<<|<&|<>|<|>>|>\||>&|>/y)
  if (operator === '<<' || operator === '<<-') {
    readDelimiter(cursor, code, operator)
    return
  }
  if (operator === '<' && cursor.peek(1) === hole)
    throw new Unreadable(cursor.at, '"<" right before "<<…>>" could be read in two ways; put a space between them')
  code.redirected = !comparison
  cursor.take(operator.length)
}

/** Refuses code that ends before the lines of a here-document could begin. */
export function refuseUnreadHere(code: Code): void {
  const [first] = code.pending
  if (first !== undefined) throw new Unreadable(first.openedAt, `the here-document "${first.delimiter}" never begins`)
}

export function beginWord(cursor: Cursor, code: Code): void {
  code.wordAt ??= cursor.at
}

/** Opens parentheses that are part of a word. */
function openWithin(cursor: Cursor, code: Code, kind: Code['kind'], length = 1): void {
  beginWord(cursor, code)
  cursor.open(openCode(kind, true, cursor.at), length)
}
