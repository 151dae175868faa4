/** The rows of docs/features.md, and which tests name them. A row's last column lists the test files that name its id, and nothing else. */
import { readdirSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'

export const root = resolve(import.meta.dirname, '../..')
export const tablePath = join(root, 'docs/features.md')

export interface Row {
  readonly id: string
  readonly state: 'works' | 'partly' | 'not yet' | 'equivalent'
  readonly what: string
  /** Paths as written, from the repository's root. */
  readonly tests: readonly string[]
}

const rowPattern =
  /^\|\s*((?:P-)?(?:HB|MT|WM|AR|MI|GW)-[0-9]+)\s*\|\s*(works|partly|not yet|equivalent)\s*\|\s*(.*?)\s*\|\s*(.*?)\s*\|$/

export function parseRow(line: string): Row | undefined {
  const match = rowPattern.exec(line)
  if (match === null) return undefined
  const [, id = '', state, what = '', tests = ''] = match
  return {
    id,
    state: state as Row['state'],
    what,
    tests: [...tests.matchAll(/`([^`]+)`/g)].map((found) => found[1] ?? ''),
  }
}

export function renderRow({ id, state, what, tests }: Row): string {
  return `| ${id} | ${state} | ${what} | ${tests.map((path) => `\`${path}\``).join(', ')} |`
}

/** Whether a text names an id: `HB-01`, but neither `P-HB-01` nor `HB-011`. */
export function names(text: string, id: string): boolean {
  return new RegExp(`(?<![A-Z0-9-])${id}(?![0-9])`).test(text)
}

/** Test files by path, with their text; fixtures and this folder name ids without proving anything. */
export function testFiles(): Map<string, string> {
  const found = readdirSync(join(root, 'test'), { recursive: true, encoding: 'utf8' })
    .filter((path) => /\.(test|suite)\.ts$/.test(path) && !path.startsWith('docs/') && !path.startsWith('fixtures/'))
    .sort()
  return new Map(found.map((path) => [`test/${path}`, readFileSync(join(root, 'test', path), 'utf8')]))
}

export function testsNaming(id: string, files: ReadonlyMap<string, string>): string[] {
  return [...files].filter(([, text]) => names(text, id)).map(([path]) => path)
}
