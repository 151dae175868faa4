import assert from 'node:assert/strict'
import { test } from 'node:test'
import { progressTeller } from '../../submitter/progress.ts'

test('progressTeller() draws a bar on a terminal, not more often than ten times a second, and ends the line', () => {
  let now = 0
  let written = ''
  const stream = {
    isTTY: true,
    write: (text: string) => {
      written += text
    },
  }
  const tell = progressTeller(
    stream,
    () => assert.fail('nothing goes to the log'),
    () => now,
  )
  for (let done = 0; done <= 1000; done += 10) {
    tell({ what: 'big.bin', done, total: 1000 })
    now += 10
  }
  const drawn = written.split('\r').length - 1
  assert.ok(drawn >= 10 && drawn <= 12, `drawn ${drawn} times`)
  assert.match(written, /\rbig\.bin \[#{24}\] 100 % of 1000 B\n$/)
})

test('progressTeller() writes one line at the begin and one at the end into a log', () => {
  const lines: string[] = []
  const stream = { isTTY: false, write: () => assert.fail('nothing is drawn') }
  const tell = progressTeller(
    stream,
    (line) => lines.push(line),
    () => 0,
  )
  for (const done of [0, 500, 1000]) tell({ what: 'big.bin', done, total: 1000 })
  assert.deepEqual(lines, ['big.bin: 1000 B to send', 'big.bin: sent'])
})
