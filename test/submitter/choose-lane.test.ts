import assert from 'node:assert/strict'
import { test } from 'node:test'
import { readDescription } from '../../contract/read-description.ts'
import { chooseLane, gpusOf } from '../../submitter/choose-lane.ts'
import { parseConfig } from '../../submitter/config.ts'

const { config } = parseConfig(
  `
dropbox: /d
templates: /t
state: /s
exec_target: {Lsf: big}
sites:
  small:
    transport: {type: local}
    scheduler: {type: local}
    hpc_env: {workspace: /w}
    lanes: {default: {time: 1h, margin: 5m, memory: 4G, cpus: 2}}
  big:
    transport: {type: local}
    scheduler: {type: slurm, queues: {large: dl, debug: dbg}}
    hpc_env: {workspace: /w2}
    lanes:
      gpu: {queue: dl, gres: "gpu:v100:2", memory: 32G, time: 8h, margin: 5m}
      debug: {queue: dbg, time: 30m, margin: 1m}
`,
  { file: 'test.yml', kind: 'yaml', mode: 0o600, dir: '/', home: '/' },
)

function choose(text: string, timeMs?: number): string {
  const reading = readDescription(Buffer.from(`script: a\n${text}\n`), 'x.job')
  if (!reading.ok) return assert.fail(JSON.stringify(reading.problems))
  const choice = chooseLane(reading.description, config, timeMs ?? reading.description.resources.timeMs)
  return 'refused' in choice
    ? `${choice.refused.key}: ${choice.refused.message}`
    : `${choice.site.name}/${choice.lane.name}`
}

for (const [text, expected] of [
  ['', /^small\/default$/],
  ['site: big', /^big\/gpu$/],
  ['site: bgi', /^site: "bgi" is no site of the config \(did you mean "big"\?\); there are small, big$/],
  ['target: Lsf', /^big\/gpu$/],
  ['target: small', /^small\/default$/],
  ['target: Lfs', /^target: "Lfs" is not set \(did you mean "Lsf"\?\); set exec_target in the config$/],
  ['size: large', /^big\/gpu$/],
  ['size: debug', /^big\/debug$/],
  ['size: larg', /^resources: fit no lane; the nearest is site small has no queue for size "larg"/],
  ['size: constructor', /^resources: fit no lane/],
  ['target: constructor', /^target: "constructor" is not set/],
  ['resources: {time: 2h}', /^big\/gpu$/],
  ['resources: {time: 55m}', /^small\/default$/],
  [
    'resources: {time: 9h}',
    /^resources: fit no lane; the nearest is lane small\/default: time 9h is more than the 55m it offers \(time 1h less margin 5m\)$/,
  ],
  ['resources: {memory: 8G}', /^big\/gpu$/],
  ['resources: {memory: 64G}', /memory 64 GB is more than its 4\.0 GB/],
  ['resources: {gpus: 2}\nsite: big', /^big\/gpu$/],
  ['resources: {gpus: 3}\nsite: big', /gpus 3 is more than its 2/],
  ['resources: {cpus: 4}\nsite: small', /cpus 4 is more than its 2/],
  ['resources: {nodes: 2}', /nodes 2 is more than its 1/],
] as const) {
  test(`chooseLane(): ${text || 'nothing asked for'}`, () => assert.match(choose(text), expected))
}

test('P-MI-02: no order is derived from anything: a job that asks for one is refused, and never run out of it', () => {
  assert.match(choose('after: [first]'), /^after: cannot be honoured: this version has no dependencies between jobs$/)
})

test('chooseLane() takes the time of the template where the job gives none', () => {
  assert.equal(choose('', 2 * 3_600_000), 'big/gpu')
})

test('gpusOf() reads every way of writing gres', () => {
  for (const [gres, count] of [
    [undefined, 0],
    ['gpu', 1],
    ['gpu:2', 2],
    ['gpu:v100:4', 4],
    ['gpu:v100:1,gpu:a100:2', 3],
    ['gpu:v100:2(S:0-1)', 2],
    ['gpu:v100', 1],
    ['license:3', 0],
  ] as const)
    assert.equal(gpusOf(gres), count, gres)
})

test('chooseLane() makes a lane as large as the job needs where `lanes: {auto: true}` allows it, and of whole hours', () => {
  const auto = parseConfig(
    `
dropbox: /d
sites:
  big:
    transport: {type: local}
    scheduler: {type: slurm}
    hpc_env: {workspace: /w}
    lanes: {auto: true, default: {queue: dl, gres: "gpu:v100:1", memory: 32G, time: 8h, margin: 5m}}
`,
    { file: 'test.yml', kind: 'yaml', mode: 0o600, dir: '/', home: '/' },
  ).config
  const laneFor = (resources: string) => {
    const reading = readDescription(Buffer.from(`script: a\nresources: ${resources}\n`), 'x.job')
    if (!reading.ok) return assert.fail(JSON.stringify(reading.problems))
    const choice = chooseLane(reading.description, auto, reading.description.resources.timeMs)
    return 'refused' in choice ? choice.refused.message : choice.lane
  }
  assert.equal((laneFor('{memory: 8G}') as { name: string }).name, 'default')
  const made = laneFor('{memory: 64G, gpus: 2, time: 9h30m}') as {
    name: string
    gres: string
    memoryBytes: number
    timeMs: number
  }
  assert.deepEqual(
    [made.name, made.gres, made.memoryBytes, made.timeMs],
    ['auto', 'gpu:v100:2', 64 * 2 ** 30, 10 * 3_600_000],
  )
})
