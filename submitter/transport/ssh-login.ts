/** Who we say we are to one hop: its key file, then the agent's keys; and what to tell the person when none of them will do. */
import { readFileSync } from 'node:fs'
import type { AnyAuthMethod, AuthHandlerMiddleware, BaseAgent, IdentityCallback, ParsedKey } from 'ssh2'
import { HpcError, printable, quoted } from '../../contract/errors.ts'
import { fingerprintOf, shortKind } from './known-hosts.ts'
import { describeHop, type Hop, type Route } from './ssh-route.ts'

type Ssh2 = Pick<typeof import('ssh2'), 'OpenSSHAgent' | 'utils'>

export interface Login {
  readonly handler: AuthHandlerMiddleware
  /** Something went wrong with one of the means, but others may still do. */
  note(trouble: string): void
  /** The end: everything was tried. */
  refused(): HpcError
  /** A key has been offered, so that a disconnection now is about us. */
  readonly begun: boolean
}

/** For a look at the host key only: offers nothing. */
export const noLogin: Login = {
  handler: (_left, _partial, next) => (next as (method: unknown) => void)(false),
  note() {},
  refused: () => new HpcError('denied', 'Cannot log in: nothing was offered'),
  begun: false,
}

/** Throws `denied` when there is nothing to try, or the key named in the settings cannot be used. */
export function prepareLogin(hop: Hop, passphrase: Route['passphrase'], ssh2: Ssh2): Login {
  const where = describeHop(hop)
  const site = hop.hostKey.site
  const means: { readonly method: AnyAuthMethod; readonly label?: string }[] = []
  const notes: string[] = []
  const tried: string[] = []
  const own: Buffer[] = []
  const offeredByFile: Buffer[] = []
  const denied = (message: string, hint?: string): HpcError =>
    new HpcError('denied', `Cannot log in to ${where}: ${message}`, {
      concerns: { site },
      ...(hint === undefined ? {} : { hint }),
    })

  for (const { file, named } of hop.keyFiles) {
    const opened = openKey(file, passphrase, ssh2)
    const publicKey = opened.key?.getPublicSSH() ?? readPublicKey(`${file}.pub`, ssh2)
    if (publicKey !== undefined) own.push(publicKey)
    if (opened.key !== undefined) {
      const { key } = opened
      const label = `key ${quoted(file)} (${shortKind(key.type)} ${fingerprintOf(key.getPublicSSH())})`
      means.push({ method: { type: 'publickey', username: hop.user, key }, label })
      offeredByFile.push(key.getPublicSSH())
    } else if (named && (opened.fatal || hop.agent === undefined)) {
      throw denied(opened.trouble, opened.hint)
    } else if (named || !opened.missing) notes.push(opened.trouble)
  }
  if (hop.agent !== undefined) {
    means.push({ method: { type: 'agent', username: hop.user, agent: agentOf(hop.agent) } })
  }
  if (means.length === 0) {
    throw denied(
      [...notes, 'there is no key to try'].join('; '),
      `set key_file, or start an ssh-agent (looked for ${hop.keyFiles.map((key) => quoted(key.file)).join(', ')})`,
    )
  }

  /** Keys that belong to our files first, so that a full agent does not use up the server's MaxAuthTries. */
  function agentOf(socket: string): BaseAgent {
    class SortedAgent extends ssh2.OpenSSHAgent {
      override getIdentities(done: IdentityCallback<ParsedKey>): void {
        super.getIdentities((error, keys) => {
          if (error) {
            notes.push(`the agent at ${quoted(socket)} does not answer`)
            return done(error)
          }
          const among = (list: readonly Buffer[], key: ParsedKey): boolean =>
            list.some((each) => each.equals(key.getPublicSSH()))
          const all = ((keys ?? []) as readonly ParsedKey[]).filter((key) => !among(offeredByFile, key))
          const ours = all.filter((key) => among(own, key))
          const offered = hop.identitiesOnly ? ours : [...ours, ...all.filter((key) => !ours.includes(key))]
          const shown = offered.map((key) => `${shortKind(key.type)} ${fingerprintOf(key.getPublicSSH())}`)
          tried.push(
            shown.length === 0 ? 'the agent, which has no other key for it' : `the agent's ${shown.join(', ')}`,
          )
          done(undefined, offered)
        })
      }
    }
    return new SortedAgent(socket)
  }

  let begun = false
  let accepted: readonly string[] = []
  let halfWay = false
  const waiting = [...means]
  return {
    get begun() {
      return begun
    },
    handler: (left, partialSuccess, next) => {
      // both are null the first time; `false` says that there is nothing more
      if (Array.isArray(left)) accepted = left
      if (partialSuccess === true) halfWay = true
      const mean = accepted.length > 0 && !accepted.includes('publickey') ? undefined : waiting.shift()
      if (mean === undefined) {
        // the types know nothing of it, the documentation does
        ;(next as (method: unknown) => void)(false)
        return
      }
      begun = true
      if (mean.label !== undefined) tried.push(mean.label)
      next(mean.method)
    },
    note(trouble) {
      notes.push(printable(trouble))
    },
    refused() {
      const also = notes.length > 0 ? `; ${[...new Set(notes)].join('; ')}` : ''
      const methodsLeft = accepted.map(printable).join(', ')
      if (halfWay) {
        return denied(
          `the key was accepted, but the server also wants ${methodsLeft}${also}`,
          'a second factor cannot be typed into a gateway: ask the site for a key-only login, docs/ssh.md has the ways round',
        )
      }
      if (accepted.length > 0 && !accepted.includes('publickey')) {
        return denied(`the server accepts no keys, only ${methodsLeft}${also}`, 'docs/ssh.md has the ways round')
      }
      return denied(
        `the server refused ${tried.length > 0 ? tried.join(', then ') : 'what we have'}${methodsLeft === '' ? '' : ` (it accepts ${methodsLeft})`}${also}`,
        `check user and key_file, and that the public key is in ~/.ssh/authorized_keys of ${quoted(hop.user)} there`,
      )
    },
  }
}

type Opened =
  | { readonly key: ParsedKey }
  | {
      readonly key?: undefined
      readonly trouble: string
      readonly hint?: string
      readonly missing?: boolean
      /** Not to be passed over, even when there is an agent. */
      readonly fatal: boolean
    }

function openKey(file: string, passphrase: Route['passphrase'], ssh2: Ssh2): Opened {
  let text: Buffer
  try {
    text = readFileSync(file)
  } catch (error) {
    const missing = (error as NodeJS.ErrnoException).code === 'ENOENT'
    return {
      trouble: `key ${quoted(file)} cannot be read: ${missing ? 'there is no such file' : (error as Error).message}`,
      missing,
      fatal: true,
    }
  }
  const parsed = ssh2.utils.parseKey(text, passphrase?.text)
  const key = Array.isArray(parsed) ? parsed[0] : parsed
  if (key !== undefined && !(key instanceof Error)) {
    if (key.isPrivateKey()) return { key }
    return { trouble: `key ${quoted(file)} is a public key`, hint: 'name the private key, without .pub', fatal: true }
  }
  const reason = key?.message ?? 'it holds no key'
  if (/no passphrase given/i.test(reason)) {
    return {
      trouble: `key ${quoted(file)} is encrypted and no passphrase is set`,
      hint: 'set passphrase_file or passphrase_env, or load the key into an ssh-agent',
      fatal: false,
    }
  }
  if (passphrase !== undefined && /passphrase|decrypt|integrity/i.test(reason)) {
    return {
      trouble: `the ${passphrase.from} does not open key ${quoted(file)}`,
      hint: 'correct the passphrase',
      fatal: true,
    }
  }
  return {
    trouble: `key ${quoted(file)} cannot be used: ${printable(reason)}`,
    hint: 'docs/ssh.md says which kinds of keys can',
    fatal: true,
  }
}

function readPublicKey(file: string, ssh2: Ssh2): Buffer | undefined {
  try {
    const parsed = ssh2.utils.parseKey(readFileSync(file))
    const key = Array.isArray(parsed) ? parsed[0] : parsed
    return key === undefined || key instanceof Error ? undefined : key.getPublicSSH()
  } catch {
    return undefined
  }
}
