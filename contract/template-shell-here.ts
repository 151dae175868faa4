/** Here-documents: their delimiters, and the lines up to them. */
import { type Cursor, type Here, Unreadable } from './template-shell-cursor.ts'
import { readExpandable } from './template-shell-expansions.ts'
import { type Code, type HereDocument, hole } from './template-shell-words.ts'

/** Reads `<<EOF` or `<<-'EOF'`; the lines come after the end of this line. */
export function readDelimiter(cursor: Cursor, code: Code, operator: '<<' | '<<-'): void {
  const openedAt = cursor.at
  cursor.take(operator.length)
  cursor.take(cursor.match(/[ \t]*/y).length)
  const written = cursor.match(/(?:'[^']*'|"(?:[^"\\]|\\.)*"|\\.|[^\s;&|<>()'"\\\0])+/sy)
  if (cursor.peek(written.length) === hole || written.includes(hole))
    throw new Unreadable(
      openedAt,
      `the delimiter of a here-document must be fixed; if it is none, put a space before "<<…>>"`,
    )
  if (written === '') throw new Unreadable(openedAt, 'this here-document has no delimiter')
  const delimiter = written.replace(/\$?'([^']*)'|\$?"((?:[^"\\]|\\.)*)"|\\(.)/gs, '$1$2$3')
  const asItIs = /['"\\]/.test(written)
  code.pending.push({ delimiter, asItIs, stripTabs: operator === '<<-', openedAt, words: code.words })
  cursor.take(written.length)
}

/** The line has ended on which here-documents were announced: their lines begin. */
export function openHere(cursor: Cursor, [document, ...rest]: readonly HereDocument[]): void {
  if (document === undefined) return
  const { delimiter, openedAt, asItIs } = document
  const end = endOf(document, cursor.text, cursor.at)
  if (end === undefined) throw new Unreadable(openedAt, `the here-document "${delimiter}" never ends`)
  cursor.open({ kind: asItIs ? 'here-document as it is' : 'here-document', document, rest, end, openedAt }, 0)
  if (end === cursor.at) closeHere(cursor, rest)
}

export function readHere(cursor: Cursor, frame: Here): void {
  if (frame.document.asItIs) cursor.take()
  else readExpandable(cursor, true)
  if (cursor.at === frame.end && cursor.top === frame) closeHere(cursor, frame.rest)
}

function closeHere(cursor: Cursor, rest: readonly HereDocument[]): void {
  cursor.close(cursor.match(/[^\n]*\n?/y).length)
  openHere(cursor, rest)
}

/** Where the delimiter's line begins. A line that continues the one before it (`\` at its end) is not looked at, unless nothing is expanded. */
function endOf(document: HereDocument, text: string, start: number): number | undefined {
  let continues = false
  for (let at = start; at < text.length; ) {
    const newline = text.indexOf('\n', at)
    const line = text.slice(at, newline === -1 ? text.length : newline)
    if (!continues && (document.stripTabs ? line.replace(/^\t+/, '') : line) === document.delimiter) return at
    continues = !document.asItIs && (/\\*$/.exec(line)?.[0].length ?? 0) % 2 === 1
    at = newline === -1 ? text.length : newline + 1
  }
  return undefined
}
