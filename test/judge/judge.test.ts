/** The judge can fail: each promise broken by hand in a story that was in order is named, and nothing else is. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { Allocation, Evidence, Job, Run, Seen } from './evidence.ts'
import { judge } from './judge.ts'

const result = (token: string, more = {}) =>
  JSON.stringify({
    script: 'work',
    args: { token },
    job: {
      status: 'ok',
      state: 'done',
      message: 'processed OK',
      rc: 0,
      stdout: `${token} out\n`,
      attempts: 1,
      history: ['submitted', 'waiting', 'ready', 'scheduled', 'running', 'finishing', 'done'].map((state, i) => ({
        state,
        at: new Date(i * 1000).toISOString(),
      })),
      ...more,
    },
  })

interface Story {
  readonly files: Map<string, string>
  readonly job: Job
  readonly runs: Run[]
  readonly allocations: Allocation[]
  readonly seen: { -readonly [K in keyof Seen]: Seen[K][number][] }
}

const history = (...states: string[]) => ({
  history: states.map((state) => ({ state, at: new Date(0).toISOString() })),
})
const gone: Partial<Record<string, string>> = { status: 'error', state: 'aborted', message: 'died 3 times' }

/** A story in order: one job that ran once. `spoil` breaks something of it. */
function judged(spoil: (story: Story) => void): readonly string[] {
  const story: Story = {
    files: new Map([
      ['/g/out/j1.out', 'content'],
      ['/g/dropbox/.hpc/uuid', 'u'],
      ['/g/dropbox/j1.job.finished', result('j1')],
      ['/w/kept/day/x', 'kept'],
    ]),
    job: {
      dropbox: '/g/dropbox',
      name: 'j1',
      args: { token: 'j1' },
      ends: [
        {
          status: 'ok',
          state: 'done',
          rc: 0,
          message: 'processed OK',
          stdout: 'j1 out\n',
          outputs: { '/g/out/j1.out': 'content' },
        },
      ],
    },
    runs: [{ job: 'j1', mark: 'id.1', runner: 'r1', lane: 'l', startMs: 10, endMs: 20, told: true }],
    allocations: [{ id: '7', lane: 'l', submittedMs: 0, leftQueueMs: 5 }],
    seen: { sightings: [], replaced: [], partial: [] },
  }
  spoil(story)
  const { files, job, runs, allocations, seen } = story
  const evidence: Evidence = {
    view: {
      names: (dir) => [
        ...new Set(
          [...files.keys()]
            .filter((path) => path.startsWith(`${dir}/`))
            .map((path) => path.slice(dir.length + 1).split('/')[0] ?? ''),
        ),
      ],
      text: (path) => files.get(path),
    },
    jobs: [job],
    gateways: [{ dropbox: '/g/dropbox', state: '/g/state', destinations: ['/g/out'] }],
    workspaces: ['/w'],
    runs,
    allocations,
    seen,
  }
  return judge(evidence)
}

const again = (more: Partial<Run>): Run => ({ job: 'j1', mark: 'id.2', startMs: 30, endMs: 40, told: true, ...more })
const put =
  (path: string, text = '') =>
  ({ files }: Story) =>
    void files.set(path, text)

const cases: readonly (readonly [string, (story: Story) => void, RegExp])[] = [
  ['no result', ({ files }) => files.delete('/g/dropbox/j1.job.finished'), /^j1 has no result$/],
  ['a result of no YAML', put('/g/dropbox/j1.job.finished', 'job: ['), /cannot be read/],
  ["another job's result", put('/g/dropbox/j1.job.finished', result('j2')), /a result that is not its own/],
  ['a wrong result', put('/g/dropbox/j1.job.finished', result('j1', { rc: 3 })), /ended as done ok rc 3/],
  ['lost words', put('/g/dropbox/j1.job.finished', result('j1', { stdout: '' })), /may end as .* stdout "j1 out/],
  ['half an output', put('/g/out/j1.out', 'cont'), /has at \/g\/out\/j1.out "cont", not "content"/],
  ['no output', ({ files }) => files.delete('/g/out/j1.out'), /has at \/g\/out\/j1.out null/],
  [
    'a folder in place of an output',
    ({ files }) => {
      files.delete('/g/out/j1.out')
      files.set('/g/out/j1.out/part', 'x')
    },
    /has at \/g\/out\/j1.out \{"part":"x"\}/,
  ],
  [
    'a job given up without deaths',
    put('/g/dropbox/j1.job.finished', result('j1', { ...gone, rc: null })),
    /ended as aborted/,
  ],
  ['a temporary beside the output', put('/g/out/.0123456789ab.1'), /left beside the destinations/],
  [
    'a second start after the first had told its exit',
    ({ runs }) => runs.push(again({})),
    /started again \(id.2\) after id.1 had told/,
  ],
  [
    'a start when the result was there',
    ({ runs }) => runs.splice(0, 1, { ...again({}), mark: 'id.1', afterResult: true }),
    /id.1 was started when j1 had its result/,
  ],
  ['two starts side by side', ({ runs }) => runs.push(again({ startMs: 15 })), /started again \(id.2\) while id.1 ran/],
  [
    'a start the result does not tell of',
    ({ runs }) => runs.push(again({})),
    /was started 2 times, and its result tells of 1/,
  ],
  [
    'a start for which there was no time',
    ({ runs }) => runs.splice(0, 1, { ...(runs[0] as Run), leftMs: 1_000, needsMs: 2_000 }),
    /id.1 was started with 1 s left of its allocation, and needs 2 s/,
  ],
  ['a result without a start', ({ runs }) => runs.splice(0), /was never run/],
  [
    'two runners at work',
    ({ runs }) => runs.push(again({ job: 'j2', runner: 'r2', lane: 'l', startMs: 15 })),
    /2 runners at work \(r1, r2\), 1 allowed/,
  ],
  [
    'two allocations in the queue',
    ({ allocations }) => allocations.push({ id: '8', lane: 'l', submittedMs: 3 }),
    /allocation 8 was submitted while 1 waited/,
  ],
  [
    'a result seen before its output',
    ({ seen }) => seen.sightings.push({ dropbox: '/g/dropbox', name: 'j1', outputs: { '/g/out/j1.out': null } }),
    /was seen finished while \/g\/out\/j1.out held null/,
  ],
  [
    'a result that was replaced',
    ({ seen }) => seen.replaced.push('/g/dropbox/j1.job.finished'),
    /finished more than once/,
  ],
  ['an output seen in parts', ({ seen }) => seen.partial.push('/g/out/j1.out'), /seen in parts/],
  [
    'a history without a beginning',
    put('/g/dropbox/j1.job.finished', result('j1', history('running', 'done'))),
    /begins with running/,
  ],
  [
    'a history with another end',
    put('/g/dropbox/j1.job.finished', result('j1', history('submitted', 'waiting'))),
    /ends with waiting/,
  ],
  [
    'a history that jumps',
    put('/g/dropbox/j1.job.finished', result('j1', history('submitted', 'waiting', 'running', 'finishing', 'done'))),
    /went from waiting to running/,
  ],
  [
    'a history that goes back in time',
    ({ files }) => {
      const text = result('j1').replace('1970-01-01T00:00:06.000Z', '1969-01-01T00:00:06.000Z')
      files.set('/g/dropbox/j1.job.finished', text)
    },
    /back in time/,
  ],
  ['a job folder left', put('/w/jobs/id/job.yml'), /left at the site in jobs: id/],
  ['trash left', put('/w/.trash/x'), /left at the site in .trash/],
  ['a key left', put('/w/queue/default/key'), /left at the site in queue\/default: key/],
  ['a lock left', put('/g/dropbox/.hpc/site here.lock/x'), /locked for ever in \/g\/dropbox: site here.lock/],
  [
    'a job that is there twice',
    put('/g/dropbox/j1.job.submitted'),
    /left in the dropbox \/g\/dropbox: j1.job.submitted/,
  ],
  ['a reservation left', put('/g/state/reserved/x'), /left reserved in the state folder/],
]

describe('the judge', () => {
  test('has nothing to say of a story in order', () =>
    assert.deepEqual(
      judged(() => undefined),
      [],
    ))

  test('lets a job be given up for its deaths', () =>
    assert.deepEqual(
      judged(({ files, runs }) => {
        const death = {
          rc: null,
          attempts: 3,
          stdout: '',
          ...history('submitted', 'waiting', 'ready', 'scheduled', 'running', 'aborted'),
        }
        files.set('/g/dropbox/j1.job.finished', result('j1', { ...gone, ...death }))
        files.delete('/g/out/j1.out')
        runs.splice(0, 1, ...[1, 2, 3].map((n) => ({ job: 'j1', mark: `id.${n}`, startMs: n, told: false })))
      }),
      [],
    ))

  for (const [what, spoil, said] of cases) {
    test(`names ${what}`, () => assert.match(judged(spoil).join('\n'), said))
  }
})
