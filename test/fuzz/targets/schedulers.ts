/** What a scheduler's tools print: an answer, or unknown. Never "none", "gone" or "not created" without proof. */
import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseIdentity } from '../../../contract/spool.ts'
import { local } from '../../../scheduler/local.ts'
import type { Reply, Scheduler } from '../../../scheduler/scheduler.ts'
import { slurm } from '../../../scheduler/slurm.ts'
import { queues, submissions } from '../../hostile/answers.ts'
import { root } from '../../support/world.ts'
import type { Target } from '../target.ts'

const prefix = 'hpc-batch/5f0c2d1e-8a77-4c1b-9b1a-0a4f6f0f4e11/'

/** A reply as one text: the code (or `-`, or `late`) on the first line, what stderr got behind a line of its own. */
const stderrLine = '\n--- stderr\n'
const written = (code: string, stdout: string, stderr = '') => `code: ${code}\n${stdout}${stderrLine}${stderr}`

function replyOf(bytes: Buffer): Reply {
  const text = bytes.toString('utf8')
  const [, code = '0', rest = text] = /^code: (\S*)\n([\s\S]*)$/.exec(text) ?? []
  const at = rest.indexOf(stderrLine)
  const number = /^\d{1,3}$/.test(code) ? Number(code) : null
  return {
    code: number,
    timedOut: code === 'late',
    stdout: at < 0 ? rest : rest.slice(0, at),
    stderr: at < 0 ? '' : rest.slice(at + stderrLine.length),
  }
}

const recorded = (kind: string) =>
  readdirSync(join(root, 'test', 'fixtures', 'slurm'))
    .filter((name) => name.includes(`-${kind}`))
    .map((name) => readFileSync(join(root, 'test', 'fixtures', 'slurm', name), 'utf8'))
    .map((text) => {
      const [, code = '0', stdout = '', stderr = ''] =
        /^#.*\ncode: (\S+)\n--- stdout\n([\s\S]*?)(?:--- stderr\n([\s\S]*))?$/.exec(text) ?? []
      return written(code, stdout, stderr)
    })
const hostile = (table: typeof queues) =>
  Object.values(table)
    .filter(({ stdout }) => stdout.length < 10_000)
    .map(({ code = 0, stdout, stderr = '', timedOut }) => written(timedOut ? 'late' : String(code), stdout, stderr))

const failed = ({ code, timedOut }: Reply) => timedOut || code !== 0

function queueTarget(scheduler: Scheduler, seeds: readonly string[], words: readonly string[], isNone: RegExp): Target {
  return {
    name: `${scheduler.name}-queue`,
    seeds,
    words: ['code: 0\n', 'code: 1\n', 'code: late\n', 'code: -\n', stderrLine, prefix, ...words],
    run: (bytes) => {
      const reply = replyOf(bytes)
      const answer = scheduler.readQueue(reply, prefix)
      const ends = scheduler.readEnds(reply, prefix)
      for (const { identity } of ends) assert.ok(identity.startsWith(prefix))
      if (!answer.certain) {
        assert.deepEqual(failed(reply) ? ends : [], [], 'a failed command was believed')
        return answer.why
      }
      assert.ok(!failed(reply), 'a failed command was believed')
      // what "none" may be said of: an answer that is whole, begins with its header and ends with its mark
      assert.match(reply.stdout, isNone)
      for (const { nativeId, identity } of answer.value) {
        assert.ok(identity.startsWith(prefix))
        parseIdentity(identity)
        scheduler.cancelCommand(nativeId)
      }
      // every record that names us and may live is told of
      const named = reply.stdout.split('\x1e\n').filter((record) => record.includes(`\x1f${prefix}`)).length
      assert.ok(answer.value.length <= named)
      return ''
    },
  }
}

const slurmWords = [
  ...'PENDING RUNNING COMPLETING COMPLETED CANCELLED FAILED REQUEUED SUSPENDED TIMEOUT NODE_FAIL Resources Priority JobHeldUser'.split(
    ' ',
  ),
  ...'PartitionTimeLimit QOSMaxWallDurationPerJobLimit None N/A JOBID STATE REASON PARTITION'.split(' '),
  ...[
    '\x1e\n',
    '\x1f',
    'slurm_load_jobs error: Unable to contact slurm controller',
    'squeue: error: ',
    'sbatch: error: ',
    'Batch job submission failed: ',
  ],
  ...[
    'Submitted batch job ',
    '12345\n',
    '12345;cluster\n',
    'Invalid job id specified',
    'Socket timed out on send/recv operation',
    '123_[1-9%2]',
    '7+1',
  ],
]

export const slurmQueue = queueTarget(
  slurm,
  [...recorded('queue'), ...recorded('squeue'), ...hostile(queues)],
  slurmWords,
  /^\s*JOBID\s*\x1f[\s\S]*\x1e\n$/,
)

export const localQueue = queueTarget(
  local,
  [
    written('0', 'end\n'),
    written('0', `123\x1fS 1 123 123 0\x1fnode\x1fhpc_runner\x1f${prefix}default/n\x1e\nend\n`),
    written('0', `9\x1fZ 1 9\x1f\x1e\n10\x1fR 123 1\x1f${prefix}default/m\x1e\nend\n`),
    written('1', '', '/proc cannot be read\n'),
  ],
  ['\x1e\n', '\x1f', 'end\n', 'S 1 ', 'Z 1 ', 'T 1 '],
  /(?:^|\x1e\n)end\n$/,
)

export const submission: Target = {
  name: 'submission',
  seeds: [
    ...recorded('submit'),
    ...hostile(submissions),
    written('0', '123\n'),
    written('66', '', 'x is not executable'),
  ],
  words: ['code: 0\n', 'code: 1\n', 'code: late\n', 'code: -\n', stderrLine, ...slurmWords],
  run: (bytes) => {
    const reply = replyOf(bytes)
    const said: string[] = []
    for (const scheduler of [slurm, local]) {
      const { outcome, ...more } = scheduler.readSubmission(reply)
      said.push(outcome)
      if (outcome === 'submitted') {
        const { nativeId } = more as { nativeId: string }
        assert.ok(reply.stdout.includes(nativeId) && !reply.timedOut === (reply.code !== null || !reply.timedOut))
        if (nativeId !== '1') scheduler.cancelCommand(nativeId)
      }
      // "certainly not created" needs a command that ended by itself, failed, and named no allocation
      if (outcome === 'refused')
        assert.ok(!reply.timedOut && reply.code !== null && reply.code !== 0, 'refused without proof')
    }
    return said.join()
  },
}

export const otherAnswers: Target = {
  name: 'cancel-and-check',
  seeds: [...recorded('cancel'), ...recorded('check'), written('0', 'Linux 6.1\n')],
  words: ['code: 0\n', 'code: 1\n', 'code: late\n', stderrLine, ...slurmWords],
  run: (bytes) => {
    const reply = replyOf(bytes)
    const said: string[] = []
    for (const scheduler of [slurm, local]) {
      const cancel = scheduler.readCancel(reply)
      if (cancel.certain && failed(reply)) assert.match(reply.stderr, /Invalid job id|already/i, 'gone without proof')
      const check = scheduler.readCheck(reply)
      if (check.certain) assert.ok(!failed(reply) && check.value.version !== '')
      for (const answer of [cancel, check]) if (!answer.certain) said.push(answer.why)
    }
    return said.join(' ')
  },
}
