/** What any transport does. Over ssh it is on loopback, so that both kinds run on this machine and may look at each other's files. */
import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { after, before, describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { HpcError } from '../../contract/errors.ts'
import type { Connection, Transport } from '../../submitter/transport/transport.ts'
import { waitFor } from '../support/sshd.ts'

export async function collect(stream: Readable): Promise<Buffer> {
  const chunks: Buffer[] = []
  for await (const chunk of stream) chunks.push(chunk)
  return Buffer.concat(chunks)
}

export const digest = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex')

export async function run(connection: Connection, commandLine: string, input: string | Buffer = '') {
  const channel = await connection.exec(commandLine)
  channel.stdin.end(input)
  const [out, err, end] = await Promise.all([collect(channel.stdout), collect(channel.stderr), channel.exited])
  return { out: out.toString(), err: err.toString(), ...end }
}

const sh = (script: string): string => `/bin/sh -c '${script.replaceAll("'", `'\\''`)}'`

const alive = (pid: number): boolean => {
  try {
    process.kill(pid, 0)
    // a zombie answers as well
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'))
  } catch {
    return false
  }
}

export function transportSuite(
  name: string,
  make: () => Promise<{ transport: Transport; stop: () => Promise<void> }>,
): void {
  describe(`${name} transport`, () => {
    let connection: Connection
    let transport: Transport
    let stop: () => Promise<void>
    let folder: string
    before(async () => {
      ;({ transport, stop } = await make())
      connection = await transport.connect()
      folder = mkdtempSync(join(tmpdir(), 'hpc-transport-'))
    })
    after(async () => {
      await connection?.close()
      await stop?.()
      if (folder !== undefined) rmSync(folder, { recursive: true, force: true })
    })

    test('exec() passes stdin, stdout, stderr and the exit code', async () => {
      const ended = await run(connection, sh('cat; echo oops >&2; exit 7'), 'hello')
      assert.deepEqual(ended, { out: 'hello', err: 'oops\n', code: 7, signal: null })
    })

    test('P-HB-18: exec() keeps arguments as they are quoted and hands a failing command over to the caller', async () => {
      const ended = await run(
        connection,
        sh(`printf "%s|" 'a;touch /tmp/x' '$(id)' "two  words"; no-such-command-of-ours`),
      )
      assert.equal(ended.out, 'a;touch /tmp/x|$(id)|two  words|')
      assert.equal(ended.code, 127)
      assert.match(ended.err, /no-such-command-of-ours/)
    })

    test('exec() tells the signal that ended a command', async () => {
      const { code, signal } = await run(connection, 'kill -TERM $$')
      assert.deepEqual({ code, signal }, { code: null, signal: 'SIGTERM' })
    })

    test('exec() carries 8 MB both ways at the same time, byte for byte', async () => {
      const bytes = randomBytes(8 * 1024 * 1024)
      const channel = await connection.exec('cat')
      const [out] = await Promise.all([
        collect(channel.stdout),
        pipeline(async function* () {
          for (let at = 0; at < bytes.length; at += 300_001) yield bytes.subarray(at, at + 300_001)
        }, channel.stdin),
      ])
      assert.equal(out.length, bytes.length)
      assert.equal(digest(out), digest(bytes))
      assert.deepEqual(await channel.exited, { code: 0, signal: null })
    })

    test('exec() holds a command back whose output nobody takes, and loses nothing of it', async () => {
      const channel = await connection.exec(sh('head -c 33554432 /dev/zero; echo end >&2'))
      channel.stdin.end()
      await sleep(300)
      assert.ok(channel.stdout.readableLength <= 2 * 1024 * 1024, `${channel.stdout.readableLength} bytes wait here`)
      assert.equal(channel.stderr.readableLength, 0, 'the command cannot have ended yet')
      assert.equal((await collect(channel.stdout)).length, 33_554_432)
      assert.equal((await channel.exited).code, 0)
    })

    test('exec() holds a writer back whose command does not read', async () => {
      const channel = await connection.exec(sh('sleep 0.4; wc -c'))
      const total = 16 * 1024 * 1024
      let written = 0
      const writing = pipeline(async function* () {
        for (; written < total; written += 65_536) yield Buffer.alloc(65_536)
      }, channel.stdin)
      await sleep(200)
      assert.ok(written < 6 * 1024 * 1024, `${written} bytes were taken`)
      await writing
      assert.equal(Number((await collect(channel.stdout)).toString()), total)
    })

    test('exited keeps the output of those who read it only afterwards', async () => {
      const channel = await connection.exec(sh('echo late; echo too >&2'))
      channel.stdin.end()
      assert.equal((await channel.exited).code, 0)
      assert.equal((await collect(channel.stdout)).toString(), 'late\n')
      assert.equal((await collect(channel.stderr)).toString(), 'too\n')
    })

    test('a command that ends without reading its input breaks the pipe, nothing else', async () => {
      const channel = await connection.exec(sh('exit 3'))
      const writing = pipeline(async function* () {
        for (let count = 0; count < 400; count += 1) yield Buffer.alloc(65_536)
      }, channel.stdin)
      await assert.rejects(writing)
      assert.equal((await channel.exited).code, 3)
      assert.equal((await run(connection, 'echo still here')).out, 'still here\n')
    })

    test('a reader who gives up does not end the others', async () => {
      const channel = await connection.exec(sh('echo one; cat >/dev/null; echo two'))
      for await (const chunk of channel.stdout) {
        assert.equal(chunk.toString(), 'one\n')
        break
      }
      channel.stdin.end('more')
      await channel.exited
      assert.equal((await run(connection, 'echo still here')).out, 'still here\n')
    })

    for (const inputEnded of [false, true]) {
      // sshd sends no signal to a command of root ("session signalling requires privilege separation"): it only loses its pipes
      const reachesAll = name === 'local' || process.getuid?.() !== 0
      test(`kill() ends a command${inputEnded ? ' whose input has ended' : ''} and what it started`, async () => {
        const channel = await connection.exec(sh('sleep 30 & echo $!; wait'))
        if (inputEnded) channel.stdin.end()
        let pid = 0
        channel.stdout.on('data', (chunk: Buffer) => {
          pid = Number(chunk.toString())
        })
        assert.ok(await waitFor(() => pid > 0))
        channel.kill()
        channel.kill()
        assert.equal((await channel.exited).signal, 'SIGKILL')
        if (reachesAll) assert.ok(await waitFor(() => !alive(pid), 5000), 'its child lives')
        else if (alive(pid)) process.kill(pid, 'SIGKILL')
      })
    }

    test('several commands run side by side', async () => {
      const ended = await Promise.all([1, 2, 3, 4, 5].map((n) => run(connection, sh(`cat; exit ${n}`), `in ${n}`)))
      assert.deepEqual(
        ended.map(({ out, code }) => [out, code]),
        [1, 2, 3, 4, 5].map((n) => [`in ${n}`, n]),
      )
    })

    test('putFile() puts content and mode, in folders it makes', async () => {
      const bytes = randomBytes(5_000_001)
      const from = join(folder, 'from')
      writeFileSync(from, bytes)
      const to = join(folder, 'new/deeper/a name with spaces')
      const steps: number[] = []
      await connection.putFile(from, to, 0o750, (sent) => steps.push(sent))
      assert.equal(digest(readFileSync(to)), digest(bytes))
      assert.equal(statSync(to).mode & 0o7777, 0o750)
      assert.equal(steps.at(-1), bytes.length)
      assert.deepEqual(
        steps,
        steps.toSorted((a, b) => a - b),
      )
      assert.deepEqual(readdirSync(join(folder, 'new/deeper')), ['a name with spaces'], 'nothing temporary is left')
    })

    test('P-GW-06: putFile() replaces a file, whatever its length', async () => {
      const to = join(folder, 'again')
      for (const text of ['first and long', '', 'x', 'y'.repeat(65_536)]) {
        writeFileSync(join(folder, 'from'), text)
        await connection.putFile(join(folder, 'from'), to, 0o600)
        assert.equal(readFileSync(to, 'utf8'), text)
        assert.equal(statSync(to).mode & 0o7777, 0o600)
      }
    })

    test('putFile() says what it could not put, and leaves nothing behind', async () => {
      writeFileSync(join(folder, 'file'), 'x')
      const isOurs = (error: unknown): boolean => error instanceof HpcError && error.message.startsWith('Cannot put "')
      await assert.rejects(connection.putFile(join(folder, 'missing'), join(folder, 'out'), 0o600), isOurs)
      await assert.rejects(connection.putFile(join(folder, 'file'), join(folder, 'file/below'), 0o600), isOurs)
      await assert.rejects(connection.putFile(folder, join(folder, 'out'), 0o600), isOurs)
      assert.equal(existsSync(join(folder, 'out')), false)
      assert.deepEqual(
        readdirSync(folder).filter((entry) => entry.endsWith('.part')),
        [],
      )
    })

    test('close() ends everything, may be called twice, and further calls are refused', async () => {
      const own = await transport.connect()
      const channel = await own.exec('cat')
      await own.close()
      await own.close()
      await channel.exited.catch((error) => assert.ok(error instanceof HpcError && error.transient))
      await assert.rejects(own.exec('true'), { code: 'transient' })
      await assert.rejects(own.putFile(join(folder, 'file'), join(folder, 'out'), 0o600), { code: 'transient' })
    })
  })
}
