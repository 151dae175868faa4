import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { Turns } from '../../submitter/turns.ts'
import { testGateway } from '../support/gateway.ts'

const here = await testGateway()
after(() => here.end())

test('Turns.next(): a bulk drop queues behind itself, a one-off is served among the first', () => {
  const turns = new Turns(here.gateway)
  const bulk = Array.from({ length: 5_000 }, () => turns.next('lane', 1, 'tool'))
  assert.deepEqual([bulk[0], bulk.at(-1)], [1, 5_000])
  assert.equal(turns.next('lane', 2, 'tool'), 1, 'another owner')
  assert.equal(turns.next('lane', 1, 'other'), 1, 'another script')
  assert.equal(turns.next('other lane', 1, 'tool'), 1)
  turns.save()
})

test('Turns.served(): who comes later begins at the turn now served, not at the first', () => {
  const turns = new Turns(here.gateway)
  turns.served('lane', 3_000)
  assert.equal(turns.next('lane', 3, 'tool'), 3_000)
  assert.equal(turns.next('lane', 1, 'tool'), 5_001)
  turns.served('lane', 10)
  assert.equal(turns.next('lane', 4, 'tool'), 3_000, 'a look that is older does not turn it back')
  turns.save()
  assert.equal(new Turns(here.gateway).next('lane', 4, 'tool'), 3_001, 'turns outlive the process')
})
