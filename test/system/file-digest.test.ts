import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { closeSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, test } from 'node:test'
import { digestInThread } from '../../system/digest-thread.ts'
import { digestHere } from '../../system/file-digest.ts'
import { realOs } from '../../system/os.ts'

const dir = mkdtempSync(join(tmpdir(), 'hpc-digest-'))
after(() => rmSync(dir, { recursive: true, force: true }))

for (const [name, start] of [
  ['in a thread', digestInThread],
  ['here', digestHere(realOs)],
] as const) {
  describe(`the digest of a file that grows, ${name}`, () => {
    test('is that of its first bytes, whatever it was told before', async () => {
      const fd = openSync(join(dir, name), 'w+')
      const hash = createHash('sha256')
      const digest = start(fd)
      for (let at = 0; at < 40; at++) {
        const block = Buffer.alloc(50_000, `${at} `)
        hash.update(block)
        writeSync(fd, block)
        if (at % 3 === 0) digest.reach((at + 1) * 50_000)
      }
      writeSync(fd, 'more, which does not count')
      assert.equal(await digest.end(2_000_000), hash.digest('hex'))
      closeSync(fd)
    })
    test('is an error when the file has fewer', async () => {
      const fd = openSync(join(dir, `${name} short`), 'w+')
      await assert.rejects(start(fd).end(1), /shorter than it was/)
      closeSync(fd)
    })
    test('may be stopped', async () => {
      const fd = openSync(join(dir, `${name} stopped`), 'w+')
      start(fd).stop()
      closeSync(fd)
    })
  })
}
