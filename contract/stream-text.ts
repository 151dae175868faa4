/** A job's stdout or stderr as text for its result: any bytes become text, and what was left out is said. */

import { renderBytes } from './units.ts'

/**
 * Invalid UTF-8 becomes U+FFFD. With `omittedBytes` left out between `head` and `tail` (or after `head`), one line of its own says so;
 * a character cut in two there is left out whole.
 */
export function streamText(head: Uint8Array, tail: Uint8Array | undefined, omittedBytes: number): string {
  if (omittedBytes <= 0) return decode(tail === undefined ? head : Buffer.concat([head, tail]))
  const kept = withoutBrokenEnd(head)
  const rest = tail === undefined ? new Uint8Array() : withoutBrokenStart(tail)
  const omitted = omittedBytes + (head.length - kept.length) + ((tail?.length ?? 0) - rest.length)
  const before = decode(kept)
  const gap = before === '' || before.endsWith('\n') ? '' : '\n'
  return `${before}${gap}[… ${renderBytes(omitted)} left out here (${omitted} bytes) …]\n${decode(rest)}`
}

function decode(bytes: Uint8Array): string {
  return new TextDecoder('utf-8', { ignoreBOM: true }).decode(bytes)
}

/** Without the first bytes of a character whose other bytes are not there. */
function withoutBrokenEnd(bytes: Uint8Array): Uint8Array {
  for (let back = 1; back <= 3 && back <= bytes.length; back++) {
    const byte = bytes[bytes.length - back] ?? 0
    if (byte < 0x80) break
    if (byte < 0xc0) continue
    const wanted = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : 2
    return wanted > back && byte < 0xf8 ? bytes.subarray(0, bytes.length - back) : bytes
  }
  return bytes
}

/** Without the last bytes of a character whose first byte is not there. */
function withoutBrokenStart(bytes: Uint8Array): Uint8Array {
  let skip = 0
  while (skip < 3 && skip < bytes.length && ((bytes[skip] ?? 0) & 0xc0) === 0x80) skip++
  return bytes.subarray(skip)
}
