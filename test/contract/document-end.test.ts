import assert from 'node:assert/strict'
import { test } from 'node:test'
import { endsDocument, endsInNewline } from '../../contract/document-end.ts'

test('endsDocument() sees a last line that is exactly the document end', () => {
  for (const text of [
    'a: 1\n...',
    'a: 1\n...\n',
    'a: 1\n...  \r\n',
    'a: 1\r\n...\r\n',
    'a: 1\n...\n\n',
    '...',
    '---\na: 1\n...\t\n',
  ])
    assert.equal(endsDocument(Buffer.from(text)), true, JSON.stringify(text))
  for (const text of [
    '',
    '\n',
    '..',
    'a: 1',
    'a: ...',
    'a: 1\n ...',
    'a: 1\n....',
    'a: 1\n...x',
    'a: 1\n...\nb: 2\n',
    'note: wait...\n',
    '...\n# c',
  ])
    assert.equal(endsDocument(Buffer.from(text)), false, JSON.stringify(text))
})

test('endsInNewline() looks at the last byte', () => {
  assert.equal(endsInNewline(Buffer.from('a\n')), true)
  assert.equal(endsInNewline(Buffer.from('a\r\n')), true)
  assert.equal(endsInNewline(Buffer.from('a')), false)
  assert.equal(endsInNewline(Buffer.from('a\n ')), false)
  assert.equal(endsInNewline(new Uint8Array()), false)
})
