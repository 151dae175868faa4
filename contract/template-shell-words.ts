/**
 * Words and commands within shell code: which words make up the command being read, and where a keyword may stand. Keywords matter to
 * quoting for one reason: `case` has `)` without `(`.
 */

/** Stands for a value that is not there yet: a NUL, the one character no script contains. */
export const hole = '\0'

/** `command`: a keyword would be read as one here; `name`: after assignments, still before the command's name. */
export type Position = 'command' | 'name' | 'argument'

/** `branch`: `esac` or the first pattern comes next; `patterns`: within a branch's patterns, where `esac` is one like any other. */
type CasePart = 'subject' | 'in' | 'branch' | 'patterns' | 'body'

export interface HereDocument {
  readonly delimiter: string
  readonly asItIs: boolean
  readonly stripTabs: boolean
  readonly openedAt: number
  /** The command that reads it: filled as its words are read, and some may follow the `<<`. */
  readonly words: readonly string[]
}

/** Text in which words are split: commands, the words of `a=(…)`, or a pattern such as `@(…)`. */
export interface Code {
  readonly kind: 'commands' | 'words' | 'pattern'
  /** Whether a `)` ends it; nothing but the end of the text ends the outermost. */
  readonly closes: boolean
  readonly openedAt: number
  readonly cases: CasePart[]
  wordAt: number | undefined
  words: string[]
  position: Position
  /** The next word is the target of a redirection. */
  redirected: boolean
  brackets: number
  braces: number
  pending: HereDocument[]
}

const keywordsBeforeCommands: ReadonlySet<string> = new Set('if then else elif do while until ! { time'.split(' '))

/** Words that are syntax where a command may begin. */
export const reservedWords: ReadonlySet<string> = new Set([
  ...keywordsBeforeCommands,
  ...'fi done case esac for select in function coproc } [['.split(' '),
])

/** `name=`, `name+=`, `name[…]=`: what the shell takes for an assignment when it begins a command's word. */
export const assignment = /^[A-Za-z_][A-Za-z0-9_]*(?:\[.*\])?\+?=/s

export function openCode(kind: Code['kind'], closes: boolean, openedAt: number): Code {
  return {
    kind,
    closes,
    openedAt,
    cases: [],
    wordAt: undefined,
    words: [],
    position: kind === 'commands' ? 'command' : 'argument',
    redirected: false,
    brackets: 0,
    braces: 0,
    pending: [],
  }
}

/** The part of a word that has been read, quotes included; empty between words. */
export function wordSoFar(code: Code, read: { readonly text: string; readonly at: number }): string {
  return code.wordAt === undefined ? '' : read.text.slice(code.wordAt, read.at)
}

/** The word being read is complete. */
export function endWord(code: Code, read: { readonly text: string; readonly at: number }): void {
  if (code.wordAt === undefined) return
  const word = wordSoFar(code, read)
  dropWord(code)
  if (code.kind !== 'commands') return
  if (code.redirected) {
    code.redirected = false
    return
  }
  if (isCaseSyntax(code, word)) return
  if (code.position === 'command' && keywordsBeforeCommands.has(word)) return
  if (code.position !== 'argument' && assignment.test(word)) {
    code.position = 'name'
    return
  }
  code.words.push(word)
  code.position = 'argument'
  const head = code.words[0]
  if (word === '{' && (head === 'function' || head === 'coproc')) endCommand(code)
  if (word === 'do' && (head === 'for' || head === 'select')) endCommand(code)
}

/** Forgets the word being read: it was a part of something else, as the `2` of `2>`. */
export function dropWord(code: Code): void {
  code.wordAt = undefined
  code.brackets = 0
  code.braces = 0
}

/** The next word may begin a command, unless it is a pattern. */
export function endCommand(code: Code): void {
  if (code.kind !== 'commands') return
  code.words = []
  code.position = readsCasePatterns(code) ? 'argument' : 'command'
  code.redirected = false
}

/** Whether `)` would end the patterns of a `case` branch, and not a `(`. */
export function readsCasePatterns(code: Code): boolean {
  const part = code.cases.at(-1)
  return part === 'patterns' || part === 'branch'
}

/** `(` or `|` was read among the patterns of a `case` branch. */
export function continueCasePatterns(code: Code): void {
  if (code.cases.at(-1) === 'branch') code.cases[code.cases.length - 1] = 'patterns'
}

export function endCasePatterns(code: Code): void {
  code.cases[code.cases.length - 1] = 'body'
  endCommand(code)
}

/** `;;` was read. */
export function endCaseBranch(code: Code): void {
  if (code.cases.at(-1) === 'body') code.cases[code.cases.length - 1] = 'branch'
}

/** Whether `[[` is open: `<`, `(` and `&&` mean something else in it. */
export function isConditional(code: Code): boolean {
  return code.words[0] === '[[' && !code.words.includes(']]')
}

function isCaseSyntax(code: Code, word: string): boolean {
  const last = code.cases.length - 1
  const part = code.cases[last]
  const atCommand = code.position === 'command'
  if (part === 'subject') code.cases[last] = 'in'
  else if (part === 'in') code.cases[last] = 'branch'
  else if (word === 'esac' && (part === 'branch' || (part === 'body' && atCommand))) {
    code.cases.pop()
    code.position = 'argument'
  } else if (part === 'branch' || part === 'patterns') code.cases[last] = 'patterns'
  else if (word === 'case' && atCommand) {
    code.cases.push('subject')
    code.position = 'argument'
  } else return false
  return true
}
