/** The workspace, before anything is done in it: is it there, is it ours, and which pass of this gateway is the newest. */
import { join } from 'node:path'
import type { Answer, Request } from '../contract/protocol.ts'
import { spoolFormat } from '../contract/spool.ts'
import type { ObserverTime, WorkspaceMarker } from '../contract/spool-records.ts'
import { isoTime } from '../system/clock.ts'
import { claimNumber, highestNumber, numbersIn } from '../system/numbered-file.ts'
import { errno, type Stats } from '../system/os.ts'
import type { Pass, Queuer } from './queuer.ts'

type Hello = Extract<Request, { type: 'hello' }>
type Refusal = Extract<Answer, { type: 'refused' }>

const silenceMs = 3_600_000

function refuse(why: string, hint: string, code: Refusal['code'] = 'site'): Refusal {
  return { type: 'refused', why, hint, code }
}

function followed(queuer: Queuer, path: string): Stats | undefined {
  try {
    return queuer.files.os.statSync(path)
  } catch (error) {
    if (errno(error) === 'ENOENT') return undefined
    throw error
  }
}

const writingMs = 10_000

/** A marker that is not whole was left by a crash of its writer: no uuid was ever told from it. Undefined while it may still be written. */
function replaceBrokenMarker(queuer: Queuer): WorkspaceMarker | undefined {
  const { files, spool } = queuer
  const stats = files.stat(spool.marker)
  const probe = join(spool.root, files.temporaryName())
  files.createExclusive(probe, '')
  const nowMs = files.stat(probe)?.mtimeMs ?? 0
  files.remove(probe)
  if (stats === undefined || nowMs - stats.mtimeMs < writingMs) return undefined
  files.publish(spool.marker, `${JSON.stringify({ uuid: queuer.uuid(), format: spoolFormat })}\n`)
  return files.readJson<WorkspaceMarker>(spool.marker)
}

/** The marker, created where the gateway knows of none; a refusal where it should be and is not. */
function ensureMarker(queuer: Queuer, hello: Hello): WorkspaceMarker | Refusal {
  const { files, spool } = queuer
  const link = files.stat(spool.root)
  // a link of the account's own is how scratch is often reached
  const root = link?.isSymbolicLink() === true && link.uid === queuer.uid ? followed(queuer, spool.root) : link
  if (root !== undefined && !root.isDirectory()) {
    return refuse(`the workspace ${spool.root} is no folder`, 'set hpc_env.workspace to a folder of its own', 'config')
  }
  if (root !== undefined && root.uid !== queuer.uid) {
    return refuse(
      `the workspace ${spool.root} belongs to uid ${root.uid}, not to uid ${queuer.uid} who logs in`,
      'set hpc_env.workspace to a folder of that account',
      'denied',
    )
  }
  const text = root === undefined ? undefined : files.readText(spool.marker)
  if (text === undefined) {
    if (hello.workspace !== null) {
      return refuse(
        `the workspace ${spool.root} has lost its marker .hpc-workspace: it is not mounted, or the site wiped it`,
        'see that it is mounted; if it was wiped, its jobs are given up when their expiry has run out',
      )
    }
    files.makeFolder(spool.root)
    files.os.chmodSync(spool.root, 0o700)
    const marker: WorkspaceMarker = { uuid: queuer.uuid(), format: spoolFormat }
    files.createExclusive(spool.marker, `${JSON.stringify(marker)}\n`)
    const written = files.readJson<WorkspaceMarker>(spool.marker)
    return written ?? refuse(`the marker of ${spool.root} cannot be read back`, 'look at the file system', 'transient')
  }
  const whole = files.readJson<WorkspaceMarker>(spool.marker)
  const marker = whole === undefined && hello.workspace === null ? replaceBrokenMarker(queuer) : whole
  if (marker === undefined || typeof marker.uuid !== 'string' || typeof marker.format !== 'number') {
    return refuse(
      `the marker ${spool.marker} is not whole`,
      'another gateway may be writing it; else remove it',
      'transient',
    )
  }
  if (marker.format > spoolFormat) {
    return refuse(
      `the workspace has format ${marker.format}, this version knows ${spoolFormat}`,
      'update hpc-batch on this gateway',
      'config',
    )
  }
  if (hello.workspace !== null && hello.workspace !== marker.uuid) {
    return refuse(
      `the workspace ${spool.root} is another one (${marker.uuid}) than this gateway's jobs were sent to (${hello.workspace})`,
      'set hpc_env.workspace back, or wait until those jobs have been given up',
      'config',
    )
  }
  if (root !== undefined && (root.mode & 0o077) !== 0) files.os.chmodSync(spool.root, 0o700)
  return marker
}

interface Served {
  readonly inode: string
  readonly host: string
  readonly at: ObserverTime
  readonly wallMs: number
}

/** A copied dropbox must not be served beside its original: the one that spoke last within the hour goes on. */
function refuseCopy(queuer: Queuer, hello: Hello): Refusal | undefined {
  const path = join(queuer.spool.gateway(hello.gateway), 'served.json')
  const last = queuer.files.readJson<Served>(path)
  const here = queuer.clock.uptime()
  // by its inode alone: a container has a new host name at each start, a folder that moved with its disk has kept its inode
  const same = last === undefined || last.inode === hello.dropbox.inode
  if (!same && !hello.takeOver) {
    const silentMs =
      last.at.bootId === here.bootId ? here.ms - last.at.ms : Math.max(0, queuer.clock.now() - last.wallMs)
    if (silentMs < silenceMs) {
      return refuse(
        `this dropbox is a copy of one served from ${last.host} less than an hour ago`,
        'stop the other gateway; then wait an hour, or run: hpc-submitter tick --takeover',
        'config',
      )
    }
  }
  const fresh = last === undefined || !same || last.at.bootId !== here.bootId || here.ms - last.at.ms > 60_000
  if (fresh) {
    const served: Served = { ...hello.dropbox, at: { bootId: here.bootId, ms: here.ms }, wallMs: queuer.clock.now() }
    queuer.files.publish(path, `${JSON.stringify(served)}\n`)
  }
  return undefined
}

/** Opens a pass: from here on its generation is the newest of its gateway, and older passes may change nothing any more. */
export function openPass(queuer: Queuer, hello: Hello): Pass | Refusal {
  const { files, spool } = queuer
  const marker = ensureMarker(queuer, hello)
  if ('type' in marker) return marker
  for (const dir of [spool.jobs, spool.controls, spool.stagings, spool.queues, spool.runnings, spool.trash]) {
    files.makeFolder(dir)
  }
  files.makeFolder(spool.done(hello.gateway))
  files.makeFolder(spool.passes(hello.gateway))
  const copy = hello.peek ? undefined : refuseCopy(queuer, hello)
  if (copy !== undefined) return copy
  const passes = spool.passes(hello.gateway)
  const pass = (generation: number): Pass => ({
    gateway: hello.gateway,
    nonce: hello.pass,
    generation,
    workspace: marker.uuid,
    observer: hello.observer,
    lanes: hello.lanes,
    allocationLimit: hello.allocationLimit,
    storeBytes: hello.storeBytes,
  })
  if (hello.peek) return pass(highestNumber(files, passes))
  const generation = highestNumber(files, passes) + 1
  const holder = { nonce: hello.pass, host: queuer.host, at: isoTime(queuer.clock.now()) }
  if (claimNumber(files, passes, generation, holder) === undefined) {
    return refuse('another pass of this gateway began at the same moment', 'the next pass goes on', 'transient')
  }
  for (const old of numbersIn(files.list(passes))) if (old < generation - 2) files.remove(join(passes, `${old}`))
  return pass(generation)
}

/** Read right before every change made for a gateway: a pass that was overtaken stops here. */
export function isNewestPass(queuer: Queuer, pass: Pass): boolean {
  return highestNumber(queuer.files, queuer.spool.passes(pass.gateway)) === pass.generation
}
