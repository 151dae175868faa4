/** `npm run bench -- --docs`: the latest figures of bench/results/ as tables in docs/performance.md, and as plots beside it; groups that were not run keep theirs. */
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { figure, type Row, spread } from './measure.ts'
import { plotOf } from './plot.ts'

const begin = '<!-- figures: written by npm run bench -- --docs -->'
const end = '<!-- end of figures -->'

export interface Result {
  readonly at: string
  readonly commit: string
  readonly rows: readonly Row[]
  readonly [about: string]: unknown
}

function reached(row: Row): string {
  if (row.goal === undefined) return ''
  return `${row.goal} × ${row.ratio >= row.goal ? 'reached' : '**open**'}`
}

function tableOf(rows: readonly Row[]): string {
  const lines = rows.map((row) => {
    const limit = row.limit === undefined ? '' : `; limit ${row.limitName ?? ''}: ${spread(row.limit)}`
    const note = row.note === undefined ? '' : `; ${row.note}`
    const against = `${row.peerName.replaceAll('|', '\\|')}: ${spread(row.peer)}${limit}${note}`
    return `| ${row.work} | ${spread(row.ours)} ${row.unit} | ${against} | ${figure(row.ratio)} × | ${reached(row)} |`
  })
  return ['| work | ours | against | ratio | to reach |', '|---|---|---|---|---|', ...lines].join('\n')
}

/** A group's section: which state of the code and when, its table, its plot. */
function sectionOf(name: string, { at, commit, rows }: Result): string {
  const day = at.slice(0, 10)
  return `### ${name}\n\nCommit ${commit}, ${day}.\n\n${tableOf(rows)}\n\n![${name}, as bars](plots/${name}.svg)\n`
}

/** The document with the figures of these groups made anew; those of others stay. Throws where it has no place for them. */
export function withFigures(
  document: string,
  results: Readonly<Record<string, Result>>,
  order: readonly string[],
): string {
  const [from, to] = [document.indexOf(begin), document.indexOf(end)]
  if (from < 0 || to < from) throw new Error(`the document has no "${begin}" … "${end}"`)
  const before = document.slice(from + begin.length, to)
  const sections = order.flatMap((name) => {
    const result = results[name]
    if (result !== undefined && result.rows.length > 0) return [sectionOf(name, result)]
    const kept = before.split(/^(?=### )/m).find((section) => section.startsWith(`### ${name}\n`))
    return kept === undefined ? [] : [`${kept.trimEnd()}\n`]
  })
  return `${document.slice(0, from + begin.length)}\n\n${sections.join('\n')}\n${document.slice(to)}`
}

export function writeReport(root: string, order: readonly string[]): void {
  const dir = join(root, 'bench', 'results')
  const there = existsSync(dir) ? readdirSync(dir) : []
  const names = order.filter((name) => there.includes(`${name}.json`))
  const results = Object.fromEntries(
    names.map((name) => [name, JSON.parse(readFileSync(join(dir, `${name}.json`), 'utf8')) as Result]),
  )
  const plots = join(root, 'docs', 'plots')
  mkdirSync(plots, { recursive: true })
  for (const [name, { rows }] of Object.entries(results))
    if (rows.length > 0) writeFileSync(join(plots, `${name}.svg`), plotOf(name, rows))
  const path = join(root, 'docs', 'performance.md')
  writeFileSync(path, withFigures(readFileSync(path, 'utf8'), results, order))
}
