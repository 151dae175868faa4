/** What the judge is given from real folders: a reader that polls, scripts that count themselves, a world after one job. */
import assert from 'node:assert/strict'
import { mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { World } from '../support/world.ts'
import { judgeWorld } from './judged-world.ts'
import { Reader } from './reader.ts'
import { realView } from './real-view.ts'
import { contentAt } from './results.ts'
import { countsItself, readRuns } from './run-log.ts'

describe('the judge on real folders', () => {
  test('a job that went well gives it nothing to say, and each thing spoilt afterwards does', async () => {
    const world = new World()
    const reader = new Reader()
    try {
      const log = join(world.dir, 'runs')
      world.template(
        'work',
        `#!/bin/sh\n${countsItself('<<token>>', log)}\ncp input/<<from>> output/<<to>>\necho out\n`,
      )
      const [from, to] = [world.input('in', 'content'), world.out('a')]
      reader.watch({ dropbox: world.dropbox, name: 'a', outputs: { [to]: 'content' } })
      world.drop('a', `script: work\nargs: {token: a}\ninput_map: {from: ${from}}\noutput_map: {to: ${to}}\n`)
      assert.equal((await world.go()).code, 0)
      const runs = readRuns(log)
      assert.deepEqual(
        runs.map(({ job, told }) => [job, told]),
        [['a', true]],
      )
      const seen = reader.end()
      assert.equal(seen.sightings.length, 1)
      const end = { status: 'ok', state: 'done', rc: 0, stdout: 'out\n', outputs: { [to]: 'content' } } as const
      const job = { dropbox: world.dropbox, name: 'a', args: { token: 'a' }, ends: [end] }
      assert.deepEqual(judgeWorld(world, [job], { runs, seen }), [])

      writeFileSync(to, 'conten')
      writeFileSync(join(world.dir, 'out', '.left'), '')
      mkdirSync(join(world.workspace, 'jobs', 'left'))
      assert.equal(judgeWorld(world, [job], { runs: [...runs, ...runs], seen }).length, 5)
    } finally {
      reader.end()
      await world.end()
    }
  })

  test('a folder that is not there is told from one that lacks its files', () => {
    const world = new World()
    try {
      const [none, some] = [world.out('none'), world.out('some')]
      mkdirSync(some)
      writeFileSync(join(some, 'a'), '1')
      assert.deepEqual(
        [none, some].map((path) => contentAt(realView, path, { a: '1', b: '2' })),
        [null, { a: '1' }],
      )
    } finally {
      rmSync(world.dir, { recursive: true })
    }
  })

  test('a reader tells of outputs seen in parts, of results before their outputs, and of results replaced', () => {
    const world = new World()
    try {
      const [half, late] = [world.out('half'), world.out('late')]
      const result = join(world.dropbox, 'a.job.finished')
      const reader = new Reader(3_600_000)
      reader.watch({ dropbox: world.dropbox, name: 'a', outputs: { [half]: 'content', [late]: 'content' } })
      writeFileSync(half, 'cont')
      reader.look()
      writeFileSync(half, 'content')
      writeFileSync(result, 'first')
      reader.look()
      writeFileSync(`${result}.new`, 'second')
      renameSync(`${result}.new`, result)
      const { sightings, replaced, partial } = reader.end()
      assert.deepEqual(sightings, [{ dropbox: world.dropbox, name: 'a', outputs: { [half]: 'content', [late]: null } }])
      assert.deepEqual(replaced, [result])
      assert.deepEqual(partial, [half])
    } finally {
      rmSync(world.dir, { recursive: true })
    }
  })
})
