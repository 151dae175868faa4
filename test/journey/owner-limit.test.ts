/** An owner's limit: what is over it waits, and counting costs one reading per job in flight, not one per pass. */
import assert from 'node:assert/strict'
import { rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { listDropbox } from '../../submitter/dropbox.ts'
import { defaultOptions, makeGateway, readConfig } from '../../submitter/make-gateway.ts'
import { OwnerLimit } from '../../submitter/owner-limit.ts'
import { Files } from '../../system/files.ts'
import { type Os, realOs } from '../../system/os.ts'
import { World } from '../support/world.ts'

describe('the limit of an owner', () => {
  const world = new World(`dropbox: ./dropbox
templates: ./templates
state: ./state
settle: 300ms
owners: {limits: {jobs: 3}}
sites:
  here:
    transport: {type: local}
    scheduler: {type: local}
    hpc_env: {workspace: "{dir}/workspace"}
`)
  before(() => world.template('hold', `#!/bin/sh\nwhile [ ! -e ${world.dir}/go ]; do sleep 0.05; done\n`))
  after(() => world.end())

  /** Counts an owner's jobs as a pass with one arrival does; gives the `.submitted` files it opened. */
  async function count(): Promise<{ readonly opened: number; readonly reached: string | undefined }> {
    const { config } = await readConfig(world.configFile)
    let opened = 0
    const openSync: Os['openSync'] = (path, ...more) => {
      if (String(path).endsWith('.submitted')) opened += 1
      return realOs.openSync(path, ...more)
    }
    const gateway = { ...makeGateway(config, defaultOptions, 'warn'), files: new Files({ ...realOs, openSync }) }
    const limit = new OwnerLimit(gateway, listDropbox(gateway), 1)
    return { opened, reached: limit.reached(process.getuid?.() ?? 0) }
  }

  test('jobs over it wait with the reason, unread, until others have ended; each job is counted by one reading', async () => {
    for (const name of ['a', 'b', 'c', 'd']) world.drop(name, 'script: hold\n')
    const ran = await world.tick('--json')
    const { waiting } = JSON.parse(ran.stdout) as { waiting: { name: string; why: string }[] }
    assert.equal(waiting.length, 1)
    assert.match(waiting[0]?.why ?? '', /has 3 jobs in flight, which is the limit of an owner$/)
    assert.ok(world.has('d.job'))
    assert.deepEqual(await count(), { opened: 3, reached: waiting[0]?.why })
    assert.deepEqual(await count(), { opened: 0, reached: waiting[0]?.why })
    rmSync(join(world.dir, 'state', 'owners.json'))
    assert.deepEqual(await count(), { opened: 3, reached: waiting[0]?.why })

    writeFileSync(join(world.dir, 'go'), '')
    for (let pass = 0; pass < 4 && !world.has('d.job.finished'); pass += 1) {
      await world.drained()
      assert.equal((await world.tick()).code, 0)
    }
    assert.ok(world.has('d.job.finished'))
    assert.deepEqual(await count(), { opened: 0, reached: undefined })
  })
})
