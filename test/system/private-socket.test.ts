import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import { existsSync, mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { test } from 'node:test'
import { until } from '../support/world.ts'

const module = new URL('../../system/private-socket.ts', import.meta.url).href
const program = `import { listenPrivately } from '${module}'
const socket = await listenPrivately((stripe) => stripe.end('hello'))
console.log(socket.path)
setInterval(() => undefined, 1000)`

test('a private socket lies in a folder of ours alone, and what a killed process left goes with the next', async () => {
  const base = mkdtempSync(join(tmpdir(), 'private-'))
  const environment = { ...process.env, TMPDIR: base }
  const listen = async () => {
    const child = spawn(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', program], {
      env: environment,
    })
    let path = ''
    child.stdout.on('data', (chunk: Buffer) => {
      path += chunk.toString('utf8')
    })
    await until('the socket', () => path.endsWith('\n'))
    return { child, path: path.trim() }
  }
  const stranger = join(base, 'hpc-batch-socket-notes')
  execFileSync('mkdir', [stranger])
  const first = await listen()
  assert.equal(statSync(dirname(first.path)).mode & 0o777, 0o700)
  const answer = await new Promise<string>((resolve) =>
    connect(first.path).on('data', (chunk: Buffer) => resolve(chunk.toString('utf8'))),
  )
  assert.equal(answer, 'hello')
  first.child.kill('SIGKILL')
  await new Promise((resolve) => first.child.once('exit', resolve))
  assert.ok(existsSync(dirname(first.path)))
  const second = await listen()
  assert.ok(!existsSync(dirname(first.path)))
  const third = await listen()
  assert.ok(existsSync(second.path), 'a living process keeps its socket')
  for (const { child } of [second, third]) child.kill('SIGKILL')
  assert.ok(readdirSync(base).includes('hpc-batch-socket-notes'))
  rmSync(base, { recursive: true })
})
