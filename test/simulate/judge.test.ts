/** The judge can fail: each promise broken by hand in a world that was in order is named. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { Allocation, Run } from './cluster.ts'
import { Disk } from './disk.ts'
import { type Case, judge } from './judge.ts'
import type { Job } from './world.ts'

const result = (token: string, status = 'ok', message = 'processed OK', rc = 0) =>
  `script: work\nargs: {token: ${token}}\njob:\n  status: ${status}\n  message: ${message}\n  rc: ${rc}\n  stdout: "${token} out\\n"\n`

/** A world in order: one job that ran once. `spoil` breaks something of it. */
function judged(spoil: (it: { disk: Disk; job: Job; runs: Run[] }) => void): string[] {
  const disk = new Disk(() => 0)
  const said: string[] = []
  const job: Job = {
    gateway: 'g1',
    name: 'j1',
    rc: 0,
    seconds: 1,
    input: '/g1/in/j1.in',
    output: '/g1/out/j1.out',
    content: 'j1:x',
    finished: 1,
  }
  const allocation = { id: 1 } as Allocation
  const runs: Run[] = [{ token: 'j1', mark: 'id.1', allocation, restart: 0, startMs: 10, endMs: 20, told: true }]
  disk.put('/g1/out/j1.out', 'j1:x')
  disk.put('/g1/dropbox/.hpc/uuid', 'u')
  disk.put('/g1/dropbox/j1.job.finished', result('j1'))
  for (const folder of ['jobs', 'control', 'queue/default', 'done/u'])
    disk.mkdir(`/hpc/workspace/${folder}`, 0o700, true)
  spoil({ disk, job, runs })
  judge({
    jobs: [job],
    disk,
    hosts: [{ dir: '/g1' }],
    cluster: { runs },
    breaks: (text: string) => said.push(text),
  } as unknown as Case)
  return said
}

const cases: readonly (readonly [string, Parameters<typeof judged>[0], RegExp])[] = [
  ['no result', ({ disk }) => disk.unlink('/g1/dropbox/j1.job.finished'), /j1 has no result/],
  [
    'two results',
    ({ job }) => {
      job.finished = 2
    },
    /finished 2 times/,
  ],
  [
    "another job's result",
    ({ disk }) => disk.put('/g1/dropbox/j1.job.finished', result('j2')),
    /a result that is not its own/,
  ],
  [
    'a wrong result',
    ({ disk }) => disk.put('/g1/dropbox/j1.job.finished', result('j1', 'error', 'no', 3)),
    /with rc 0 ended as/,
  ],
  ['half an output', ({ disk }) => disk.put('/g1/out/j1.out', 'j1'), /has the output "j1"/],
  ['no output', ({ disk }) => disk.unlink('/g1/out/j1.out'), /has the output undefined/],
  ['a temporary beside the output', ({ disk }) => disk.put('/g1/out/.0123456789ab.1', ''), /left beside/],
  [
    'a second run after the first had ended',
    ({ runs }) => runs.push({ ...(runs[0] as Run), mark: 'id.2', startMs: 30, endMs: 40 }),
    /started again \(id.2\) after id.1 had told/,
  ],
  [
    'two runs at once',
    ({ runs }) => runs.push({ ...(runs[0] as Run), mark: 'id.2', startMs: 15, endMs: 40 }),
    /started again \(id.2\) while id.1 ran/,
  ],
  ['a result without a run', ({ runs }) => runs.splice(0), /was never run/],
  [
    'a job folder left',
    ({ disk }) => disk.mkdir('/hpc/workspace/jobs/id', 0o700, true),
    /left at the site in jobs: id/,
  ],
  ['a key left', ({ disk }) => disk.put('/hpc/workspace/queue/default/key', ''), /left at the site in queue/],
  [
    'a lock left',
    ({ disk }) => disk.mkdir('/g1/dropbox/.hpc/site here.lock', 0o700, true),
    /locked for ever in \/g1: site here.lock/,
  ],
  [
    'a job accepted twice',
    ({ disk }) => disk.put('/g1/dropbox/j1.job.submitted', ''),
    /left in the dropbox of \/g1: j1.job.submitted/,
  ],
]

describe('the judge', () => {
  test('has nothing to say of a world in order', () =>
    assert.deepEqual(
      judged(() => undefined),
      [],
    ))
  for (const [what, spoil, said] of cases) {
    test(`names ${what}`, () => assert.match(judged(spoil).join('\n'), said))
  }
})
