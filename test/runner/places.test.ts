import assert from 'node:assert/strict'
import { test } from 'node:test'
import { placeOf } from '../../runner/places.ts'

const places = (slots: number, nodes: readonly string[]) =>
  Array.from({ length: slots }, (_, slot) => placeOf(slot, slots, nodes))

test('slots go round the nodes, the own one first, and each knows its share of its node', () => {
  assert.deepEqual(places(5, ['own', 'b', 'c']), [
    { node: undefined, slots: 2, slot: 0 },
    { node: 'b', slots: 2, slot: 0 },
    { node: 'c', slots: 1, slot: 0 },
    { node: undefined, slots: 2, slot: 1 },
    { node: 'b', slots: 2, slot: 1 },
  ])
})

test('on one node all slots are there', () => {
  assert.deepEqual(places(2, ['own']), [
    { node: undefined, slots: 2, slot: 0 },
    { node: undefined, slots: 2, slot: 1 },
  ])
})
