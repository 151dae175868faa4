import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { load } from 'js-yaml'
import { makeJobId } from '../../contract/spool.ts'
import { gatewayUuid } from '../../submitter/dropbox.ts'
import { publishSubmitted } from '../../submitter/finish-unsent.ts'
import { unsentBlock } from '../../submitter/job-block.ts'
import { takeLock } from '../../submitter/lock.ts'
import { writePending } from '../../submitter/pending.ts'
import { tick } from '../../submitter/tick.ts'
import { testGateway } from '../support/gateway.ts'

const here = await testGateway()
after(() => here.end())
const { gateway, dir } = here

test('promise 1: a job that was ended here is delivered as it was ended, when the pass died right before the rename', async () => {
  const id = makeJobId('host', gateway.uuid())
  const owner = { uid: gateway.uid, gid: 0, mode: 0o644 }
  const hpc = { id, name: 'ended', gateway: gatewayUuid(gateway), owner, history: [] }
  const history = ['submitted', 'waiting', 'aborted'].map((state, i) => ({ state, at: new Date(i).toISOString() }))
  const block = unsentBlock(id, undefined, 'aborted', 'no such script', history)
  const lock = await takeLock(gateway, 'accept')
  if ('heldBy' in lock) assert.fail()
  publishSubmitted(gateway, lock, Buffer.from('script: no\n'), hpc, block)
  await lock.release()
  writePending(gateway, [{ id, name: 'ended' }])
  await tick(gateway)
  const finished = load(readFileSync(join(dir, 'dropbox', 'ended.job.finished'), 'utf8')) as { job: unknown }
  assert.deepEqual(finished.job, block)
})
