/**
 * Delivering one job. All that can fail comes first: outputs verified and synced beside their destinations, rights and types of the finals
 * checked. Then `delivering` and the `job:` block are published in `.submitted` and noted in the log; from the first rename on it only
 * goes forward; the last rename makes it `.finished`.
 */
import { basename, join } from 'node:path'
import { HpcError, quoted } from '../contract/errors.ts'
import { spoolAt } from '../contract/spool.ts'
import type { HistoryEvent } from '../contract/spool-records.ts'
import { isoTime } from '../system/clock.ts'
import { O_DIRECTORY, O_NOFOLLOW, O_RDONLY } from '../system/os.ts'
import { publishSubmitted, renameToFinished } from './finish-unsent.ts'
import type { Gateway } from './gateway.ts'
import { removeGuarded } from './held-folder.ts'
import { type JobBlock, verdictOf } from './job-block.ts'
import { appendEvents, type JournalEntry } from './journal.ts'
import type { Lock } from './lock.ts'
import type { JobReceiver, Received } from './receive-job.ts'
import { destinationsOf, release } from './reservations.ts'
import type { HpcNode, Submitted } from './submitted-file.ts'

/** Delivers what `receiver` holds whole. Throws on local trouble: nothing was delivered then, or it is gone on with by another pass. */
export function deliver(gateway: Gateway, lock: Lock, submitted: Submitted, receiver: JobReceiver): JobBlock {
  const { files } = gateway
  const { hpc, original } = submitted
  const block = blockOf(gateway, submitted, receiver)
  receiver.syncFolders()
  for (const received of receiver.outputs) giveRights(gateway, hpc, received)
  publishSubmitted(
    gateway,
    lock,
    original,
    { ...hpc, delivery_began: isoTime(gateway.clock.now()), history: [] },
    block,
  )
  appendEvents(gateway, [{ event: 'delivering', id: hpc.id, name: hpc.name }], true)
  for (const { temporary, destination } of receiver.outputs) {
    lock.check()
    moveIntoPlace(gateway, hpc, temporary, destination)
  }
  for (const dir of new Set(receiver.outputs.map(({ folder }) => folder))) files.syncFolder(dir)
  receiver.letGo()
  renameToFinished(gateway, lock, hpc)
  release(gateway, hpc.id, destinationsOf(receiver.description))
  appendEvents(gateway, [{ event: 'delivered', id: hpc.id, name: hpc.name, note: block.status, ...ranAs(receiver) }])
  return block
}

/** The events up to the site; a delivery that is gone on with finds them in the block it wrote before. */
function historyBefore({ hpc, job }: Submitted): readonly HistoryEvent[] {
  if (hpc.history.length > 0) return hpc.history
  const events = (job as { history?: readonly HistoryEvent[] } | undefined)?.history ?? []
  return events.filter(({ state }) => state === 'submitted' || state === 'waiting' || state === 'ready')
}

function blockOf(gateway: Gateway, submitted: Submitted, receiver: JobReceiver): JobBlock {
  const { hpc } = submitted
  const { record, publishedAt } = receiver
  if (record === undefined) throw new Error('nothing was received')
  const { status, message } = verdictOf(record)
  const scripted = record.attempts.length
  const warnings = [...record.warnings, ...receiver.unheeded()]
  const history: HistoryEvent[] = [
    ...historyBefore(submitted),
    ...(publishedAt === undefined ? [] : [{ state: 'scheduled', at: publishedAt }]),
    ...record.attempts.map(({ start, node, runner, attempt, cause }) => ({
      state: 'running',
      at: start,
      note: `attempt ${attempt} on ${node} in ${runner}: ${cause}`,
    })),
    ...(record.end === null ? [] : [{ state: 'finishing', at: record.end }]),
    { state: record.state, at: isoTime(gateway.clock.now()), note: message },
  ]
  return {
    status,
    message,
    stdout: receiver.text('stdout'),
    stderr: receiver.text('stderr'),
    rc: record.rc,
    start: record.start,
    end: record.end,
    state: record.state,
    id: hpc.id,
    site: hpc.site ?? null,
    attempts: scripted,
    history,
    ...(warnings.length > 0 ? { warnings } : {}),
    ...(keepMsFor(gateway, status, receiver) > 0 ? { kept: keptAt(gateway, hpc) } : {}),
  }
}

/** For `report`: which allocation ran it, and what it waited for. */
function ranAs({ record, publishedAt }: JobReceiver): Pick<JournalEntry, 'ran'> {
  if (record === undefined || record.start === null || record.end === null || publishedAt === undefined) return {}
  const runMs = Math.max(0, Date.parse(record.end) - Date.parse(record.start))
  return { ran: { runner: record.runner, queued: publishedAt, start: record.start, runMs } }
}

/** What a job leaves at the site stays there a while when it failed, and when a stream was too long to come whole. */
export function keepMsFor(gateway: Gateway, status: 'ok' | 'error', receiver: JobReceiver): number {
  return status === 'error' || receiver.isCut() ? gateway.config.keepFailedMs : 0
}

function keptAt(gateway: Gateway, hpc: HpcNode): { path: string; until: string } {
  const until = new Date(gateway.clock.now() + gateway.config.keepFailedMs).toISOString().slice(0, 10)
  const workspace = gateway.config.sites[hpc.site ?? '']?.hpcEnv.workspace ?? ''
  return { path: join(spoolAt(workspace).kept, until, hpc.id), until }
}

/** The mode of the file that is replaced, else the configured one, else what the umask gives a new file; and its owner, where we may. */
function giveRights(gateway: Gateway, hpc: HpcNode, { output, temporary, destination, inside, inode }: Received): void {
  const { files, config } = gateway
  const { os } = files
  const there = files.stat(destination)
  const umask = process.umask()
  const give = (path: string, mode: number, flags: number) => {
    const fd = os.openSync(path, O_RDONLY | O_NOFOLLOW | flags)
    try {
      const { uid, nlink, ino } = os.fstatSync(fd)
      const swapped = flags === 0 && (nlink !== 1 || (path === temporary && ino !== inode))
      if (gateway.uid === 0 && (uid !== 0 || swapped))
        throw new HpcError(
          'transient',
          `${quoted(basename(destination))} was replaced by somebody while it was delivered`,
        )
      os.fchmodSync(fd, mode)
      if (gateway.uid === 0) os.fchownSync(fd, there?.uid ?? hpc.owner.uid, there?.gid ?? hpc.owner.gid)
    } finally {
      os.closeSync(fd)
    }
  }
  const fileMode = (mode: number) => config.fileMode ?? (0o666 | (mode & 0o111 ? 0o111 : 0)) & ~umask
  if (output.kind === 'file') {
    const mode = there?.isFile() === true ? there.mode & 0o777 : fileMode(output.files[0]?.mode ?? 0)
    give(temporary, mode, 0)
    return
  }
  for (const { path, mode } of output.files) give(join(inside, path), fileMode(mode), 0)
  const folderMode = config.dirMode ?? 0o777 & ~umask
  for (const { path } of [...output.folders].reverse()) give(join(inside, path), folderMode, O_DIRECTORY)
  give(temporary, there?.isDirectory() === true ? there.mode & 0o7777 : folderMode, O_DIRECTORY)
}

/** One rename. A folder cannot replace a full one, nor a file a folder: the old one steps aside first, and goes when the new one stands. */
function moveIntoPlace(gateway: Gateway, hpc: HpcNode, temporary: string, destination: string): void {
  const { files } = gateway
  if (!files.exists(temporary)) return
  const there = files.stat(destination)
  const aside = `${temporary}.old`
  if (there?.isDirectory() === true || (there !== undefined && files.stat(temporary)?.isDirectory() === true)) {
    removeGuarded(gateway, hpc.owner, aside)
    files.os.renameSync(destination, aside)
  }
  files.os.renameSync(temporary, destination)
  removeGuarded(gateway, hpc.owner, aside)
}
