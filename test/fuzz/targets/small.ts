/** The small ones: units, names of files and allocations, exit files, streams. */
import assert from 'node:assert/strict'
import { parseExitFile } from '../../../contract/exit-file.ts'
import { renderBlocks } from '../../../contract/result-blocks.ts'
import { readSpliced, spliceBlocks } from '../../../contract/result-file.ts'
import {
  idOfKey,
  isJobId,
  isSafeName,
  keysIn,
  laneOfRunner,
  makeIdentity,
  makeJobId,
  makeKey,
  makeRunnerId,
  nonceOfRunner,
  parseIdentity,
  spoolAt,
  turnOfKey,
} from '../../../contract/spool.ts'
import { streamText } from '../../../contract/stream-text.ts'
import { parseDurationMs, parseMemoryBytes, renderDuration } from '../../../contract/units.ts'
import { gpusOfSlot, visibleGpus } from '../../../runner/job-environment.ts'
import { gpusOf } from '../../../submitter/choose-lane.ts'
import { isTemporary } from '../../../system/files.ts'
import { numbersIn } from '../../../system/numbered-file.ts'
import type { Target } from '../target.ts'

export const units: Target = {
  name: 'units',
  seeds: [
    '8h',
    '1d2h30m',
    '500ms',
    '20s',
    '0s',
    '32G',
    '1.5GiB',
    '512K',
    '1T',
    'gpu:v100:2(S:0,1),gpu:1',
    '0,1,GPU-a,MIG-b',
  ],
  words: ['d', 'h', 'm', 's', 'ms', 'K', 'iB', '.', '999999999', 'gpu', ':', ',', '(', 'NoDevFiles', '-'],
  run: (bytes) => {
    const text = bytes.toString('utf8')
    const ms = parseDurationMs(text)
    if (ms !== undefined) {
      assert.ok(Number.isSafeInteger(ms) && ms >= 0)
      if (ms < 1000 || ms % 1000 === 0) assert.equal(parseDurationMs(renderDuration(ms)), ms)
    }
    const memory = parseMemoryBytes(text)
    if (memory !== undefined) assert.ok(Number.isSafeInteger(memory) && memory >= 0)
    const gpus = gpusOf(text)
    assert.ok(gpus >= 0 || Number.isInteger(gpus), `${gpus} GPUs`)
    const visible = visibleGpus({ CUDA_VISIBLE_DEVICES: text })
    for (let slot = 0; slot < 3; slot++)
      for (const gpu of gpusOfSlot(visible, 3, slot)) assert.ok(visible.includes(gpu))
    return ms === undefined ? (memory === undefined ? 'neither' : 'memory') : 'time'
  },
}

const id = makeJobId('vm', '00000000-0000-4000-8000-000000000000')
const key = makeKey(3, 17, id)
const runner = makeRunnerId('default-0123abcd', '123', 1, 'n0nce')

/** Names found in folders that others may write: ours, or not ours; and never a path. */
export const names: Target = {
  name: 'names',
  seeds: [
    id,
    key,
    runner,
    makeIdentity('w', 'default-1', 'n'),
    '1\n2\n10',
    '0.1\n0.2.closing',
    '.0123456789ab.7',
    `${key}\n.x\n${key}`,
  ],
  words: [
    '/',
    '..',
    '-',
    '~',
    '.',
    '\n',
    '\0',
    'hpc-batch/',
    '999',
    '00000000-0000-4000-8000-000000000000',
    '.released',
  ],
  run: (bytes) => {
    const text = bytes.toString('utf8')
    const lines = text.split('\n')
    for (const name of keysIn(lines)) {
      const found = idOfKey(name)
      assert.ok(found !== undefined && !name.includes('/') && Number.isSafeInteger(turnOfKey(name)))
    }
    for (const line of lines) {
      if (isJobId(line)) assert.ok(!/[/\0\n]/.test(line) && spoolAt('/w').control(line).dir === `/w/control/${line}`)
      if (isSafeName(line)) assert.equal(spoolAt('/w').queue(line), `/w/queue/${line}`)
      const identity = parseIdentity(line)
      if (identity !== undefined)
        assert.equal(
          makeIdentity(identity.workspace, identity.lane, identity.nonce),
          line,
          'an identity is not read back',
        )
      if (isTemporary(line)) assert.ok(!line.includes('/'))
      assert.ok(laneOfRunner(line).length <= line.length && nonceOfRunner(line).length <= line.length)
    }
    for (const prefix of ['', '0.'])
      for (const number of numbersIn(lines, prefix)) assert.ok(Number.isSafeInteger(number) && number > 0)
    return ''
  },
}

export const exitFile: Target = {
  name: 'exit-file',
  seeds: [
    'start 100.25\nrc 0 101.5\n0m0.001s 0m0.002s\n0m1.250s 0m0.010s\nend\n',
    'start 1\nKilled\nrc 137 2\n0m0,001s 0m0,002s\n1m1,250s 0m0,010s\nend\n',
    'start 1\nrc 255 2\nend\n',
    'cd: not found\nstart 5\n',
  ],
  words: ['start ', 'rc ', 'end\n', '\nend\n', 'Killed', '0m1.0s', '\n', '137 ', '1e999', ' '],
  run: (bytes) => {
    const text = bytes.toString('utf8')
    const exit = parseExitFile(text)
    if (exit === undefined) return 'no exit'
    // a file that was cut off anywhere is of a script that has not ended
    assert.ok(text.endsWith('\nend\n'))
    assert.equal(parseExitFile(text.slice(0, -1)), undefined)
    assert.ok(Number.isInteger(exit.rc) && !Number.isNaN(exit.startUptimeMs) && !Number.isNaN(exit.endUptimeMs))
    return ''
  },
}

/** Any stream becomes text that the result's YAML brings back as it is. */
export const stream: Target = {
  name: 'stream',
  seeds: [
    'out\n',
    Buffer.from([0xc3, 0x28, 0xf0, 0x9f, 0x98]),
    '\ufeffé😀\u0085\u2028\r\n\t\u0000\u001b[2J',
    '...\n---\n: - ? # %',
    'yes\n1_000\n0o7\n',
  ],
  words: ['\u2029', '\ud83d', '\u0007', '"', "'", '\\', '\n ', '\r', '...\n', '---\n', '%YAML', '\x7f', '\u00a0'],
  run: (bytes) => {
    const cut = Math.floor(bytes.length / 2)
    for (const text of [
      streamText(bytes, undefined, 0),
      streamText(bytes.subarray(0, cut), bytes.subarray(cut), 5),
      streamText(bytes, undefined, 9),
    ]) {
      assert.ok(text.length <= bytes.length + 200)
      const job = { status: 'ok', stdout: text, name: text.slice(0, 20) }
      assert.ok(renderBlocks({ job }).length > 0)
      const written = spliceBlocks(Buffer.from('script: true\n...\n'), { hpc: {}, job })
      assert.deepEqual(readSpliced(written).job, job, 'the result does not hold what was printed')
    }
    return ''
  },
}
