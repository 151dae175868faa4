/** How the gateway reaches a site: a connection that starts commands there and puts single files there. Everything else the queuer does. */
import type { Readable, Writable } from 'node:stream'

export interface Channel {
  readonly stdin: Writable
  readonly stdout: Readable
  readonly stderr: Readable
  /** Settles when the command ended and its streams are through (a socket: never); rejects with a transient HpcError when the connection broke. */
  readonly exited: Promise<{ readonly code: number | null; readonly signal: string | null }>
  /** From here on, who reads stdout copies what he keeps of it: its memory is used again when he has returned. */
  borrow?(): void
  /** Ends it now, without waiting. */
  kill(): void
}

export interface Connection {
  /** Starts `commandLine` (one line, valid in any login shell: a POSIX `/bin/sh -c '…'`). */
  exec(commandLine: string): Promise<Channel>
  /** How far it is, about; 0 where that is not known. */
  readonly roundTripMs: number
  /** Leads to a Unix socket there, as one of the same account would connect to it; where the transport can. */
  openSocket?(path: string): Promise<Channel>
  /** Puts a local file there: beside, then renamed, so that it is never seen half-written. `mode` as 0o700. */
  putFile(localPath: string, remotePath: string, mode: number, onBytes?: (sent: number) => void): Promise<void>
  /** Rejects when the connection broke; never resolves. For racing with anything awaited. */
  readonly broken: Promise<never>
  close(): Promise<void>
}

export interface Transport {
  /** For messages: `local`, `ssh amp@hpc.example.edu:22`. */
  readonly description: string
  /** Throws HpcError: `denied` (host key or authentication: nothing a retry can mend), else `transient`. */
  /** `begun` is called when all that can be done here at once is done, and the other side is waited for. */
  connect(begun?: () => void): Promise<Connection>
}
