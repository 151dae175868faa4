/** The dropbox: its names, its marker, and the job files in it as read through one descriptor. */
import { basename, join } from 'node:path'
import { HpcError, quoted } from '../contract/errors.ts'
import { isTemporary } from '../system/files.ts'
import { errno, O_NOFOLLOW, O_NONBLOCK, O_RDONLY, type Stats } from '../system/os.ts'
import { type Gateway, hpcFolder, statePaths } from './gateway.ts'

export const nameLimitBytes = 240
export const sizeLimitBytes = 1024 * 1024

export interface Names {
  /** Base names, without `.job`. */
  readonly jobs: string[]
  readonly submitted: Set<string>
  /** Of those of `jobs`: what else lies there unread may be as much as it wants. */
  readonly finished: Set<string>
  readonly cancel: Set<string>
  /** `.job` names too long to be served; left lying. */
  readonly tooLong: string[]
  /** Names that we give to what is not finished, whole. */
  readonly temporary: string[]
}

const endings = { submitted: '.job.submitted', finished: '.job.finished', cancel: '.job.cancel' } as const

export function isSubmitted(name: string): boolean {
  return name.endsWith(endings.submitted) && !name.startsWith('.')
}

/** Sorts names of files in a dropbox; `isThere` is asked of a result in the way of a job. */
export function sortNames(names: Iterable<string>, isThere: (name: string) => boolean): Names {
  const found: Names = {
    ...{ jobs: [], tooLong: [], temporary: [] },
    ...{ submitted: new Set(), finished: new Set(), cancel: new Set() },
  }
  let results = false
  for (const name of names) {
    if (name.startsWith('.')) {
      if (isTemporary(name)) found.temporary.push(name)
    } else if (name.endsWith('.job')) {
      const base = name.slice(0, -'.job'.length)
      if (Buffer.byteLength(name) > nameLimitBytes) found.tooLong.push(base)
      else found.jobs.push(base)
    } else if (name.endsWith(endings.submitted)) found.submitted.add(name.slice(0, -endings.submitted.length))
    else if (name.endsWith(endings.cancel)) found.cancel.add(name.slice(0, -endings.cancel.length))
    else results ||= name.endsWith(endings.finished)
  }
  if (results) for (const name of found.jobs) if (isThere(`${name}${endings.finished}`)) found.finished.add(name)
  return found
}

/** All names in the dropbox. */
export function listDropbox({ files, config }: Gateway): Names {
  return sortNames(files.names(config.dropbox), (name) => files.exists(join(config.dropbox, name)))
}

/** Base names of all results that lie there. */
export function listResults({ files, config }: Gateway): string[] {
  const names = [...files.names(config.dropbox)].filter((name) => name.endsWith(endings.finished) && name[0] !== '.')
  return names.map((name) => name.slice(0, -endings.finished.length))
}

/** What woke a pass between two that look at everything: base names of files that came or went, and whether a site has news. */
export interface Wake {
  readonly names: ReadonlySet<string>
  readonly news: boolean
}

/** The names a pass looks at: all that are listed, or, woken, those it was woken for, each looked up for itself. */
export function lookInto(gateway: Gateway, wake: Wake | undefined): Names {
  if (wake === undefined) return listDropbox(gateway)
  const paths = [...wake.names].flatMap((name) => Object.values(jobFile(gateway, name)))
  const there = new Set(paths.filter((path) => gateway.files.exists(path)).map((path) => basename(path)))
  return sortNames(there, (name) => there.has(name))
}

export function jobFile(
  gateway: Gateway,
  name: string,
): { job: string; submitted: string; finished: string; cancel: string } {
  const base = join(gateway.config.dropbox, name)
  return {
    job: `${base}.job`,
    submitted: `${base}.job.submitted`,
    finished: `${base}.job.finished`,
    cancel: `${base}.job.cancel`,
  }
}

/** What lies under a name of ours and is no file (a folder, a link) goes to a dot name, whole. */
export function moveAside(gateway: Gateway, path: string): string {
  const aside = join(gateway.config.dropbox, `.${gateway.uuid()}.aside`)
  gateway.files.os.renameSync(path, aside)
  gateway.log.warn(`${quoted(path)} is no regular file; it was moved aside to ${quoted(aside)}`)
  return basename(aside)
}

/** Takes a name of ours away, whatever lies there. */
export function clearName(gateway: Gateway, path: string): void {
  const found = gateway.files.stat(path)
  if (found === undefined) return
  if (found.isFile()) gateway.files.remove(path)
  else moveAside(gateway, path)
}

export interface ReadFile {
  readonly bytes: Buffer
  readonly stats: Stats
}

/** A regular file with one link, read through one descriptor, no link followed; a sentence when it is anything else. */
export function readRegular(
  gateway: Gateway,
  path: string,
  limit = sizeLimitBytes,
): ReadFile | { readonly fault: string } | undefined {
  const { files } = gateway
  let fd: number
  try {
    fd = files.os.openSync(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK)
  } catch (error) {
    const code = errno(error)
    if (code === 'ENOENT') return undefined
    if (code === 'ELOOP') return { fault: 'it is a symbolic link; drop the file itself' }
    if (code === 'EACCES' || code === 'EPERM')
      return { fault: 'the gateway may not read it; give it read permission (chmod a+r)' }
    if (code === 'ENXIO') return { fault: 'it is no regular file' }
    throw error
  }
  try {
    const stats = files.os.fstatSync(fd)
    if (!stats.isFile()) return { fault: 'it is no regular file' }
    if (stats.nlink !== 1) return { fault: 'it has more than one link; drop a file of its own' }
    if (stats.size > limit) return { fault: `it is ${stats.size} bytes long; a description has at most ${limit}` }
    const bytes = files.readAll(fd)
    return { bytes, stats }
  } finally {
    files.os.closeSync(fd)
  }
}

const abandonedMs = 3_600_000

/** Temporary names of ours that a pass left when it died between writing and renaming; a living pass needs its own for milliseconds. */
export function sweepTemporaries(gateway: Gateway, { temporary }: Names): void {
  const { files, clock, config } = gateway
  const state = statePaths(config.state)
  const paths = [
    ...temporary.map((name) => join(config.dropbox, name)),
    ...[hpcFolder(config.dropbox).dir, state.dir, state.sites].flatMap((dir) =>
      files.list(dir).map((name) => join(dir, name)),
    ),
  ]
  for (const path of paths) {
    if (!isTemporary(basename(path))) continue
    const found = files.stat(path)
    if (found !== undefined && found.uid === gateway.uid && clock.now() - found.mtimeMs > abandonedMs)
      files.removeTree(path)
  }
}

/**
 * The gateway that jobs in flight here belong to, found by its text: an idle pass must not load a YAML reader. hpc_batch's `.submitted`
 * files name none: they are nobody's but their owners'.
 */
function gatewayNamedIn({ files, config, uid }: Gateway): string | undefined {
  for (const name of files.list(config.dropbox)) {
    if (!name.endsWith(endings.submitted) || name.startsWith('.')) continue
    const path = join(config.dropbox, name)
    const stats = files.stat(path)
    // anybody's own text could keep a new gateway from beginning
    if (stats?.isFile() !== true || stats.uid !== uid || (stats.mode & 0o022) !== 0) continue
    const found = /^ *"?gateway"?: "([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})"/m.exec(files.readText(path) ?? '')
    if (found !== null) return found[1]
  }
  return undefined
}

/** The uuid of this gateway, from the dropbox's marker; made where neither the dropbox nor `state` knows of one. */
export function gatewayUuid(gateway: Gateway): string {
  const { files, config } = gateway
  const folder = hpcFolder(config.dropbox)
  const state = statePaths(config.state)
  const found = files.stat(config.dropbox)
  if (found === undefined || !found.isDirectory()) {
    throw new HpcError('config', `Cannot serve the dropbox ${quoted(config.dropbox)}: there is no such folder`, {
      hint: 'create it, or set dropbox: in the config',
      concerns: { path: config.dropbox },
    })
  }
  files.makeFolder(config.state)
  const known = files.readJson<Record<string, string>>(state.gateways) ?? {}
  const remembered = known[config.dropbox]
  const uuid = files.readText(folder.uuid)?.trim()
  if (uuid !== undefined && /^[0-9a-f-]{36}$/.test(uuid)) {
    if (remembered !== undefined && remembered !== uuid) {
      throw new HpcError(
        'config',
        `Cannot serve the dropbox ${quoted(config.dropbox)}: it is another folder than the one served before`,
        {
          hint: `see that the right one is mounted; if this is meant, remove its line from ${state.gateways}`,
        },
      )
    }
    if (remembered === undefined)
      files.publish(state.gateways, `${JSON.stringify({ ...known, [config.dropbox]: uuid })}\n`)
    return uuid
  }
  const served = remembered ?? gatewayNamedIn(gateway)
  if (served !== undefined) {
    throw new HpcError(
      'transient',
      `Cannot serve the dropbox ${quoted(config.dropbox)}: its marker .hpc/uuid is missing`,
      {
        hint: `it may not be mounted; if the folder is right, put back its marker: mkdir -p ${folder.dir} && echo ${served} > ${folder.uuid}`,
      },
    )
  }
  const made = makeMarker(gateway, folder)
  files.publish(state.gateways, `${JSON.stringify({ ...known, [config.dropbox]: made })}\n`)
  return made
}

/** The dot folder comes into being with its marker in it, by one rename; of several first passes at once, one makes it and all read it. */
function makeMarker(gateway: Gateway, folder: { readonly dir: string; readonly uuid: string }): string {
  const { files } = gateway
  const beside = join(gateway.config.dropbox, files.temporaryName())
  files.makeFolder(beside)
  try {
    files.createExclusive(join(beside, basename(folder.uuid)), `${gateway.uuid()}\n`)
    files.os.renameSync(beside, folder.dir)
    files.syncFolder(gateway.config.dropbox)
  } catch (error) {
    files.removeTree(beside)
    if (errno(error) !== 'ENOTEMPTY' && errno(error) !== 'EEXIST') throw error
    // a dot folder without a marker: nobody who makes one leaves it so, but somebody may have emptied it
    files.createExclusive(folder.uuid, `${gateway.uuid()}\n`)
  }
  const made = files.readText(folder.uuid)?.trim() ?? ''
  if (!/^[0-9a-f-]{36}$/.test(made)) {
    throw new HpcError('transient', `Cannot serve the dropbox: its marker ${folder.uuid} cannot be read back`, {
      hint: 'the next pass looks again',
    })
  }
  return made
}
