import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { closeSync, mkdtempSync, openSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { realOs } from '../../system/os.ts'
import { sampleOf } from '../../system/sample.ts'

const dir = mkdtempSync(join(tmpdir(), 'sample-'))
after(() => rmSync(dir, { recursive: true }))

function sample(bytes: Buffer, size = bytes.length): string {
  const path = join(dir, 'file')
  writeFileSync(path, bytes)
  const fd = openSync(path, 'r')
  try {
    return sampleOf(realOs, fd, size)
  } finally {
    closeSync(fd)
  }
}

test('sampleOf() tells files apart by their middle, and by nothing else', () => {
  const one = randomBytes(1024 * 1024)
  const changed = (at: number) => {
    const other = Buffer.from(one)
    other[at] = (other[at] ?? 0) ^ 1
    return other
  }
  assert.equal(sample(one), sample(Buffer.from(one)))
  assert.notEqual(sample(one), sample(changed(512 * 1024)))
  assert.equal(sample(one), sample(changed(0)))
  assert.equal(sample(one), sample(changed(one.length - 1)))
})

test('sampleOf() takes all of a small file, nothing of an empty one, and does not wait for what is not there', () => {
  assert.notEqual(sample(Buffer.from('a')), sample(Buffer.from('b')))
  assert.equal(sample(Buffer.alloc(0)), sample(Buffer.alloc(0)))
  assert.throws(() => sample(Buffer.from('abc'), 1024), /shorter/)
})
