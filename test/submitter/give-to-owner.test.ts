/** Results of other users' jobs are theirs, though the pass that renamed them died before it could give them. Needs root. */
import assert from 'node:assert/strict'
import { chownSync, existsSync, readdirSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { accept } from '../../submitter/accept.ts'
import type { Gateway } from '../../submitter/gateway.ts'
import { glance } from '../../submitter/glance.ts'
import { takeLock } from '../../submitter/lock.ts'
import { Turns } from '../../submitter/turns.ts'
import { Files } from '../../system/files.ts'
import { type Os, realOs } from '../../system/os.ts'
import { testGateway } from '../support/gateway.ts'

const uid = 12348
const options = { skip: process.getuid?.() === 0 ? false : 'only root gives files away' }
const here = await testGateway()
after(() => here.end())
const dropbox = join(here.dir, 'dropbox')
const giving = join(here.dir, 'state', 'giving')

async function acceptWith(gateway: Gateway): Promise<void> {
  const lock = await takeLock(gateway, 'accept')
  if ('heldBy' in lock) assert.fail(lock.heldBy)
  try {
    await accept({
      gateway,
      lock,
      uuid: gateway.uuid(),
      turns: new Turns(gateway),
      failingMs: () => 0,
      findTemplate: () => assert.fail('no template is asked for'),
      folders: new Map(),
      handOn: (jobs) => assert.deepEqual(jobs, []),
    })
  } finally {
    await lock.release()
  }
}

test(
  'section 4: a refused job’s result is its owner’s, also after a pass that died right before giving it',
  options,
  async () => {
    writeFileSync(join(dropbox, 'bad.job'), 'args: {}\n...\n')
    chownSync(join(dropbox, 'bad.job'), uid, uid)
    const dying = { ...realOs, fchownSync: () => assert.fail('died') } as Os
    await acceptWith(here.other({ files: new Files(dying) }))
    const finished = join(dropbox, 'bad.job.finished')
    assert.equal(existsSync(finished), true, 'it was delivered')
    assert.equal(statSync(finished).uid, 0)
    assert.equal(glance(here.gateway).idle, false, 'the next pass has that to do')
    await acceptWith(here.gateway)
    assert.equal(statSync(finished).uid, uid)
    assert.deepEqual(readdirSync(giving), [])
    assert.equal(glance(here.gateway).idle, true)
  },
)
