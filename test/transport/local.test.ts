import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { localTransport } from '../../submitter/transport/local.ts'
import { transportSuite } from './transport.suite.ts'

transportSuite('local', async () => ({ transport: localTransport(), stop: async () => {} }))

test('localTransport() gives each command a process group of its own', async () => {
  const connection = await localTransport().connect()
  const channel = await connection.exec('cat /proc/self/stat')
  const [line] = await channel.stdout.toArray()
  const group = Number(
    String(line)
      .replace(/^.*\) /, '')
      .split(' ')[2],
  )
  const mine = Number(
    readFileSync('/proc/self/stat', 'utf8')
      .replace(/^.*\) /, '')
      .split(' ')[2],
  )
  assert.notEqual(group, mine)
  await connection.close()
})

test('close() of a local connection ends a command that does not mind its input', async () => {
  const connection = await localTransport().connect()
  const channel = await connection.exec('sleep 60')
  await connection.close()
  assert.equal((await channel.exited).signal, 'SIGTERM')
})
