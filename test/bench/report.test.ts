import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Row } from '../../bench/measure.ts'
import { withFigures } from '../../bench/report.ts'

const one = (median: number) => ({ median, low: median, high: median, values: [median] })
const row: Row = { work: 'w', unit: 'ms', ours: one(2), peer: one(4), peerName: 'p', ratio: 2, goal: 3 }
const document = (figures: string) =>
  `# P\n\n<!-- figures: written by npm run bench -- --docs -->\n\n${figures}\n<!-- end of figures -->\n\n## Next\n`
const order = ['a', 'b', 'c']

test('withFigures() makes the sections of the groups that were run, in order, and keeps those of others', () => {
  const old = '### b\n\nOld b.\n\n### c\n\nOld c.\n'
  const results = { b: { at: '2026-01-02T03', commit: 'abc', rows: [row] }, a: { at: '', commit: '', rows: [] } }
  const after = withFigures(document(old), results, order)
  const table = '| work | ours | against | ratio | to reach |\n|---|---|---|---|---|\n'
  const line = '| w | 2.00 (2.00–2.00) ms | p: 4.00 (4.00–4.00) | 2.00 × | 3 × **open** |\n'
  const section = `### b\n\nCommit abc, 2026-01-02.\n\n${table}${line}\n![b, as bars](plots/b.svg)\n`
  assert.equal(after, document(`${section}\n### c\n\nOld c.\n`))
  assert.equal(withFigures(after, results, order), after)
  assert.throws(() => withFigures('# P\n', results, order), /has no "<!-- figures/)
})
