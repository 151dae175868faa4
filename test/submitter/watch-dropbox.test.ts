import assert from 'node:assert/strict'
import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { it } from 'node:test'
import type { Gateway } from '../../submitter/gateway.ts'
import { watchDropbox } from '../../submitter/watch-dropbox.ts'
import { Files } from '../../system/files.ts'
import { realOs } from '../../system/os.ts'
import { until } from '../support/world.ts'

it('watchDropbox() goes over to the watch of the system when the folder grows large, and misses no file', async () => {
  const dropbox = mkdtempSync(join(tmpdir(), 'hpc-watch-'))
  const said: string[] = []
  const log = {
    debug: (text: string) => said.push(text),
    info() {},
    warn: (text: string) => said.push(`warning ${text}`),
  }
  const gateway = { config: { dropbox }, files: new Files(realOs), log } as unknown as Gateway
  let woken = 0
  const drop = (name: string) => {
    writeFileSync(join(dropbox, `.${name}`), 'script: a\n...\n')
    renameSync(join(dropbox, `.${name}`), join(dropbox, `${name}.job`))
  }
  const watched = await watchDropbox(gateway, () => {
    woken += 1
  })
  try {
    drop('first')
    await until('the first file to wake', () => woken > 0)
    assert.deepEqual(said, [])
    for (let n = 0; n < 150; n++) drop(`j${n}`)
    await until('the folder to be watched as one', () => said.length > 0)
    assert.match(said.join(), /^\S+ holds more than 100 files: watched as a folder, not file by file$/)
    // what chokidar had still to tell is told before this
    await new Promise((resolve) => setTimeout(resolve, 300))
    const before = woken
    drop('last')
    await until('the last file to wake', () => woken > before)
  } finally {
    await watched.close()
    rmSync(dropbox, { recursive: true })
  }
})
