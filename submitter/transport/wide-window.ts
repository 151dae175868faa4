/**
 * A channel's window is what the other side may send before we say that more is welcome. ssh2 keeps it at 2 MB and says so when half is
 * used, which is 50 MB/s at a round trip of 20 ms and 20 at 50. For a command that sends much it is kept wider over a distance, and no wider
 * than that: what does not go on the wire at once sshd holds, up to the window, in memory that it grows by 32 kB and copies each time (2 s of
 * its CPU until 16 MB are full, 0.1 until 4). What our reader does not take meanwhile is held here.
 */
import type { ClientChannel } from 'ssh2'

/** 200 MB/s. */
const bytesPerMs = 200_000
const mostBytes = 16 * 1024 * 1024
/** Most commands say less than this, and cost no packet more. */
const muchBytes = 512 * 1024

/** What ssh2 keeps to itself; where it keeps it differently, the window stays as it is. */
interface Inner {
  readonly incoming?: { window?: number }
  readonly outgoing?: { readonly id?: number; readonly state?: string }
  readonly _client?: { readonly _protocol?: { channelWindowAdjust?: (id: number, bytes: number) => void } }
}

export function widenWindow(ssh: ClientChannel, roundTripMs: number): void {
  const { incoming, outgoing, _client } = ssh as unknown as Inner
  const protocol = _client?._protocol
  if (typeof incoming?.window !== 'number' || typeof outgoing?.id !== 'number') return
  if (typeof protocol?.channelWindowAdjust !== 'function') return
  const wideBytes = Math.min(mostBytes, Math.round(roundTripMs * bytesPerMs))
  if (wideBytes <= incoming.window) return
  const { id } = outgoing
  let received = 0
  ssh.on('data', (chunk: Buffer) => {
    received += chunk.length
    const window = incoming.window ?? 0
    if (received < muchBytes || window > (wideBytes * 3) / 4 || outgoing.state !== 'open' || ssh.isPaused()) return
    incoming.window = wideBytes
    protocol.channelWindowAdjust?.(id, wideBytes - window)
  })
}
