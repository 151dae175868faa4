import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { test } from 'node:test'
import { processesMarked, runCommand } from '../../system/process.ts'

/** A shell that carries a mark in its environment, as do all it starts. */
function marked(text: string) {
  const mark = randomUUID()
  return { mark, command: { argv: ['/bin/sh', '-c', text], env: { RUN_COMMAND_TEST: mark } } as const }
}

test('runCommand() keeps its time-out when the command is a script around another program', async () => {
  const { mark, command } = marked('echo begun; sleep 300; echo ended')
  const began = performance.now()
  const reply = await runCommand(command, 300)
  assert.deepEqual([reply.timedOut, reply.code, reply.stdout], [true, null, 'begun\n'])
  assert.ok(performance.now() - began < 30_000)
  assert.deepEqual(processesMarked('RUN_COMMAND_TEST', mark), [])
})

test('runCommand() does not wait for what a command has left in the background', async () => {
  const { mark, command } = marked('echo 17; setsid sleep 300 & exit 3')
  const reply = await runCommand(command, 60_000)
  assert.deepEqual([reply.timedOut, reply.code, reply.stdout], [false, 3, '17\n'])
  for (const pid of processesMarked('RUN_COMMAND_TEST', mark)) process.kill(pid)
})

test('runCommand() gives the end of a long answer, and 127 for a program that is not there', async () => {
  const long = await runCommand({ argv: ['/bin/sh', '-c', 'head -c 300000 /dev/zero; echo end'] }, 60_000)
  assert.deepEqual([long.stdout.length, long.stdout.endsWith('end\n')], [300_004, true])
  assert.deepEqual((await runCommand({ argv: ['/nonexistent/squeue'] }, 60_000)).code, 127)
})
