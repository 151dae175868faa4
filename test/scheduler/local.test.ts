import { deepEqual, equal, ok, throws } from 'node:assert/strict'
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, it } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { local } from '../../scheduler/local.ts'
import type { AllocationRequest, Command, Reply } from '../../scheduler/scheduler.ts'
import { describeDriver } from './driver.suite.ts'

const folder = join(mkdtempSync(join(tmpdir(), 'hpc-batch-local-')), "it's 100% odd")
mkdirSync(folder)
after(() => rmSync(join(folder, '..'), { recursive: true, force: true }))

const write = (name: string, text: string) => {
  const path = join(folder, name)
  writeFileSync(path, text)
  chmodSync(path, 0o700)
  return path
}
const read = (path: string) => (existsSync(path) ? readFileSync(path, 'utf8') : undefined)
function run(command: Command, env: NodeJS.ProcessEnv = process.env): Reply {
  const [program, ...args] = command.argv
  const ran = spawnSync(program, args, { input: command.stdin ?? '', env, encoding: 'utf8', timeout: 20_000 })
  return { code: ran.status, stdout: ran.stdout, stderr: ran.stderr, timedOut: ran.error !== undefined }
}

describeDriver({ label: 'local', scheduler: local, run: (command) => run(command), folder, write, read })

describe('the local driver on this machine', () => {
  const prefix = `hpc-batch/${process.pid}-${Date.now()}/`
  const request = (nonce: string, text: string): AllocationRequest => ({
    name: 'hpc_runner',
    identity: `${prefix}default/${nonce}`,
    script: write(`${nonce}.sh`, text),
    stdoutPath: join(folder, `${nonce}.out`),
    stderrPath: join(folder, `${nonce}.err`),
    workDir: folder,
    warnSeconds: 0,
    options: [],
  })
  const runner = '#!/bin/bash\nexec /bin/sh -c \'trap "exit 0" TERM; sleep 300 & wait\' runner "$1"\n'
  const queue = () => {
    const answer = local.readQueue(run(local.queueCommand(prefix)), prefix)
    ok(answer.certain, JSON.stringify(answer))
    return answer.value
  }
  const submit = (asked: AllocationRequest, env?: NodeJS.ProcessEnv) => {
    const submission = local.readSubmission(run(local.submitCommand(asked), env))
    ok(submission.outcome === 'submitted', JSON.stringify(submission))
    return submission.nativeId
  }
  const until = async (look: () => boolean) => {
    for (const end = Date.now() + 10_000; !look(); await sleep(20)) ok(Date.now() < end, 'waited in vain')
  }
  const stopAll = async () => {
    for (const { nativeId } of queue()) run(local.cancelCommand(nativeId))
    await until(() => queue().length === 0)
  }
  after(stopAll)

  it('MI-05: the runner has a session of its own and survives whoever started it', async () => {
    const nativeId = submit(request('session', runner))
    await until(() => queue().length === 1)
    const [, , group, session] = readFileSync(`/proc/${nativeId}/stat`, 'utf8')
      .replace(/^.*\) /, '')
      .split(' ')
    deepEqual([group, session], [nativeId, nativeId])
    await stopAll()
  })

  it('MI-05: without setsid the runner still outlives its caller, and is stopped by its pid', async () => {
    const bin = join(folder, 'bin')
    mkdirSync(bin)
    for (const tool of ['sh', 'nohup', 'sleep', 'bash']) symlinkSync(`/usr/bin/${tool}`, join(bin, tool))
    const nativeId = submit(request('nohup', runner), { PATH: bin })
    await until(() => queue().length === 1)
    const [, , group] = readFileSync(`/proc/${nativeId}/stat`, 'utf8')
      .replace(/^.*\) /, '')
      .split(' ')
    ok(group !== nativeId)
    await stopAll()
    ok(!existsSync(`/proc/${nativeId}`) || readFileSync(`/proc/${nativeId}/cmdline`, 'utf8') === '')
  })

  it('MI-05: a child that still shows the command line of its runner is not a second allocation', async () => {
    const forking = '#!/bin/bash\nexec bash -c \'trap "kill 0" TERM; (sleep 1; sleep 300; :) & wait\' runner "$1"\n'
    const nativeId = submit(request('fork', forking))
    await until(() => run(local.queueCommand(prefix)).stdout.split('\x1e').length > 2)
    deepEqual(
      queue().map((allocation) => allocation.nativeId),
      [nativeId],
    )
    await stopAll()
  })

  it('MI-05: a runner that ended is gone although nobody has reaped it', async () => {
    // sh starts it in the background, then turns into a sleep that never waits for it.
    const identity = `${prefix}default/zombie`
    const parent: ChildProcess = spawn('/bin/sh', ['-c', 'sh -c "sleep 0.2; :" "$0" & exec sleep 30', identity], {
      stdio: 'ignore',
    })
    await until(() => queue().length === 1)
    await until(() => queue().length === 0)
    equal(parent.exitCode, null)
    parent.kill('SIGKILL')
  })

  it('HB-19: processes that vanish under the search are no uncertainty', async () => {
    const churn = spawn('/bin/sh', ['-c', 'while :; do (:); /bin/true; done'], { stdio: 'ignore' })
    for (let round = 0; round < 30; round++) deepEqual(queue(), [])
    churn.kill('SIGKILL')
  })

  it('HB-19: a search that is cut off or without its end mark is unknown, wherever the cut is', async () => {
    submit(request('cut', runner))
    await until(() => queue().length === 1)
    const whole = run(local.queueCommand(prefix))
    for (let length = 0; length < whole.stdout.length; length++) {
      const answer = local.readQueue({ ...whole, stdout: whole.stdout.slice(0, length) }, prefix)
      equal(answer.certain, false, whole.stdout.slice(0, length))
    }
    await stopAll()
  })

  it('HB-19: a search that never got its question, or sees no processes, is unknown', () => {
    const [program, ...words] = local.queueCommand(prefix).argv
    for (const stdin of ['', prefix, '\n']) {
      const reply = run({ argv: [program, ...words], stdin })
      equal(local.readQueue(reply, prefix).certain, false, JSON.stringify(reply))
    }
    const tools = run(local.queueCommand(prefix), { PATH: '/nowhere' })
    equal(local.readQueue(tools, prefix).certain, false, JSON.stringify(tools))
  })

  it('MI-11: a pid that has passed to another process is left alone', async () => {
    const stranger = spawn('sleep', ['30'], { stdio: 'ignore' })
    const reply = run(local.cancelCommand(String(stranger.pid)))
    deepEqual(local.readCancel(reply), { certain: true, value: 'sent' })
    await sleep(100)
    equal(stranger.signalCode, null)
    stranger.kill('SIGKILL')
  })

  it('MI-05: a script or folder that is not there is refused before anything starts', () => {
    const asked = request('refused', runner)
    for (const wrong of [{ script: '/nowhere/run.sh' }, { workDir: '/nowhere' }, { stdoutPath: '/nowhere/out' }]) {
      const submission = local.readSubmission(run(local.submitCommand({ ...asked, ...wrong })))
      ok(submission.outcome === 'refused' && !submission.permanent, JSON.stringify(submission))
      ok(submission.why.includes('/nowhere'), submission.why)
    }
    throws(() => local.submitCommand({ ...asked, script: 'run.sh' }), /not absolute/)
    throws(() => local.submitCommand({ ...asked, identity: 'x y' }), /no identity/)
    throws(() => local.cancelCommand('1'), /not the pid of a runner/)
    throws(() => local.cancelCommand('-5'), /not the pid of a runner/)
    throws(() => local.queueCommand(''), /no identity/)
  })
})
