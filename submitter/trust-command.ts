/** `trust SITE`: shows the host key's fingerprint, asks, and pins it. */
import { createInterface } from 'node:readline/promises'
import { HpcError, printable } from '../contract/errors.ts'
import type { Site } from './config.ts'
import { sshSettings } from './make-gateway.ts'
import { fetchHostKey, type PresentedHostKey, pinHostKey } from './trust.ts'

const mostHops = 8

/** Pins the keys on the way, one by one, each after a yes (or when it is the fingerprint given). */
export async function trustCommand(site: Site, fingerprint: string | undefined): Promise<number> {
  if (site.transport.type !== 'ssh')
    throw new HpcError('usage', `Cannot pin a host key of site "${site.name}": it is not reached by ssh`)
  for (let hop = 0; hop < mostHops; hop++) {
    const seen = await fetchHostKey(sshSettings(site), process.env, site.name)
    process.stdout.write(`${printable(seen.host)}\n  ${seen.algorithm} ${seen.fingerprint}\n`)
    if (seen.verdict === 'known') {
      process.stdout.write(`  known, in ${seen.file}\n`)
      return 0
    }
    refuseChanged(seen)
    if (!(await confirmed(seen, fingerprint))) {
      process.stdout.write('  not pinned\n')
      return 77
    }
    await pinHostKey(seen.file, seen.knownHostsLine)
    process.stdout.write(`  pinned in ${seen.file}\n`)
  }
  return 0
}

function refuseChanged(seen: PresentedHostKey): void {
  if (seen.verdict !== 'changed' && seen.verdict !== 'revoked') return
  const lines = seen.against.map(({ file, line, fingerprint }) => `"${file}" line ${line} (${fingerprint})`).join(', ')
  throw new HpcError('denied', `Cannot trust ${seen.host}: its key is ${seen.verdict}; ${lines} says otherwise`, {
    hint: 'ask the site whether the key was really replaced; then remove that line and run trust again',
  })
}

async function confirmed(seen: PresentedHostKey, fingerprint: string | undefined): Promise<boolean> {
  if (fingerprint !== undefined) {
    if (fingerprint === seen.fingerprint) return true
    throw new HpcError('denied', `Cannot trust ${seen.host}: its key is ${seen.fingerprint}, not ${fingerprint}`)
  }
  if (!process.stdin.isTTY) {
    throw new HpcError('usage', 'Cannot ask: stdin is no terminal', {
      hint: `compare the fingerprint with the site's, then add: --fingerprint ${seen.fingerprint}`,
    })
  }
  const ask = createInterface({ input: process.stdin, output: process.stdout })
  try {
    const answer = await ask.question('  Is this the fingerprint the site publishes? [y/N] ')
    return /^y(es)?$/i.test(answer.trim())
  } finally {
    ask.close()
  }
}
