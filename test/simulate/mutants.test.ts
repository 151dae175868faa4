/** Each mutant changes text that the product holds exactly once: whoever moves that text moves the mutant with it. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { mutants } from './mutants.ts'
import { adapted, root } from './programs.ts'

test('what the simulation changes in the product is there exactly once', () => {
  for (const { file, from } of [...adapted, ...mutants.flatMap(({ changes }) => changes)]) {
    const found = readFileSync(join(root, file), 'utf8').split(from).length - 1
    assert.equal(found, 1, `${file} holds ${found} times what test/simulate changes: ${from}`)
  }
})
