/** The append-only log in `state`: what happened to which job. Written through before anything that must not be done twice. */

import { isoTime } from '../system/clock.ts'
import { O_APPEND, O_CREAT, O_WRONLY } from '../system/os.ts'
import { type Gateway, statePaths } from './gateway.ts'

export type JournalEvent =
  | 'accepted'
  | 'refused'
  | 'published'
  | 'delivering'
  | 'delivered'
  | 'aborted'
  | 'cancelled'
  | 'kept'

export interface JournalEntry {
  readonly event: JournalEvent
  readonly id: string
  readonly name: string
  readonly note?: string
  /** Of a delivered job whose script ran: by whom, how long it waited at the site for that and how long it ran. */
  readonly ran?: { readonly runner: string; readonly queued: string; readonly start: string; readonly runMs: number }
}

const rotateBytes = 16 * 1024 * 1024

export function appendEvents(gateway: Gateway, events: readonly JournalEntry[], durable = false): void {
  if (events.length === 0) return
  const { files, clock } = gateway
  const path = statePaths(gateway.config.state).log
  if ((files.stat(path)?.size ?? 0) > rotateBytes) files.os.renameSync(path, `${path}.1`)
  const at = isoTime(clock.now())
  const fd = files.os.openSync(path, O_WRONLY | O_APPEND | O_CREAT, 0o600)
  try {
    files.writeAll(fd, events.map((event) => `${JSON.stringify({ at, ...event })}\n`).join(''))
    if (durable) files.os.fsyncSync(fd)
  } finally {
    files.os.closeSync(fd)
  }
}

/** Whether the log says that a job's delivery had begun, which it says durably before the first rename. */
export function deliveryBegan(gateway: Gateway, id: string): boolean {
  const path = statePaths(gateway.config.state).log
  const needle = `"event":"delivering","id":"${id}"`
  return [path, `${path}.1`].some((one) => gateway.files.readText(one)?.includes(needle) === true)
}

/** All entries the log still holds, the oldest first; a line that a crash cut short is passed over. */
export function readJournal(gateway: Gateway): (JournalEntry & { readonly at: string })[] {
  const path = statePaths(gateway.config.state).log
  const lines = [`${path}.1`, path].flatMap((one) => (gateway.files.readText(one) ?? '').split('\n'))
  return lines.flatMap((line) => {
    try {
      return line === '' ? [] : [JSON.parse(line) as JournalEntry & { at: string }]
    } catch {
      return []
    }
  })
}
