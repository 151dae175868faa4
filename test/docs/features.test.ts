/** docs/features.md promises nothing that no test names, and leaves no row of the five systems out. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { names, parseRow, renderRow, root, tablePath, testFiles, testsNaming } from './feature-table.ts'

const lines = readFileSync(tablePath, 'utf8').split('\n')
const rows = lines.flatMap((line) => parseRow(line) ?? [])
const files = testFiles()

test('docs/features.md has every row once, in order, and no other', () => {
  const ids = readFileSync(join(root, 'test/fixtures/row-ids.txt'), 'utf8').split('\n').filter(Boolean)
  assert.deepEqual(
    rows.map(({ id }) => id),
    ids,
  )
})

test('docs/features.md has no row that only looks like one', () => {
  const odd = lines.filter((line) => /^\|\s*(P-)?[A-Z]{2}-[0-9]/.test(line) && parseRow(line) === undefined)
  assert.deepEqual(odd, [])
})

test('docs/features.md calls no row works, partly or equivalent that no test names', () => {
  const unproven = rows.filter(({ id, state }) => state !== 'not yet' && testsNaming(id, files).length === 0)
  assert.deepEqual(
    unproven.map(({ id, state }) => `${id} is called ${state}`),
    [],
  )
  const unnamed = rows.filter(({ state, tests }) => state !== 'not yet' && tests.length === 0)
  assert.deepEqual(
    unnamed.map(({ id }) => id),
    [],
  )
})

test('docs/features.md names only test files that are there and name the row', () => {
  const wrong = rows.flatMap(({ id, tests }) =>
    tests.filter((path) => !names(files.get(path) ?? '', id)).map((path) => `${id}: ${path}`),
  )
  assert.deepEqual(wrong, [], 'bring it up to date: node --import tsx test/docs/update-features.ts')
})

test('names() tells HB-01 from P-HB-01 and HB-011', () => {
  assert.deepEqual(
    ['x HB-01: y', 'P-HB-01', 'HB-011', '(HB-01)', 'HB-05 HB-01,'].map((text) => names(text, 'HB-01')),
    [true, false, false, true, true],
  )
})

test('parseRow() reads what renderRow() writes', () => {
  const line = '| P-GW-08 | not yet | what | `test/a.test.ts`, `test/b.suite.ts` |'
  const row = parseRow(line)
  assert.ok(row)
  assert.deepEqual(row.tests, ['test/a.test.ts', 'test/b.suite.ts'])
  assert.equal(renderRow(row), line)
  assert.equal(parseRow('| HB-01 | done | what | x |'), undefined)
})
