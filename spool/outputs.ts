/**
 * What a job left behind, as size and SHA-256 of every file. Outputs are looked for in `output/`, then beside it; links, devices and
 * sockets are never taken: what a container writes is data of a stranger.
 */

import { dirname, join } from 'node:path'
import { quoted } from '../contract/errors.ts'
import type { FileEntry, OutputEntry } from '../contract/spool-records.ts'
import { digestOf } from '../system/digest.ts'
import type { Files } from '../system/files.ts'
import { errno, O_DIRECTORY, O_NOFOLLOW, O_NONBLOCK, O_RDONLY, type Os } from '../system/os.ts'
import { isMachineTrouble } from '../system/trouble.ts'

export interface FoundOutputs {
  readonly outputs: OutputEntry[]
  /** Names of declared outputs that are not there. */
  readonly missing: string[]
  /** Sentences that make the result an error: an output that is no file, one found twice. */
  readonly wrong: string[]
  readonly warnings: string[]
}

/** Opens a regular file without following a link and without hanging on a fifo; undefined when it is anything else. */
export function openRegular(os: Os, path: string): { fd: number; size: number; mode: number } | undefined {
  const before = os.lstatSync(path)
  if (!before.isFile()) return undefined
  const fd = os.openSync(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK)
  const stats = os.fstatSync(fd)
  if (stats.isFile()) return { fd, size: stats.size, mode: stats.mode & 0o777 }
  os.closeSync(fd)
  return undefined
}

/** And makes it durable: the result that will tell of it is. */
async function describeFile(os: Os, path: string, shown: string): Promise<FileEntry | undefined> {
  const opened = openRegular(os, path)
  if (opened === undefined) return undefined
  try {
    const { sha256, size } = await digestOf(os, opened.fd)
    os.fsyncSync(opened.fd)
    return { path: shown, size, sha256, mode: opened.mode }
  } finally {
    os.closeSync(opened.fd)
  }
}

async function describeFolder(
  files: Files,
  root: string,
): Promise<{ files: FileEntry[]; folders: { path: string; mode: number }[]; left: string[] }> {
  const found: FileEntry[] = []
  const folders: { path: string; mode: number }[] = []
  const left: string[] = []
  const walk = async (relative: string): Promise<void> => {
    const dir = join(root, relative)
    files.os.closeSync(files.os.openSync(dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW))
    for (const name of files.list(dir).sort()) {
      const path = relative === '' ? name : `${relative}/${name}`
      const stats = files.stat(join(root, path))
      if (stats?.isDirectory() === true) {
        folders.push({ path, mode: stats.mode & 0o777 })
        await walk(path)
        continue
      }
      // nothing there: removed meanwhile, or a name that is no UTF-8 and so none we can say
      const entry = stats?.isFile() === true ? await describeFile(files.os, join(root, path), path) : undefined
      if (entry === undefined) left.push(path)
      else found.push(entry)
    }
    files.syncFolder(dir)
  }
  await walk('')
  return { files: found, folders, left }
}

/** Where an output lies: `<work>/output/<name>` or `<work>/<name>`. */
export function outputPlaces(workDir: string, name: string): [string, string] {
  return [join(workDir, 'output', name), join(workDir, name)]
}

function placeOf(files: Files, workDir: string, name: string): string {
  const [inside, beside] = outputPlaces(workDir, name)
  return files.exists(inside) ? inside : beside
}

/** Adds what is at an output's place, or the sentence that says what is wrong with it. */
async function takeOutput(
  files: Files,
  workDir: string,
  key: string,
  output: { readonly name: string; readonly optional: boolean },
  found: FoundOutputs,
): Promise<void> {
  const { name, optional } = output
  const shown = `output ${quoted(name)} (output_map key "${key}")`
  // an output/ that has become a link leads out of what the job's container could see
  const inside = files.stat(join(workDir, 'output'))?.isDirectory() === true
  const places = outputPlaces(workDir, name).slice(inside ? 0 : 1)
  const [place, other] = places.filter((path) => files.exists(path))
  if (place === undefined) {
    if (!optional) found.missing.push(name)
    return
  }
  if (other !== undefined) {
    found.wrong.push(`${shown} was written twice, in output/ and beside it`)
    return
  }
  const stats = files.stat(place)
  if (stats?.isDirectory() === true) {
    const folder = await describeFolder(files, place)
    found.outputs.push({ key, name, kind: 'folder', files: folder.files, folders: folder.folders })
    for (const path of folder.left) {
      found.warnings.push(`${quoted(path)} in output folder ${quoted(name)} is no regular file and was left out`)
    }
    return
  }
  const entry = stats?.isFile() === true ? await describeFile(files.os, place, '') : undefined
  if (entry === undefined) {
    found.wrong.push(`${shown} is a link or special file; only regular files and folders are taken`)
  } else found.outputs.push({ key, name, kind: 'file', files: [entry], folders: [] })
}

/** Never throws for what a job did to its own files (rights taken away, names too long): that is this job's trouble, and is said. */
export async function findOutputs(
  files: Files,
  workDir: string,
  declared: Readonly<Record<string, { readonly name: string; readonly optional: boolean }>>,
): Promise<FoundOutputs> {
  const found: FoundOutputs = { outputs: [], missing: [], wrong: [], warnings: [] }
  if (Object.keys(declared).length === 0) return found
  files.openRights(workDir)
  files.openRights(join(workDir, 'output'))
  for (const [key, output] of Object.entries(declared)) {
    try {
      await takeOutput(files, workDir, key, output, found)
    } catch (error) {
      const code = errno(error)
      if (code === undefined || isMachineTrouble(error)) throw error
      found.wrong.push(`output ${quoted(output.name)} (output_map key "${key}") cannot be read (${code})`)
    }
  }
  for (const dir of new Set(found.outputs.map(({ name }) => dirname(placeOf(files, workDir, name)))))
    files.syncFolder(dir)
  return found
}
