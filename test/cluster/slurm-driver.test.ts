/** The Slurm driver on real Slurm: `test/cluster/cluster up` first. As root, all runs as the cluster's user. */
import { deepEqual, equal, match, ok } from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { userInfo } from 'node:os'
import { after, describe, it } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Allocation, AllocationRequest, Command, Reply } from '../../scheduler/scheduler.ts'
import { slurm } from '../../scheduler/slurm.ts'
import { describeDriver } from '../scheduler/driver.suite.ts'

const user = process.getuid?.() === 0 ? (process.env.HPC_USER ?? 'hpc') : userInfo().username
const become =
  process.getuid?.() === 0 ? ['setpriv', `--reuid=${user}`, `--regid=${user}`, '--init-groups', '--reset-env'] : []

function run(command: Command, extra: readonly string[] = []): Reply {
  const [program = '', ...args] = [
    ...become,
    ...(become.length > 0 ? ['env', '-C', '/'] : []),
    ...extra,
    ...command.argv,
  ]
  const ran = spawnSync(program, args, { input: command.stdin ?? '', encoding: 'utf8', timeout: 30_000 })
  const missing = ran.error !== undefined && ran.stdout === null
  return {
    code: ran.status,
    stdout: ran.stdout ?? '',
    stderr: ran.stderr ?? '',
    timedOut: ran.error !== undefined && !missing,
  }
}
const shell = (text: string, ...words: string[]) => {
  const reply = run({ argv: ['/bin/sh', '-c', text, 'sh', ...words] })
  equal(reply.code, 0, reply.stderr)
  return reply.stdout.trim()
}

const up = slurm.readCheck(run(slurm.checkCommand()))
const wanted = process.env.CI_NO_SKIP === '1'
if (!up.certain && !wanted) {
  it('MI-10: the Slurm driver on real Slurm', { skip: `no Slurm here: test/cluster/cluster up (${up.why})` }, () => {})
} else {
  describe('real Slurm', () => {
    it('MI-10: the test cluster answers', () => ok(up.certain, JSON.stringify(up)))
    if (up.certain) real()
  })
}

function real(): void {
  const folder = `${shell('mktemp -d "${TMPDIR:-/tmp}/hpc-batch-slurm-XXXXXX"')}/it's 100%j odd`
  shell('mkdir "$1"', folder)
  after(() => shell('rm -rf "${1%/*}"', folder))
  const write = (name: string, text: string) => {
    const path = `${folder}/${name}`
    shell('printf %s "$2" >"$1" && chmod 700 "$1"', path, text)
    return path
  }
  const read = (path: string) => (existsSync(path) ? readFileSync(path, 'utf8') : undefined)

  describeDriver({
    label: 'slurm',
    scheduler: slurm,
    run: (command) => run(command),
    folder,
    write,
    read,
    request: { queue: 'general' },
  })

  describe('the Slurm driver on the test cluster', () => {
    const prefix = `hpc-batch/${randomUUID()}/`
    const asked = (nonce: string, more: Partial<AllocationRequest> = {}): AllocationRequest => ({
      name: 'hpc_runner',
      identity: `${prefix}default/${nonce}`,
      script: write(
        'runner.sh',
        `#!/bin/bash\n${slurm.environment}\necho "$NATIVE_ID $RESTART $NODE"\nenv >env.$1\nexec sleep 300\n`.replace(
          '$1',
          nonce,
        ),
      ),
      stdoutPath: `${folder}/hpc_runner_stdout`,
      stderrPath: `${folder}/hpc_runner_stderr`,
      workDir: folder,
      queue: 'dl',
      walltimeMs: 8 * 3_600_000,
      warnSeconds: 300,
      options: [],
      ...more,
    })
    const submit = (request: AllocationRequest, extra: readonly string[] = []) => {
      const submission = slurm.readSubmission(run(slurm.submitCommand(request), extra))
      ok(submission.outcome === 'submitted', JSON.stringify(submission))
      return submission.nativeId
    }
    const queue = (extra: readonly string[] = []) => {
      const answer = slurm.readQueue(run(slurm.queueCommand(prefix), extra), prefix)
      ok(answer.certain, JSON.stringify(answer))
      return answer.value
    }
    const until = async (look: (found: readonly Allocation[]) => boolean) => {
      for (const end = Date.now() + 30_000; !look(queue()); await sleep(100))
        ok(Date.now() < end, JSON.stringify(queue()))
    }
    const clear = async () => {
      for (const { nativeId } of queue()) run(slurm.cancelCommand(nativeId))
      await until((found) => found.length === 0)
    }
    after(clear)

    it('HB-20: scontrol shows what the lane asked for', async () => {
      const id = submit(asked('shape', { gres: 'gpu:v100:1', memoryBytes: 32 * 2 ** 30, email: 'someone@localhost' }))
      const shown = run({ argv: ['scontrol', 'show', 'job', id] }).stdout
      const lines = [
        'JobName=hpc_runner',
        'Requeue=0',
        'TimeLimit=08:00:00',
        'MinMemoryNode=32G',
        'Partition=dl',
        'MailUser=someone@localhost',
      ]
      for (const line of [...lines, `Comment=${prefix}default/shape`, `WorkDir=${folder}`])
        ok(shown.includes(line), `${line} in ${shown}`)
      match(shown, /MailType=\S*(ALL|BEGIN,END,FAIL|INVALID_DEPEND)/)
      match(shown, /TresPerNode=gres[:/]gpu:v100:1/)
      await clear()
    })

    it('MI-10: what the login shell has set neither hides an allocation nor reaches it', async () => {
      const hostile = [
        'env',
        'SQUEUE_PARTITION=dl',
        'SQUEUE_STATES=CANCELLED',
        'SQUEUE_FORMAT2=jobid',
        'SQUEUE_NAMES=x',
        'SLURM_CLUSTERS=other',
      ]
      const session = [
        'env',
        'TMPDIR=/nowhere',
        'SSH_CONNECTION=1',
        'SBATCH_WAIT=1',
        'SBATCH_ARRAY_INX=1-3',
        'MODULEPATH=/m',
        'SBATCH_PARTITION=dl',
        'SBATCH_EXPORT=NONE',
      ]
      const id = submit(asked('env', { queue: 'general' }), session)
      deepEqual(
        queue(hostile).map(({ nativeId }) => nativeId),
        [id],
      )
      await until((found) => found[0]?.state === 'running')
      let text: string | undefined
      for (const end = Date.now() + 10_000; text === undefined || !text.includes('SLURM_JOB_ID='); await sleep(50)) {
        ok(Date.now() < end)
        text = read(`${folder}/env.env`)
      }
      ok(text.includes('MODULEPATH=/m\n') && text.includes('SLURM_JOB_PARTITION=general\n'), text)
      for (const gone of ['SSH_CONNECTION=', 'TMPDIR=/nowhere', 'SLURM_EXPORT_ENV=', 'SLURM_GET_USER_ENV='])
        ok(!text.includes(gone), gone)
      await clear()
    })

    it('MI-10: a lane whose time the partition never grants is stuck, and says which line to change', async () => {
      submit(asked('long', { walltimeMs: 2 * 86_400_000 }))
      await until((found) => found[0]?.reason === 'PartitionTimeLimit')
      deepEqual(
        [queue()[0]?.stuck, queue()[0]?.hint],
        [true, 'time 2d is above the limit of partition dl: lower lanes.default.time'],
      )
      await clear()
    })

    it('MI-10: a partition that does not exist is refused for good', () => {
      const submission = slurm.readSubmission(run(slurm.submitCommand(asked('refused', { queue: 'nosuch' }))))
      ok(submission.outcome === 'refused' && submission.permanent, JSON.stringify(submission))
    })

    it('MI-10: without a controller every answer is unknown, and only a refusal that is certain is one', () => {
      // A configuration that points to a port nobody listens on: the cluster itself stays up.
      const conf = `${folder}/../slurm.conf`
      shell(
        'sed "s/^SlurmctldPort=.*/SlurmctldPort=9/; s/^MessageTimeout=.*/MessageTimeout=2/" /etc/slurm/slurm.conf >"$1"',
        conf,
      )
      const lost = ['env', `SLURM_CONF=${conf}`]
      equal(slurm.readQueue(run(slurm.queueCommand(prefix), lost), prefix).certain, false)
      equal(slurm.readCheck(run(slurm.checkCommand(), lost)).certain, false)
      equal(slurm.readCancel(run(slurm.cancelCommand('1'), lost)).certain, false)
      const submission = slurm.readSubmission(run(slurm.submitCommand(asked('lost')), lost))
      ok(submission.outcome === 'refused' && !submission.permanent, JSON.stringify(submission))
      deepEqual(queue(), [])
    })
  })
}
