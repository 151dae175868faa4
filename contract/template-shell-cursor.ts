/** The place in a shell text up to which it has been read, and what is open there. */
import type { Code, HereDocument } from './template-shell-words.ts'

interface Quotes {
  readonly kind: 'double' | 'single' | 'ansi' | 'comment' | 'backticks'
  readonly openedAt: number
}

export interface Here {
  readonly kind: 'here-document' | 'here-document as it is'
  readonly openedAt: number
  readonly document: HereDocument
  /** Those that begin where this one ends. */
  readonly rest: readonly HereDocument[]
  /** Where the line of its delimiter begins. */
  readonly end: number
}

export interface Expansion {
  readonly kind: 'parameter' | 'arithmetic'
  readonly openedAt: number
  readonly closer: '}' | ']' | '))'
  /** Whether it stands in double quotes or in a here-document. */
  readonly quoted: boolean
  /** Whether single quotes quote in it: they do not in `"${x:-'a'}"`. */
  readonly singleQuotes: boolean
  depth: number
}

export type Frame = Code | Quotes | Here | Expansion

export type Enclosure = Frame['kind']

/** The text does not pair up, or is written in a way we cannot be sure to read as the shell does. */
export class Unreadable extends Error {
  readonly at: number

  constructor(at: number, message: string) {
    super(message)
    this.at = at
  }
}

/** No script comes near; what every character stands in is kept, which would grow with the square of the text. */
const deepest = 200

export class Cursor {
  readonly text: string
  readonly stack: Frame[]
  at = 0
  private enclosing: string | undefined

  constructor(text: string, outermost: Code) {
    this.text = text
    this.stack = [outermost]
  }

  get top(): Frame {
    return this.stack.at(-1)!
  }

  /** What is open, as one word to compare. */
  get state(): string {
    this.enclosing ??= this.stack.map((frame) => ('closer' in frame ? frame.kind + frame.closer : frame.kind)).join(' ')
    const { top } = this
    return 'cases' in top && top.cases.length > 0 ? `${this.enclosing} case ${top.cases.length}` : this.enclosing
  }

  /** The character at some distance, or '' beyond the end. */
  peek(distance = 0): string {
    return this.text[this.at + distance] ?? ''
  }

  /** What `pattern`, which must be sticky, matches here. */
  match(pattern: RegExp): string {
    pattern.lastIndex = this.at
    return pattern.exec(this.text)?.[0] ?? ''
  }

  take(count = 1): void {
    this.at = Math.min(this.text.length, this.at + count)
  }

  open(frame: Frame, length = 1): void {
    if (this.stack.length > deepest)
      throw new Unreadable(this.at, `quotes and brackets are nested more than ${deepest} deep`)
    this.take(length)
    this.stack.push(frame)
    this.enclosing = undefined
  }

  close(length = 1): void {
    this.take(length)
    this.stack.pop()
    this.enclosing = undefined
  }
}
