import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { warnSecondsOf } from '../../queuer/submit-runner.ts'
import { trampoline } from '../../queuer/trampoline.ts'
import { schedulerFor } from '../../scheduler/schedulers.ts'
import { Site } from '../support/site.ts'
import { until } from '../support/world.ts'

test('trampoline() outlives a warning that comes before hpc_runner can hear it', async () => {
  const site = new Site()
  try {
    const at = join(site.dir, 'looked')
    const node = join(site.dir, 'node')
    // a Node that takes its time, as one on a slow file system
    writeFileSync(node, `#!/bin/sh\n: >${at}\nsleep 0.5\nexec ${process.execPath} "$@"\n`, { mode: 0o755 })
    const script = join(site.dir, 'batch.sh')
    const shape = { ...site.shape, node }
    writeFileSync(script, trampoline(site.queuer, shape, schedulerFor('slurm'), 'n1', 'hpc-batch/w/l/n1'))
    const child = spawn('/bin/bash', [script], { stdio: 'ignore' })
    const ended = new Promise((resolve) => child.once('exit', (code, signal) => resolve({ code, signal })))
    await until('the trampoline to look for Node', () => existsSync(at))
    process.kill(child.pid ?? 0, 'SIGUSR2')
    assert.deepEqual(await ended, { code: 0, signal: null })
  } finally {
    await site.end()
  }
})

test('warnSecondsOf() asks for no warning that would come at the start of an allocation', () => {
  const minutes = (timeMs: number, marginMs: number) =>
    warnSecondsOf({ timeMs: timeMs * 60_000, marginMs: marginMs * 60_000 })
  assert.deepEqual([minutes(480, 5), minutes(480, 0), minutes(10, 5)], [300, 60, 300])
  assert.deepEqual([minutes(1, 0), minutes(3, 1), minutes(7, 5)], [0, 0, 0])
})
