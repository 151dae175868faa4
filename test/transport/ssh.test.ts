import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { describeError, HpcError } from '../../contract/errors.ts'
import { type SshSettings, sshTransport } from '../../submitter/transport/ssh.ts'
import type { Connection } from '../../submitter/transport/transport.ts'
import { fetchHostKey, pinHostKey } from '../../submitter/trust.ts'
import { freePort, makeKey, noSshd, publicKeyOf, type Sshd, startSshd, waitFor } from '../support/sshd.ts'
import { collect, digest, run, transportSuite } from './transport.suite.ts'

if (noSshd !== false) {
  test('ssh transport', { skip: noSshd }, () => {})
} else {
  let shared: Sshd | undefined
  after(async () => {
    await shared?.stop()
  })
  const server = async (): Promise<Sshd> => {
    shared ??= await startSshd()
    return shared
  }

  transportSuite('ssh', async () => {
    const sshd = await server()
    return { transport: sshTransport(settingsFor(sshd), {}), stop: async () => {} }
  })
  transportSuite('ssh with its keys renewed every megabyte', async () => {
    const sshd = await startSshd({ config: ['RekeyLimit 1M', 'Ciphers aes128-ctr'] })
    return { transport: sshTransport(settingsFor(sshd), {}), stop: () => sshd.stop() }
  })

  test('P-GW-06: putFile() replaces a file where the server can neither rename onto one nor flush', async () => {
    const plain = await startSshd({ config: ['Subsystem sftp internal-sftp -P posix-rename,fsync'] })
    try {
      const connection = await sshTransport(settingsFor(plain), {}).connect()
      const from = join(plain.folder, 'from')
      for (const text of ['first', 'second']) {
        writeFileSync(from, text)
        await connection.putFile(from, join(plain.folder, 'new/to'), 0o700)
        assert.equal(readFileSync(join(plain.folder, 'new/to'), 'utf8'), text)
      }
      await connection.close()
    } finally {
      await plain.stop()
    }
  })

  test('exec() and putFile() say so when the server has no SFTP; commands go on', async () => {
    const without = await startSshd({ config: ['Subsystem other /bin/false'] })
    try {
      const connection = await sshTransport(settingsFor(without), {}).connect()
      const from = join(without.folder, 'from')
      writeFileSync(from, 'x')
      await assert.rejects(connection.putFile(from, join(without.folder, 'to'), 0o600), HpcError)
      assert.equal((await run(connection, 'echo in')).out, 'in\n')
      await connection.close()
    } finally {
      await without.stop()
    }
  })

  describe('host keys', () => {
    let sshd: Sshd
    let folder: string
    before(async () => {
      sshd = await server()
      folder = mkdtempSync(join(tmpdir(), 'hpc-hostkey-'))
    })
    after(() => rmSync(folder, { recursive: true, force: true }))
    const file = (...lines: string[]): string => {
      const path = join(folder, `kh.${randomBytes(4).toString('hex')}`)
      writeFileSync(path, lines.map((each) => `${each}\n`).join(''))
      return path
    }
    const here = (): string => `[127.0.0.1]:${sshd.port}`
    const accepts = async (more: Partial<SshSettings>): Promise<void> => {
      const connection = await sshTransport(settingsFor(sshd, more), {}).connect()
      assert.equal((await run(connection, 'echo in')).out, 'in\n')
      await connection.close()
    }
    const refusal = (more: Partial<SshSettings>): Promise<HpcError> => refusedBy(settingsFor(sshd, more))

    test('HB-15: a known key is accepted, plain, hashed, by pattern, without port, by alias', async () => {
      await accepts({ known_hosts: file(`${here()} ${sshd.hostKey('ed25519')}`) })
      await accepts({ known_hosts: file('# nothing', '', `[127.0.0.*]:*,!other ${sshd.hostKey('ed25519')}`) })
      await accepts({ known_hosts: file(`127.0.0.1 ${sshd.hostKey('ed25519')}`) })
      const hashed = file(`${here()} ${sshd.hostKey('ed25519')}`)
      execFileSync('ssh-keygen', ['-q', '-H', '-f', hashed], { stdio: 'ignore' })
      assert.match(readFileSync(hashed, 'utf8'), /^\|1\|/)
      await accepts({ known_hosts: hashed })
      const config = join(folder, 'alias.conf')
      writeFileSync(config, 'HostKeyAlias cluster\n')
      await accepts({ known_hosts: file(`cluster ${sshd.hostKey('rsa')}`), ssh_config: config })
    })

    test('P-GW-01: only ECDSA or only RSA is known while the server prefers ED25519: no false alarm', async () => {
      await accepts({ known_hosts: file(`${here()} ${sshd.hostKey('ecdsa')}`) })
      await accepts({ known_hosts: file(`${here()} ${sshd.hostKey('rsa')}`) })
    })

    test('HB-15 P-HB-02 P-GW-01: an unknown key ends the connection, before any login', async () => {
      const known_hosts = file(`@cert-authority * ${sshd.hostKey('ed25519')}`)
      const error = await refusal({ known_hosts })
      assert.equal(error.code, 'denied')
      assert.ok(error.message.includes(`"${here()}"`), error.message)
      assert.ok(error.message.includes(sshd.fingerprint('ed25519')), error.message)
      assert.ok(error.message.includes(`"${known_hosts}"`), error.message)
      assert.match(describeError(error), /host key.*run: hpc-submitter trust carbonate/)
      assert.equal((await refusal({ known_hosts: join(folder, 'missing') })).code, 'denied')
      assert.doesNotMatch(error.message, /CHANGED/)
    })

    test('HB-15: a changed key ends the connection with another, stern message', async () => {
      const other = publicKeyOf(makeKey(join(folder, 'other')))
      const known_hosts = file('# first', `${here()} ${other}`)
      const error = await refusal({ known_hosts })
      assert.equal(error.code, 'denied')
      assert.match(error.message, /HAS CHANGED/)
      assert.ok(error.message.includes(`"${known_hosts}" line 2`), error.message)
      assert.match(error.hint ?? '', /somebody may be listening in/)
    })

    test('HB-15: a key of another kind than the known one is neither accepted nor called changed', async () => {
      const single = await startSshd({ hostKeys: ['ed25519'] })
      try {
        const known_hosts = file(`[127.0.0.1]:${single.port} ${sshd.hostKey('ecdsa')}`)
        const error = await refusedBy(settingsFor(single, { known_hosts }))
        assert.equal(error.code, 'denied')
        assert.match(error.message, /another kind is known \(ECDSA/)
      } finally {
        await single.stop()
      }
    })

    test('HB-15: a revoked key ends the connection, listed or not', async () => {
      const key = sshd.hostKey('ed25519')
      const error = await refusal({ known_hosts: file(`${here()} ${key}`, `@revoked * ${key}`) })
      assert.equal(error.code, 'denied')
      assert.match(error.message, /revoked/)
      const pinned = await refusal({ known_hosts: file(`@revoked * ${key}`), host_key: sshd.fingerprint('ed25519') })
      assert.match(pinned.message, /revoked/)
    })

    test('HB-15: host_key pins one key, by fingerprint or whole, of whatever kind', async () => {
      const known_hosts = join(folder, 'none')
      for (const kind of ['ed25519', 'ecdsa', 'rsa'] as const) {
        await accepts({ known_hosts, host_key: sshd.fingerprint(kind) })
        await accepts({ known_hosts, host_key: sshd.hostKey(kind) })
      }
      const other = publicKeyOf(makeKey(join(folder, 'pinned')))
      for (const host_key of [other, `SHA256:${'A'.repeat(43)}`]) {
        // the server's own key being in known_hosts does not help it
        const error = await refusal({ known_hosts: sshd.knownHosts(), host_key })
        assert.equal(error.code, 'denied')
        assert.match(error.message, /NOT THE PINNED ONE/)
      }
      assert.equal((await refusal({ host_key: 'yes' })).code, 'config')
    })

    test('HB-15: trust fetches the key without logging in, pins it, and then it is known', async () => {
      const known_hosts = join(folder, 'fresh/.ssh/known_hosts')
      const settings = settingsFor(sshd, { known_hosts, key_file: join(folder, 'no such key') })
      const found = await fetchHostKey(settings, {}, 'carbonate')
      assert.equal(found.verdict, 'unknown')
      assert.equal(found.algorithm, 'ssh-ed25519')
      assert.equal(found.fingerprint, sshd.fingerprint('ed25519'))
      assert.equal(found.knownHostsLine, `${here()} ${sshd.hostKey('ed25519')}`)
      assert.equal(found.file, known_hosts)
      await pinHostKey(found.file, found.knownHostsLine)
      await pinHostKey(found.file, found.knownHostsLine)
      assert.equal(readFileSync(known_hosts, 'utf8'), `${found.knownHostsLine}\n`)
      assert.equal(statSync(join(folder, 'fresh/.ssh')).mode & 0o777, 0o700)
      assert.equal(statSync(known_hosts).mode & 0o777, 0o600)
      assert.equal((await fetchHostKey(settings, {})).verdict, 'known')
      await accepts({ known_hosts })

      const changed = file(`${here()} ${publicKeyOf(makeKey(join(folder, 'was')))}`)
      const now = await fetchHostKey({ ...settings, known_hosts: changed }, {})
      assert.equal(now.verdict, 'changed')
      assert.deepEqual(
        now.against.map(({ file, line }) => ({ file, line })),
        [{ file: changed, line: 1 }],
      )
      const noNewline = file()
      writeFileSync(noNewline, `a.edu ${sshd.hostKey('rsa')}`)
      await pinHostKey(noNewline, found.knownHostsLine)
      assert.equal(readFileSync(noNewline, 'utf8'), `a.edu ${sshd.hostKey('rsa')}\n${found.knownHostsLine}\n`)
    })
  })

  describe('login', () => {
    let sshd: Sshd
    let folder: string
    before(async () => {
      sshd = await server()
      folder = mkdtempSync(join(tmpdir(), 'hpc-login-'))
    })
    after(() => rmSync(folder, { recursive: true, force: true }))
    const secret = 'correct horse battery'

    test('HB-15: a key with a passphrase: right, from a file, from the environment, wrong, missing', async () => {
      const key_file = makeKey(join(folder, 'locked'), 'ed25519', secret)
      sshd.authorize(publicKeyOf(key_file))
      const passphrase_file = join(folder, 'passphrase')
      writeFileSync(passphrase_file, `${secret}\n`)
      for (const right of [{ passphrase: secret }, { passphrase_file }, { passphrase_env: 'HPC_PASSPHRASE' }]) {
        const connection = await sshTransport(settingsFor(sshd, { key_file, ...right }), {
          HPC_PASSPHRASE: secret,
        }).connect()
        await connection.close()
      }
      const wrong = await refusedBy(settingsFor(sshd, { key_file, passphrase: 'not the horse' }))
      assert.equal(wrong.code, 'denied')
      assert.match(wrong.message, /the passphrase does not open key ".*locked"/)
      const missing = await refusedBy(settingsFor(sshd, { key_file }))
      assert.equal(missing.code, 'denied')
      assert.match(missing.message, /encrypted and no passphrase is set/)
      for (const error of [wrong, missing]) assert.doesNotMatch(`${describeError(error)}${error.stack}`, /horse/)
    })

    test('HB-15: RSA and ECDSA keys, and an old PEM one, log in as well', async () => {
      const pem = makeKey(join(folder, 'pem'), 'rsa')
      execFileSync('ssh-keygen', ['-q', '-p', '-m', 'PEM', '-P', '', '-N', secret, '-f', pem], { stdio: 'ignore' })
      assert.match(readFileSync(pem, 'utf8'), /BEGIN RSA PRIVATE KEY/)
      for (const key_file of [makeKey(join(folder, 'r'), 'rsa'), makeKey(join(folder, 'e'), 'ecdsa'), pem]) {
        sshd.authorize(publicKeyOf(key_file))
        const connection = await sshTransport(settingsFor(sshd, { key_file, passphrase: secret }), {}).connect()
        await connection.close()
      }
      const wrong = await refusedBy(settingsFor(sshd, { key_file: pem, passphrase: 'not the horse' }))
      assert.equal(wrong.code, 'denied')
      assert.doesNotMatch(describeError(wrong), /horse/)
    })

    test('a refused key is denied, and the message names what was tried', async () => {
      const key_file = makeKey(join(folder, 'stranger'))
      const error = await refusedBy(settingsFor(sshd, { key_file }))
      assert.equal(error.code, 'denied')
      assert.ok(error.message.includes(`"${key_file}" (ED25519 SHA256:`), error.message)
      assert.match(error.message, /it accepts publickey/)
      const absent = await refusedBy(settingsFor(sshd, { key_file: join(folder, 'absent') }))
      assert.match(absent.message, /absent" cannot be read: there is no such file/)
      assert.equal(absent.code, 'denied')
      const publicOne = await refusedBy(settingsFor(sshd, { key_file: `${key_file}.pub` }))
      assert.match(publicOne.message, /is a public key/)
      writeFileSync(join(folder, 'garbage'), 'no key at all')
      assert.equal((await refusedBy(settingsFor(sshd, { key_file: join(folder, 'garbage') }))).code, 'denied')
      const none = await refusedBy(settingsFor(sshd, { key_file: undefined }), { HOME: folder })
      assert.match(none.message, /there is no key to try/)
    })

    test('a second factor is told from a refused key', async () => {
      const strict = await startSshd({
        config: ['PasswordAuthentication yes', 'AuthenticationMethods publickey,password'],
      })
      try {
        const error = await refusedBy(settingsFor(strict))
        assert.equal(error.code, 'denied')
        assert.match(error.message, /the key was accepted, but the server also wants password/)
      } finally {
        await strict.stop()
      }
    })

    test('HB-15: the agent logs in, for an encrypted key file too; without the key it is denied', async () => {
      const key = makeKey(join(folder, 'in-agent'))
      sshd.authorize(publicKeyOf(key))
      const socket = join(folder, 'agent.sock')
      const agent = spawn('ssh-agent', ['-D', '-a', socket], { stdio: 'ignore' })
      const gone = new Promise((resolve) => agent.once('exit', resolve))
      try {
        assert.ok(await waitFor(() => existsSync(socket)))
        const { key_file: _, ...rest } = settingsFor(sshd)
        const withAgent = { ...rest, agent: true }
        const empty = await refusedBy(withAgent, { SSH_AUTH_SOCK: socket, HOME: folder })
        assert.equal(empty.code, 'denied')
        assert.match(empty.message, /the agent, which has no other key/)
        // more keys than MaxAuthTries lets us offer: ours must be first
        for (let count = 0; count < 8; count += 1) {
          execFileSync('ssh-add', ['-q', makeKey(join(folder, `ballast${count}`))], {
            env: { SSH_AUTH_SOCK: socket },
            stdio: 'ignore',
          })
        }
        const tooMany = await refusedBy(withAgent, { SSH_AUTH_SOCK: socket, HOME: folder })
        assert.equal(tooMany.code, 'denied')
        execFileSync('ssh-add', ['-q', key], { env: { SSH_AUTH_SOCK: socket }, stdio: 'ignore' })
        execFileSync('ssh-keygen', ['-q', '-p', '-P', '', '-N', secret, '-f', key], { stdio: 'ignore' })
        for (const settings of [
          { ...withAgent, key_file: key },
          { ...withAgent, key_file: key, agent: socket },
        ]) {
          const connection = await sshTransport(settings, { SSH_AUTH_SOCK: socket, HOME: folder }).connect()
          assert.equal((await run(connection, 'echo in')).out, 'in\n')
          await connection.close()
        }
        // `agent: false` means it
        assert.equal(
          (await refusedBy({ ...rest, agent: false }, { SSH_AUTH_SOCK: socket, HOME: folder })).code,
          'denied',
        )
      } finally {
        agent.kill('SIGKILL')
        await gone
      }
      const dead = await refusedBy({ ...settingsFor(sshd), key_file: undefined, agent: socket }, { HOME: folder })
      assert.equal(dead.code, 'denied')
      assert.match(dead.message, /agent.*does not answer/)
    })
  })

  describe('ways', () => {
    let sshd: Sshd
    let folder: string
    before(async () => {
      sshd = await server()
      folder = mkdtempSync(join(tmpdir(), 'hpc-ways-'))
    })
    after(() => rmSync(folder, { recursive: true, force: true }))

    test('HB-15: a Host alias, ProxyJump through another sshd, both keys verified', async () => {
      const jump = await startSshd()
      try {
        const config = join(folder, 'config')
        const known = join(folder, 'kh')
        const write = (...lines: string[]): void => writeFileSync(known, `${lines.join('\n')}\n`)
        const targetLine = `[127.0.0.1]:${sshd.port} ${sshd.hostKey('ecdsa')}`
        const jumpLine = `gate ${jump.hostKey('ed25519')}`
        writeFileSync(
          config,
          `Host hpc
  HostName 127.0.0.1
  Port ${sshd.port}
  IdentityFile ${sshd.keyFile}
  ProxyJump gate
Host gate
  HostName 127.0.0.1
  Port ${jump.port}
  HostKeyAlias gate
  IdentityFile ${jump.keyFile}
Host *
  User ${sshd.user}
  UserKnownHostsFile ${known}
`,
        )
        const settings: SshSettings = { host: 'hpc', ssh_config: config, agent: false, connect_timeout: 5000 }
        write(targetLine, jumpLine)
        const connection = await sshTransport(settings, { HOME: folder }).connect()
        const bytes = randomBytes(3_000_000)
        const channel = await connection.exec('cat')
        channel.stdin.end(bytes)
        assert.equal(digest(await collect(channel.stdout)), digest(bytes))
        assert.ok(jump.sessions().length > 0, 'it went through the jump host')
        await connection.close()
        assert.ok(await waitFor(() => jump.sessions().length === 0), 'nothing is left on the jump host')

        write(targetLine)
        const unknownJump = await refusedBy(settings, { HOME: folder })
        assert.match(unknownJump.message, /Cannot trust "gate"/)
        assert.equal((await fetchHostKey(settings, { HOME: folder })).knownHostsLine, jumpLine)
        write(jumpLine)
        assert.match(
          (await refusedBy(settings, { HOME: folder })).message,
          new RegExp(`Cannot trust "\\[127.0.0.1\\]:${sshd.port}"`),
        )
        assert.match(
          (await fetchHostKey(settings, { HOME: folder })).knownHostsLine,
          new RegExp(`:${sshd.port} ssh-ed25519`),
        )
        write(targetLine, jumpLine)
        const nowhere = await refusedBy({ ...settings, port: await freePort() }, { HOME: folder }, 'transient')
        assert.match(nowhere.message, /jump host.*Connection refused/)

        // the jump host dies while a command runs
        const again = await sshTransport(settings, { HOME: folder }).connect()
        const running = await again.exec('cat')
        await jump.stop()
        await assert.rejects(running.exited, (error) => error instanceof HpcError && error.transient)
      } finally {
        await jump.stop()
      }
    })

    test('a ProxyCommand carries the connection', async () => {
      const config = join(folder, 'proxycommand')
      const relayed = `${process.execPath} -e 'const s=require("net").connect(%p,"%h");process.stdin.pipe(s).pipe(process.stdout)'`
      writeFileSync(config, `ProxyCommand ${relayed}\n`)
      const connection = await sshTransport(settingsFor(sshd, { ssh_config: config }), {}).connect()
      assert.equal((await run(connection, 'echo in')).out, 'in\n')
      await connection.close()
    })

    test('HB-32: refused, nameless, silent and hanging up are transient, each with its own words', async () => {
      const refused = await refusedBy(settingsFor(sshd, { port: await freePort() }), {}, 'transient')
      assert.match(refused.message, /connection refused/)
      assert.equal(refused.exitCode, 75)
      const nameless = await refusedBy(
        settingsFor(sshd, { host: 'no-such-host.invalid', connect_timeout: 5000 }),
        {},
        'transient',
      )
      assert.match(nameless.message, /there is no address|name service|no answer/)

      const listener = createServer()
      const sockets: Socket[] = []
      let greet = (_socket: Socket): void => {}
      listener.on('connection', (socket) => {
        sockets.push(socket)
        socket.on('error', () => {})
        greet(socket)
      })
      await new Promise<void>((resolve) => listener.listen(0, '127.0.0.1', resolve))
      const { port } = listener.address() as { port: number }
      const silent = await refusedBy(settingsFor(sshd, { port, connect_timeout: 300 }), {}, 'transient')
      assert.match(silent.message, /did not let us in within 0.3 s/)
      greet = (socket) => void socket.destroy()
      const rude = await refusedBy(settingsFor(sshd, { port }), {}, 'transient')
      assert.notEqual(rude.message, silent.message)
      greet = (socket) => void socket.end('HTTP/1.1 400 Bad Request\r\n\r\n')
      await refusedBy(settingsFor(sshd, { port }), {}, 'transient')
      for (const socket of sockets) socket.destroy()
      await new Promise((resolve) => listener.close(resolve))
    })
  })

  describe('trouble on the way', () => {
    let sshd: Sshd
    before(async () => {
      sshd = await startSshd({ config: ['MaxSessions 3'] })
    })
    after(() => sshd.stop())
    const open = (more: Partial<SshSettings> = {}): Promise<Connection> =>
      sshTransport(settingsFor(sshd, more), {}).connect()
    const isTransient = (pattern: RegExp) => (error: unknown) => {
      assert.ok(error instanceof HpcError, String(error))
      assert.equal(error.code, 'transient')
      assert.match(error.message, pattern)
      return true
    }

    test('a channel too many is transient, says MaxSessions, and the others go on', async () => {
      const connection = await open()
      const cats = await Promise.all([1, 2, 3].map(() => connection.exec('cat')))
      await assert.rejects(connection.exec('true'), (error) => {
        assert.match(describeError(error), /refused another channel.*3 of ours are open.*MaxSessions/)
        return isTransient(/./)(error)
      })
      cats[0]!.stdin.end('fine')
      assert.equal((await collect(cats[0]!.stdout)).toString(), 'fine')
      await cats[0]!.exited
      assert.equal((await run(connection, 'echo free')).out, 'free\n')
      await connection.close()
    })

    test('HB-32: a server killed in the middle of a command is transient, for all who wait', async () => {
      const connection = await open()
      const channel = await connection.exec('echo begun; cat')
      const waiting = await connection.exec('cat')
      await new Promise((resolve) => channel.stdout.once('data', resolve))
      const reading = collect(waiting.stdout)
      for (const pid of sshd.sessions()) process.kill(pid, 'SIGKILL')
      await assert.rejects(channel.exited, isTransient(/Lost the connection to ssh /))
      await assert.rejects(waiting.exited, isTransient(/Lost the connection/))
      await assert.rejects(reading, isTransient(/Lost the connection/), 'a cut stream does not look like a whole one')
      await assert.rejects(connection.broken, isTransient(/Lost the connection/))
      await assert.rejects(connection.exec('true'), isTransient(/Lost the connection/))
      await connection.close()
    })

    test('a broken connection nobody looks at bothers nobody', async () => {
      const connection = await open()
      await connection.exec('cat')
      for (const pid of sshd.sessions()) process.kill(pid, 'SIGKILL')
      await waitFor(() => sshd.sessions().length === 0)
      await sleep(50)
      await connection.close()
    })

    for (const keepalive of [200, 0]) {
      test(`a server that stands still is given up as stalled (keepalive ${keepalive} ms)`, async () => {
        const connection = await open({ stall: 600, keepalive })
        const channel = await connection.exec('cat > /dev/null')
        const folder = mkdtempSync(join(tmpdir(), 'hpc-stall-'))
        const frozen = sshd.sessions()
        try {
          writeFileSync(join(folder, 'big'), Buffer.alloc(40_000_000))
          const putting = connection.putFile(join(folder, 'big'), join(folder, 'there'), 0o600, () => {
            for (const pid of frozen) process.kill(pid, 'SIGSTOP')
          })
          const started = performance.now()
          await assert.rejects(putting, isTransient(/stalled: no byte came for 0.6 s|did not answer an SFTP request/))
          await assert.rejects(Promise.race([channel.exited, sleep(5000)]), isTransient(/stalled/))
          const took = performance.now() - started
          assert.ok(took < 3000, `it took ${took} ms`)
          await connection.close()
        } finally {
          for (const pid of frozen) process.kill(pid, 'SIGKILL')
          rmSync(folder, { recursive: true, force: true })
        }
      })

      test(`a command that is silent for longer than stall is left alone (keepalive ${keepalive} ms)`, async () => {
        const connection = await open({ stall: 300, keepalive })
        await sleep(700)
        assert.equal((await run(connection, 'sleep 1; echo well')).out, 'well\n')
        await connection.close()
      })
    }

    test('a server that stops while we log in is given up in time', async () => {
      const started = performance.now()
      const listenerPid = Number(readFileSync(join(sshd.folder, 'sshd.pid'), 'utf8'))
      process.kill(listenerPid, 'SIGSTOP')
      try {
        await refusedBy(settingsFor(sshd, { connect_timeout: 400 }), {}, 'transient')
      } finally {
        process.kill(listenerPid, 'SIGCONT')
      }
      assert.ok(performance.now() - started < 3000)
    })
  })
}

function settingsFor(sshd: Sshd, more: Partial<SshSettings> = {}): SshSettings {
  return {
    host: '127.0.0.1',
    port: sshd.port,
    user: sshd.user,
    key_file: sshd.keyFile,
    known_hosts: sshd.knownHosts(),
    ssh_config: false,
    agent: false,
    connect_timeout: 10_000,
    ...more,
  }
}

async function refusedBy(
  settings: SshSettings,
  environment: Record<string, string> = {},
  code?: string,
): Promise<HpcError> {
  try {
    const connection = await sshTransport(settings, environment, 'carbonate').connect()
    await connection.close()
  } catch (error) {
    assert.ok(error instanceof HpcError, String(error))
    if (code !== undefined) assert.equal(error.code, code, error.message)
    return error
  }
  assert.fail('it connected')
}
