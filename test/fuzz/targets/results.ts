/** What a site sends as a job's result: taken whole, or thrown away with nothing left beside the destination. */
import assert from 'node:assert/strict'
import { mkdirSync, readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import type { JobDescription } from '../../../contract/job-description.ts'
import { type Answer, encodeFrame, FrameReader, NoFrame } from '../../../contract/protocol.ts'
import { JobReceiver } from '../../../submitter/receive-job.ts'
import { results, resultWith, sent } from '../../hostile/answers.ts'
import { testGateway } from '../../support/gateway.ts'
import { shown, type Target } from '../target.ts'

const id = 'vm-00000000-0000-4000-8000-000000000000'
const whole = Object.values(results).map(({ outputs, pieces }) =>
  Buffer.concat([
    encodeFrame({ type: 'result', id, result: resultWith(outputs), publishedAt: '2026-01-01T00:00:00.000Z' }),
    ...(
      pieces ?? outputs.flatMap(({ key, files }) => files.map(({ path }) => [`${key}/${path}`, 0, true, sent] as const))
    ).map(([file, offset, last, body]) => encodeFrame({ type: 'piece', id, file, offset, last }, body)),
  ]),
)

const description = (out: string) =>
  ({
    script: 'true',
    args: new Map(),
    inputs: new Map(),
    outputs: new Map([['to', { path: join(out, 'to'), optional: false }]]),
    resources: {},
    after: [],
    notify: [],
  }) as unknown as JobDescription

/** One gateway for all inputs, made when the first comes; the folder of its outputs is empty after each. */
let made: ReturnType<typeof testGateway> | undefined

export const collected: Target = {
  name: 'collected',
  seeds: whole,
  words: [
    ...[
      '"path"',
      '"key"',
      '"files"',
      '"folders"',
      '"kind"',
      '"file"',
      '"folder"',
      '"../x"',
      '"to/"',
      '"a/b"',
      '""',
      '"."',
    ],
    ...['0', '7', 'true', 'null', '{', '}', '[', ']', '"\\u0000"', '"outputs"', '"result"', '"piece"'],
  ],
  run: async (bytes) => {
    made ??= testGateway()
    const { gateway, dir } = await made
    const out = join(dir, 'out')
    mkdirSync(out, { recursive: true })
    const hpc = { id, name: 'x', gateway: 'g', owner: { uid: gateway.uid, gid: 0, mode: 0o644 }, history: [] }
    const receiver = new JobReceiver(gateway, hpc, description(out))
    try {
      for (const { header, body } of new FrameReader<Answer>().push(bytes)) {
        if (header.type === 'result') receiver.result(header)
        else if (header.type === 'piece') receiver.piece(header, body)
      }
    } catch (error) {
      if (!(error instanceof NoFrame)) throw error
    }
    const { fault } = receiver
    assert.ok(
      readdirSync(out).every((name) => name.startsWith('.')),
      'an output has its final name',
    )
    receiver.discard()
    assert.deepEqual(readdirSync(out), [], 'something was left')
    assert.deepEqual(readdirSync(dir).sort(), ['config.yml', 'dropbox', 'out', 'state', 'templates'])
    rmSync(out, { recursive: true })
    return fault === undefined ? '' : shown(fault.split('\n')[0] ?? 'nothing')
  },
  end: async () => (await made)?.end(),
}
