/** A real sshd on loopback, of this test alone: its own folder, keys and port, stopped by its process ids. Root or not, it does not matter. */
import { execFileSync, spawn, spawnSync } from 'node:child_process'
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir, userInfo } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

const program = ['/usr/sbin/sshd', '/usr/local/sbin/sshd', '/usr/bin/sshd'].find((path) => existsSync(path))

/** Why tests that need an sshd cannot run here; false when they can. On a machine that must not skip anything, they run, and fail. */
export const noSshd: string | false =
  program === undefined && process.env.CI_NO_SKIP === undefined ? 'no sshd here: install openssh-server' : false

export type KeyKind = 'ed25519' | 'ecdsa' | 'rsa'

export interface Sshd {
  readonly folder: string
  readonly port: number
  readonly user: string
  /** A private key that may log in. */
  readonly keyFile: string
  /** A known_hosts file with this server in it, for keys of these kinds (default: all it has). */
  knownHosts(kinds?: readonly KeyKind[]): string
  /** `ssh-ed25519 AAAA…` of the server's own key. */
  hostKey(kind: KeyKind): string
  fingerprint(kind: KeyKind): string
  /** Lets another public key in. */
  authorize(publicKeyLine: string): void
  /** The processes that serve connections (not the listener), the newest last. */
  sessions(): number[]
  log(): string
  stop(): Promise<void>
}

export interface SshdOptions {
  readonly hostKeys?: readonly KeyKind[]
  /** Further lines of sshd_config; before the usual ones, so that they win. */
  readonly config?: readonly string[]
  /** Where it listens; loopback when not given. */
  readonly address?: string
  /** Words before its own, for instance to start it in another network namespace. */
  readonly within?: (argv: readonly string[]) => [string, ...string[]]
}

/** Makes a key pair, `file` and `file.pub`. */
export function makeKey(file: string, kind: KeyKind = 'ed25519', passphrase = ''): string {
  const bits = { ed25519: [], ecdsa: ['-b', '256'], rsa: ['-b', '2048'] }[kind]
  execFileSync('ssh-keygen', ['-q', '-t', kind, ...bits, '-N', passphrase, '-C', 'test', '-f', file])
  return file
}

export function publicKeyOf(file: string): string {
  return readFileSync(`${file}.pub`, 'utf8').trim().split(' ').slice(0, 2).join(' ')
}

export async function startSshd(options: SshdOptions = {}): Promise<Sshd> {
  if (program === undefined) throw new Error('There is no sshd here, and CI_NO_SKIP is set: install openssh-server')
  const folder = mkdtempSync(join(tmpdir(), 'hpc-sshd-'))
  chmodSync(folder, 0o755)
  const kinds = options.hostKeys ?? ['ed25519', 'ecdsa', 'rsa']
  const address = options.address ?? '127.0.0.1'
  for (const kind of kinds) makeKey(join(folder, `host_${kind}`), kind)
  const keyFile = makeKey(join(folder, 'id_test'))
  const authorized = join(folder, 'authorized_keys')
  writeFileSync(authorized, `${publicKeyOf(keyFile)}\n`)
  // the privilege separation folder of a root sshd, which systemd would have made
  if (process.getuid?.() === 0) mkdirSync('/run/sshd', { recursive: true, mode: 0o755 })

  for (let attempt = 1; ; attempt += 1) {
    const port = await freePort()
    const config = join(folder, 'sshd_config')
    writeFileSync(
      config,
      [
        ...(options.config ?? []),
        `ListenAddress ${address}:${port}`,
        ...kinds.map((kind) => `HostKey ${join(folder, `host_${kind}`)}`),
        `AuthorizedKeysFile ${authorized}`,
        `PidFile ${join(folder, 'sshd.pid')}`,
        'StrictModes no',
        'UsePAM no',
        'PasswordAuthentication no',
        'KbdInteractiveAuthentication no',
        'PermitRootLogin yes',
        'PrintMotd no',
        'MaxStartups 100',
        'LogLevel VERBOSE',
        ...(options.config?.some((line) => line.startsWith('Subsystem')) ? [] : ['Subsystem sftp internal-sftp']),
        '',
      ].join('\n'),
    )
    const log = join(folder, 'sshd.log')
    const argv: [string, ...string[]] = [program, '-D', '-f', config, '-E', log]
    const [first, ...rest] = options.within?.(argv) ?? argv
    const child = spawn(first, rest, { stdio: 'ignore' })
    const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()))
    const readLog = (): string => (existsSync(log) ? readFileSync(log, 'utf8') : '')
    const up = await waitFor(() => child.exitCode !== null || readLog().includes('Server listening'))
    if (!up || child.exitCode !== null) {
      child.kill('SIGKILL')
      if (attempt < 3) continue
      throw new Error(`sshd did not start: ${readLog()}`)
    }
    return {
      folder,
      port,
      user: userInfo().username,
      keyFile,
      knownHosts(wanted = kinds) {
        const file = join(folder, `known_hosts.${wanted.join('.')}`)
        const lines = wanted.map((kind) => `[${address}]:${port} ${publicKeyOf(join(folder, `host_${kind}`))}`)
        writeFileSync(file, `${lines.join('\n')}\n`)
        return file
      },
      hostKey: (kind) => publicKeyOf(join(folder, `host_${kind}`)),
      fingerprint: (kind) =>
        execFileSync('ssh-keygen', ['-lf', join(folder, `host_${kind}.pub`)], { encoding: 'utf8' }).split(' ')[1] ?? '',
      authorize: (line) => writeFileSync(authorized, `${line}\n`, { flag: 'a' }),
      sessions: () =>
        descendants(child.pid ?? -1)
          .filter(({ name }) => name.startsWith('sshd'))
          .map(({ pid }) => pid),
      log: readLog,
      async stop() {
        // those that a test stopped would not die of TERM
        for (const { pid } of descendants(child.pid ?? -1)) kill(pid)
        kill(child.pid ?? -1)
        await ended
        rmSync(folder, { recursive: true, force: true })
      },
    }
  }
}

function kill(pid: number): void {
  if (pid <= 1) return
  try {
    process.kill(pid, 'SIGKILL')
  } catch {
    // gone already
  }
}

interface Process {
  readonly pid: number
  readonly parent: number
  readonly name: string
}

/** All processes below `root`, the oldest first. */
function descendants(root: number): Process[] {
  const rows = spawnSync('ps', ['-eo', 'pid=,ppid=,comm='], { encoding: 'utf8' }).stdout.split('\n')
  const processes = rows.map((row): Process => {
    const [pid, parent, name] = row.trim().split(/\s+/)
    return { pid: Number(pid), parent: Number(parent), name: name ?? '' }
  })
  const found: Process[] = []
  for (let next = [root]; next.length > 0; ) {
    const children = processes.filter(({ parent }) => next.includes(parent))
    found.push(...children)
    next = children.map(({ pid }) => pid)
  }
  return found.sort((a, b) => a.pid - b.pid)
}

export async function waitFor(condition: () => boolean, ms = 10_000): Promise<boolean> {
  const until = performance.now() + ms
  while (!condition()) {
    if (performance.now() > until) return false
    await sleep(20)
  }
  return true
}

export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer()
    server.once('error', reject)
    server.listen(0, '127.0.0.1', () => {
      const address = server.address()
      server.close(() =>
        typeof address === 'object' && address !== null ? resolve(address.port) : reject(new Error('no port')),
      )
    })
  })
}
