/** A sample of the crash points of `npm run test:crash`, the same at each run, and its counts beside those of strace. */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { buildPreload, canTrace } from './build-preload.ts'
import { runStory } from './run-story.ts'
import { stories } from './stories.ts'

/** Each 50th, and in each story others. */
const every = 50

describe('P-HB-10 P-HB-13 P-AR-01: dead at any effect, every promise is kept', { concurrency: 3 }, () => {
  const dir = mkdtempSync(join(tmpdir(), 'hpc-preload-'))
  let preload = ''
  const traced = canTrace()
  before(async () => {
    preload = await buildPreload(dir)
  })
  after(() => rmSync(dir, { recursive: true }))

  const skip =
    traced || process.env.CI_NO_SKIP === '1' ? false : 'no strace, or it may not trace: apt-get install strace'
  test('strace is here to count with', { skip }, () => assert.ok(traced))

  for (const [number, story] of stories.entries()) {
    test(`the story "${story.name}"`, async () => {
      const choose = (_: unknown, index: number) => (index + number * 7) % every === 0
      const { wrong, tried, figures } = await runStory(story, { preload, sideBySide: 1, traced, choose })
      assert.deepEqual(wrong, [])
      assert.ok(tried > 0)
      const unreached = figures.reduce((sum, one) => sum + one.unreached, 0)
      assert.ok(unreached <= tried / 4, `${unreached} of ${tried} points were not reached`)
      if (traced) assert.ok(figures.every(({ seen }) => seen !== undefined))
    })
  }
})
