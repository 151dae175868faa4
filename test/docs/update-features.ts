/**
 * Writes the last column of docs/features.md anew from the tests there are. A row that was built before a test named it says so in its
 * first words; when a test has come, it is called what those words promise. Run it after tests were added:
 *   node --import tsx test/docs/update-features.ts
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { parseRow, type Row, renderRow, tablePath, testFiles, testsNaming } from './feature-table.ts'

const promises: readonly (readonly [string, Row['state']])[] = [
  ['Built; no test names it yet. ', 'works'],
  ['Built in part; no test names it yet. ', 'partly'],
  ['Stand-in; no test names it yet. ', 'equivalent'],
]

const files = testFiles()

function update(row: Row): Row {
  const tests = testsNaming(row.id, files)
  const promise = promises.find(([words]) => row.what.startsWith(words))
  if (tests.length === 0 || row.state !== 'not yet' || promise === undefined) return { ...row, tests }
  const [words, state] = promise
  return { ...row, state, what: row.what.slice(words.length), tests }
}

const lines = readFileSync(tablePath, 'utf8').split('\n')
const updated = lines.map((line) => {
  const row = parseRow(line)
  return row === undefined ? line : renderRow(update(row))
})
writeFileSync(tablePath, updated.join('\n'))
