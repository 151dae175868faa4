/** Whether ssh2's native part is there: without it the same ciphers run in plain Node, slower. */
import { createRequire } from 'node:module'

export function nativeCryptoLoaded(): boolean {
  try {
    const load = createRequire(import.meta.url)
    return (load('ssh2/lib/protocol/crypto.js') as { bindingAvailable?: boolean }).bindingAvailable === true
  } catch {
    return false
  }
}
