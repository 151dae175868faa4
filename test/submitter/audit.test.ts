import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { makeJobId } from '../../contract/spool.ts'
import { giveUpLost, planAudit } from '../../submitter/audit.ts'
import { publishSubmitted } from '../../submitter/finish-unsent.ts'
import { type Lock, takeLock } from '../../submitter/lock.ts'
import { writePending } from '../../submitter/pending.ts'
import type { HpcNode } from '../../submitter/submitted-file.ts'
import { testGateway } from '../support/gateway.ts'

const here = await testGateway()
after(() => here.end())
const { gateway, dir } = here
const site = gateway.config.sites.here ?? assert.fail()
const never = { failingMs: 0, failures: 0 }

const noLock: Lock = { name: '', check: () => undefined, release: async () => undefined }

function submitted(name: string): HpcNode {
  const hpc: HpcNode = {
    id: makeJobId('host', gateway.uuid()),
    name,
    gateway: gateway.uuid(),
    owner: { uid: gateway.uid, gid: 0, mode: 0o644 },
    site: 'here',
    history: [],
  }
  publishSubmitted(gateway, noLock, Buffer.from('script: true\n'), hpc)
  return hpc
}

const lost = submitted('lost')
const pending = submitted('pending')

test('P-HB-17: a job is lost only after two denials ten minutes apart', async () => {
  const lock = await takeLock(gateway, 'site here')
  if ('heldBy' in lock) assert.fail()
  const deny = (...absent: string[]) => giveUpLost(gateway, lock, { site: 'here', absent })
  const path = join(dir, 'dropbox', 'lost.job.finished')
  const ended = () => gateway.files.exists(path)
  deny(lost.id)
  here.pass(599_000)
  deny(lost.id)
  assert.equal(ended(), false)
  // once it was seen again: the first denial was a hiccup
  deny()
  here.pass(2_000)
  deny(lost.id)
  here.pass(599_000)
  deny(lost.id)
  assert.equal(ended(), false)
  assert.deepEqual(
    planAudit(gateway, site, { ...never, lastAudit: gateway.clock.uptime() }, gateway.clock.uptime()).ids,
    [lost.id],
  )
  here.pass(2_000)
  deny(lost.id)
  assert.equal(ended(), true)
  assert.match(
    readFileSync(path, 'utf8'),
    /has lost this job: its workspace is there and knows nothing of it .*drop it again/,
  )
  await lock.release()
})

test('planAudit() asks for all that is not pending, every 15 minutes and after a restart', () => {
  writePending(gateway, [{ id: pending.id, name: 'pending' }])
  const asked = submitted('asked')
  writeFileSync(join(dir, 'dropbox', 'forged.job.submitted'), 'script: true\n')
  const now = gateway.clock.uptime()
  const plan = (lastAudit?: { bootId: string; ms: number }) =>
    planAudit(gateway, site, { ...never, ...(lastAudit === undefined ? {} : { lastAudit }) }, now)
  const whole = { ids: [asked.id], strays: ['forged'], whole: true }
  assert.deepEqual(plan(), whole)
  assert.deepEqual(plan({ ...now, ms: now.ms - 900_000 }), whole)
  assert.deepEqual(plan({ ...now, bootId: 'before' }), whole)
  assert.deepEqual(plan({ ...now, ms: now.ms - 899_999 }), { ids: [], strays: [], whole: false })
})

test('planAudit() asks for many in slices, one a pass, and counts as done when the last has been asked for', () => {
  writePending(gateway, [])
  const now = gateway.clock.uptime()
  const due = { ...never, lastAudit: { ...now, ms: now.ms - 900_000 } }
  const all = planAudit(gateway, site, due, now)
  const asked: string[] = []
  let state: typeof due & { auditedTo?: string } = due
  let passes = 0
  for (let whole = false; !whole; passes++) {
    const slice = planAudit(gateway, site, state, now, 1)
    asked.push(...slice.ids, ...slice.strays)
    assert.equal(slice.whole, slice.next === undefined)
    whole = slice.whole
    state = { ...due, ...(slice.next === undefined ? {} : { auditedTo: slice.next }) }
  }
  assert.ok(passes >= 3, `${passes} passes`)
  assert.deepEqual(asked.sort(), [...all.ids, ...all.strays].sort())
})
