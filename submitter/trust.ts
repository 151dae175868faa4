/** `hpc-submitter trust SITE`: shows a host's key to a person, and pins it once he has said yes. */
import { mkdir, open, readFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import { HpcError, quoted } from '../contract/errors.ts'
import { fingerprintOf, type HostKeyVerdict, keyKindOf, knownHostsLine } from './transport/known-hosts.ts'
import { lookAtHostKey } from './transport/ssh.ts'
import { describeHop, type Environment, resolveRoute, type SshSettings } from './transport/ssh-route.ts'

export interface PresentedHostKey {
  /** `ssh amp@hpc.example.edu:22`; a jump host on the way, as long as its key is not known. */
  readonly host: string
  /** `ssh-ed25519`, … */
  readonly algorithm: string
  /** base64 */
  readonly key: string
  readonly fingerprint: string
  readonly knownHostsLine: string
  /** Where to pin it. */
  readonly file: string
  /** `known`: nothing to do. `changed` and `revoked` must not be pinned on a mere yes. */
  readonly verdict: HostKeyVerdict['is']
  /** The lines that say otherwise: `"/home/amp/.ssh/known_hosts" line 3`. */
  readonly against: readonly { readonly file: string; readonly line: number; readonly fingerprint: string }[]
}

/**
 * Connects, looks at the key and leaves before any login. With jump hosts: the first unknown one on the way, so pin it and ask again
 * until `verdict` is `known`. Throws `transient` when the host cannot be reached.
 */
export async function fetchHostKey(
  settings: SshSettings,
  environment: Environment,
  site = 'SITE',
): Promise<PresentedHostKey> {
  const { hop, seen } = await lookAtHostKey(resolveRoute(settings, environment, site))
  const { verdict } = seen
  const against =
    verdict.is === 'changed' || verdict.is === 'other kind'
      ? verdict.known
      : verdict.is === 'revoked'
        ? [verdict.by]
        : []
  return {
    host: describeHop(hop),
    algorithm: keyKindOf(seen.key) ?? 'unknown',
    key: seen.key.toString('base64'),
    fingerprint: fingerprintOf(seen.key),
    knownHostsLine: knownHostsLine(hop.hostKey.name, seen.key),
    file: hop.hostKey.files[0] ?? '',
    verdict: verdict.is,
    against: against.map(({ file, line, key }) => ({ file, line, fingerprint: fingerprintOf(key) })),
  }
}

/**
 * Adds the line, once. Appended in one write, so that nobody else's line is lost (ssh itself adds lines, too), and kept where it is:
 * a known_hosts may be a link. A folder that has to be made (~/.ssh) gets mode 0700, the file 0600.
 */
export async function pinHostKey(file: string, line: string): Promise<void> {
  if (file === '' || /[\r\n]/.test(line)) throw new HpcError('bug', `Cannot pin ${quoted(line)} in ${quoted(file)}`)
  try {
    await mkdir(dirname(file), { recursive: true, mode: 0o700 })
    const before = await readFile(file, 'utf8').catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return ''
      throw error
    })
    if (before.split(/\r?\n/).includes(line)) return
    const handle = await open(file, 'a', 0o600)
    try {
      await handle.write(`${before === '' || before.endsWith('\n') ? '' : '\n'}${line}\n`)
      await handle.sync()
    } finally {
      await handle.close()
    }
  } catch (error) {
    throw new HpcError('denied', `Cannot pin the host key in ${quoted(file)}: ${(error as Error).message}`, {
      cause: error,
      concerns: { path: file },
    })
  }
}
