import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { makeJobId } from '../../contract/spool.ts'
import { expireJobs } from '../../submitter/expire.ts'
import { publishSubmitted } from '../../submitter/finish-unsent.ts'
import { type Lock, takeLock } from '../../submitter/lock.ts'
import { readSiteState, type SiteState } from '../../submitter/site-state.ts'
import { testGateway } from '../support/gateway.ts'

const here = await testGateway()
after(() => here.end())
const { gateway, dir } = here
const noLock: Lock = { name: '', check: () => undefined, release: async () => undefined }

test('P-HB-17: jobs of a site that fails for longer than they may wait are ended, some of many in each pass', async () => {
  const names = ['a', 'b', 'c', 'd', 'e']
  for (const name of names) {
    const owner = { uid: gateway.uid, gid: 0, mode: 0o644 }
    const id = makeJobId('host', gateway.uuid())
    const expiry = name === 'c' ? 'expiry: 900d\n' : ''
    publishSubmitted(gateway, noLock, Buffer.from(`script: "true"\n${expiry}`), {
      ...{ id, name, gateway: gateway.uuid(), owner, site: 'here', history: [] },
    })
  }
  const lock = await takeLock(gateway, 'site here')
  if ('heldBy' in lock) assert.fail()
  const ended = () => names.filter((name) => existsSync(join(dir, 'dropbox', `${name}.job.finished`)))
  const state: SiteState = { failingMs: gateway.config.expiryMs + 1, failures: 9 }
  const pass = (before: SiteState) => expireJobs(gateway, lock, 'here', before, 'no answer', 2)
  assert.deepEqual(pass({ ...state, failingMs: 1_000 }), { ended: 0, left: 2, whole: false })
  assert.equal(readSiteState(gateway, 'here').expiredTo, 'b')
  assert.deepEqual(pass({ ...state, expiredTo: 'b' }), { ended: 1, left: 1, whole: false })
  assert.deepEqual(ended(), ['d'])
  assert.deepEqual(pass(readSiteState(gateway, 'here')), { ended: 1, left: 0, whole: false })
  assert.equal(readSiteState(gateway, 'here').expiredTo, undefined)
  assert.deepEqual(pass(readSiteState(gateway, 'here')), { ended: 2, left: 0, whole: false })
  // the one whose own expiry is longer
  assert.deepEqual(pass(readSiteState(gateway, 'here')), { ended: 0, left: 1, whole: false })
  await lock.release()
})
