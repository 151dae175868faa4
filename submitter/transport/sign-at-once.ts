/**
 * ssh2 asks a server first whether it would take a key, and signs when it would: a round trip more. A key from a file is the gateway's own,
 * named for this site or the user's usual one, and signing costs next to nothing: it is offered signed at once, as the protocol allows. An
 * agent's keys are still asked about, since there may be many, and somebody to confirm each use.
 */
import type { Client, ParsedKey } from 'ssh2'

type OfferKey = (user: string, key: ParsedKey, algorithm?: string, sign?: unknown) => void

/** What ssh2 keeps to itself; where it keeps it differently, it asks first. */
interface Inner {
  readonly _protocol?: {
    authPK?: OfferKey
    readonly _handlers?: { readonly USERAUTH_PK_OK?: (protocol: unknown) => void }
  }
}

/** After `connect()`, before the first answer. */
export function signAtOnce(client: Client): void {
  const protocol = (client as unknown as Inner)._protocol
  const offer = protocol?.authPK
  const answered = protocol?._handlers?.USERAUTH_PK_OK
  if (protocol === undefined || typeof offer !== 'function' || typeof answered !== 'function') return
  protocol.authPK = (user, key, algorithm, sign) => {
    // as if the server had said that it would take it: what follows is ssh2's own
    if (sign === undefined && key.isPrivateKey()) answered(protocol)
    else offer.call(protocol, user, key, algorithm, sign)
  }
}
