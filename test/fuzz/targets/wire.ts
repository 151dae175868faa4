/** What comes through a connection: frames, a greeting, records and results, of which none may lead out of its folder. */
import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import { encodeFrame, FrameReader, NoFrame, needMark, type Request, readyMark } from '../../../contract/protocol.ts'
import { makeJobId, makeKey, spoolAt } from '../../../contract/spool.ts'
import type { JobRecord } from '../../../contract/spool-records.ts'
import { checkRecord } from '../../../queuer/publish.ts'
import { serve } from '../../../queuer/serve.ts'
import { startQueuer } from '../../../submitter/start-queuer.ts'
import type { Connection } from '../../../submitter/transport/transport.ts'
import { realClock } from '../../../system/clock.ts'
import { Files } from '../../../system/files.ts'
import { silentLog } from '../../../system/logger.ts'
import { realOs } from '../../../system/os.ts'
import { hello } from '../../support/site.ts'
import { refusalOf, shown, type Target } from '../target.ts'

const id = makeJobId('vm', '00000000-0000-4000-8000-000000000000')
const record: JobRecord = {
  format: 1,
  id,
  name: 'x',
  gateway: 'gateway-1',
  site: 's',
  lane: 'default-1',
  key: makeKey(0, 1, id),
  template: { name: 't', text: '#!/bin/sh\ntrue\n' },
  hpcEnv: {},
  scripts: '/s',
  containers: '/c',
  args: { a: 'x', l: ['y'] },
  inputs: { from: { path: 'in', size: 1, sha256: 'x', mode: 0o600 } },
  outputs: { to: { name: 'out', optional: false } },
  maxAttempts: 3,
  maxInterruptions: 10,
  streamCapBytes: 1000,
}
const digest = 'a'.repeat(64)
const requests: readonly (readonly [object, string?])[] = [
  [hello({ lanes: [] })],
  [{ type: 'stage', id, digest, lane: 'default-1', resume: true }],
  [{ type: 'part', id, digest, file: 'in', offset: 0, last: { size: 1, sha256: 'x', mode: 0o600 } }, 'x'],
  [{ type: 'publish', id, digest, record }],
  [{ type: 'collect', id, key: record.key }],
  [{ type: 'clean', id, key: record.key, keepMs: 0 }],
  [{ type: 'cancel', id, cause: 'cancelled', why: 'x' }],
  [{ type: 'ask', ids: [id] }],
  [{ type: 'end' }],
]
const stream = Buffer.concat(requests.map(([header, body]) => encodeFrame(header as Request, Buffer.from(body ?? ''))))
const jsonWords = [
  '{',
  '}',
  '[',
  ']',
  ':',
  ',',
  '"',
  'null',
  'true',
  '-1',
  '1e99',
  '""',
  '"../../x"',
  '"/etc/x"',
  '"__proto__"',
  '"."',
  '".."',
  '"\\u0000"',
  '"a/b"',
]
const keys =
  '"id" "key" "lane" "gateway" "file" "offset" "last" "digest" "record" "inputs" "outputs" "path" "name" "type" "format" "workspace" "ids" "keepMs"'.split(
    ' ',
  )

/** Frames are whole, in order, and the same however the bytes were cut on their way. */
export const frames: Target = {
  name: 'frames',
  seeds: [stream, encodeFrame({ type: 'news' }), Buffer.alloc(16), Buffer.from([0, 0, 0, 2, 0, 0, 0, 0, 0x7b, 0x7d])],
  words: [...jsonWords, '\0\0\0\0', '\0\0\0\u0002', '{}'],
  run: (bytes) => {
    const read = (step: number) => {
      const reader = new FrameReader<unknown>()
      const all: unknown[] = []
      try {
        for (let at = 0; at < bytes.length; at += step)
          for (const { header, body } of reader.push(bytes.subarray(at, at + step)))
            all.push([JSON.stringify(header), Buffer.from(body).toString('latin1')])
        return { all, fault: '' }
      } catch (error) {
        if (!(error instanceof NoFrame)) throw error
        return { all: undefined, fault: shown(error.message) }
      }
    }
    const whole = read(bytes.length || 1)
    const cut = read(7)
    assert.equal(cut.fault, whole.fault)
    assert.deepEqual(cut.all, whole.all)
    return whole.fault
  },
}

/** What a login says before hpc_queuer is there, or instead of it. */
export const greeting: Target = {
  name: 'greeting',
  seeds: [
    readyMark,
    `Welcome to the cluster!\n${readyMark}${encodeFrame({ type: 'news' })}`,
    `${needMark}programs: absent\n`,
    `motd\n${needMark}node: no Node 18 or newer on host\n`,
    'bash: node: command not found\n',
  ],
  words: [readyMark, needMark, 'programs', 'node: ', 'marked', 'unmarked', '\n', '\u001b]0;x\u0007', ': '],
  run: async (bytes) => {
    const stdout = new PassThrough()
    const stderr = new PassThrough()
    const channel = {
      stdin: new PassThrough(),
      stdout,
      stderr,
      exited: Promise.resolve({ code: 1, signal: null }),
      kill: () => undefined,
    }
    const connection = {
      exec: async () => channel,
      broken: new Promise<never>(() => undefined),
    } as unknown as Connection
    const site = { name: 's', hpcEnv: { workspace: '/w' } } as unknown as Parameters<typeof startQueuer>[1]
    const programs = { folder: 'f', queuerDigest: 'a', runnerDigest: 'b' } as unknown as Parameters<
      typeof startQueuer
    >[2]
    const cut = Math.floor(bytes.length / 2)
    stderr.end(bytes.subarray(0, 100))
    stdout.write(bytes.subarray(0, cut))
    stdout.end(bytes.subarray(cut))
    const started = await startQueuer(connection, site, programs, false).catch((error: unknown) => error)
    const marked = bytes.indexOf(readyMark)
    if (started instanceof Error) {
      assert.equal(marked, -1)
      return refusalOf(() => {
        throw started
      })
    }
    const { ready, rest } = started as { ready: boolean; rest?: Buffer }
    assert.equal(ready, marked >= 0)
    if (ready) {
      const more = [...(stdout.read() ?? [])]
      assert.deepEqual([...(rest ?? []), ...more], [...bytes.subarray(marked + readyMark.length)], 'bytes were lost')
    }
    return ready ? '' : 'needs'
  },
}

/** A record from the wire: refused, or such that every path made of it stays where it belongs. */
export const records: Target = {
  name: 'record',
  seeds: [JSON.stringify(record), JSON.stringify({ ...record, inputs: {}, outputs: {} })],
  words: [...jsonWords, ...keys],
  run: (bytes) => {
    let value: JobRecord
    try {
      value = JSON.parse(bytes.toString('utf8')) as JobRecord
    } catch {
      return 'no JSON'
    }
    const fault = checkRecord(value)
    if (fault !== undefined) return shown(fault)
    const spool = spoolAt('/w')
    assert.equal(join(spool.workDir(value.id, 1), 'x'), `/w/jobs/${value.id}/x`)
    assert.equal(join(spool.queue(value.lane), value.key), `/w/queue/${value.lane}/${value.key}`)
    assert.equal(spool.done(value.gateway), `/w/done/${value.gateway}`)
    for (const { path } of Object.values(value.inputs)) assert.equal(join('/w/input', path), `/w/input/${path}`)
    for (const { name } of Object.values(value.outputs)) assert.equal(join('/w/output', name), `/w/output/${name}`)
    return ''
  },
}

/** A whole conversation with hpc_queuer on a real workspace: it ends, and nothing appears outside of that workspace. */
export const conversation: Target = {
  name: 'conversation',
  seeds: [stream, encodeFrame(hello({ peek: true }) as unknown as Request)],
  words: [...jsonWords, ...keys],
  run: async (bytes) => {
    const dir = mkdtempSync(join(tmpdir(), 'hpc-fuzz-'))
    try {
      mkdirSync(join(dir, 'workspace'), { mode: 0o700 })
      const input = new PassThrough()
      const output = new PassThrough()
      output.resume()
      input.end(bytes)
      const queuer = {
        files: new Files(realOs),
        clock: realClock,
        log: silentLog,
        spool: spoolAt(join(dir, 'workspace')),
        run: async () => ({ code: 1, stdout: '', stderr: 'no', timedOut: false }),
        uuid: () => '00000000-0000-4000-8000-000000000001',
        host: 'h',
        uid: process.getuid?.() ?? 0,
        node: process.execPath,
        programDir: '/p',
      }
      const said = await serve(queuer, input, output).then(
        () => '',
        (error: unknown) =>
          error instanceof Error ? (`${error.name}: ${error.message}`.split('\n')[0] ?? '') : 'no error',
      )
      assert.deepEqual(readdirSync(dir), ['workspace'], 'something lies beside the workspace')
      const inside = readdirSync(join(dir, 'workspace'))
      for (const name of inside) assert.ok(known.has(name), `${name} in the workspace`)
      return said
    } finally {
      rmSync(dir, { recursive: true, force: true })
    }
  },
}

const known = new Set(
  '.hpc-workspace .ballast jobs control staging queue running done kept lanes gateways programs .trash'.split(' '),
)
