/**
 * What a job left behind, as size and SHA-256 of every file. Outputs are looked for in `output/`, then beside it; links, devices and
 * sockets are never taken: what a container writes is data of a stranger.
 */
import { join } from 'node:path'
import type { FileEntry, OutputEntry } from '../contract/spool-records.ts'
import { digestOf } from '../system/digest.ts'
import type { Files } from '../system/files.ts'
import { O_DIRECTORY, O_NOFOLLOW, O_NONBLOCK, O_RDONLY, type Os } from '../system/os.ts'

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

async function describeFile(os: Os, path: string, shown: string): Promise<FileEntry | undefined> {
  const opened = openRegular(os, path)
  if (opened === undefined) return undefined
  try {
    const { sha256, size } = await digestOf(os, opened.fd)
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
      if (stats === undefined) continue
      if (stats.isDirectory()) {
        folders.push({ path, mode: stats.mode & 0o777 })
        await walk(path)
        continue
      }
      const entry = stats.isFile() ? await describeFile(files.os, join(root, path), path) : undefined
      if (entry === undefined) left.push(path)
      else found.push(entry)
    }
  }
  await walk('')
  return { files: found, folders, left }
}

/** Where an output lies: `<work>/output/<name>` or `<work>/<name>`. */
export function outputPlaces(workDir: string, name: string): [string, string] {
  return [join(workDir, 'output', name), join(workDir, name)]
}

export async function findOutputs(
  files: Files,
  workDir: string,
  declared: Readonly<Record<string, { readonly name: string; readonly optional: boolean }>>,
): Promise<FoundOutputs> {
  const outputs: OutputEntry[] = []
  const missing: string[] = []
  const wrong: string[] = []
  const warnings: string[] = []
  for (const [key, { name, optional }] of Object.entries(declared)) {
    const places = outputPlaces(workDir, name).filter((path) => files.exists(path))
    const place = places[0]
    if (place === undefined) {
      if (!optional) missing.push(name)
      continue
    }
    if (places.length > 1) {
      wrong.push(`output "${name}" (output_map key "${key}") was written twice, in output/ and beside it`)
      continue
    }
    const stats = files.stat(place)
    if (stats?.isDirectory() === true) {
      const folder = await describeFolder(files, place)
      outputs.push({ key, name, kind: 'folder', files: folder.files, folders: folder.folders })
      for (const path of folder.left) {
        warnings.push(`"${path}" in output folder "${name}" is no regular file and was left out`)
      }
      continue
    }
    const entry = stats?.isFile() === true ? await describeFile(files.os, place, '') : undefined
    if (entry === undefined) {
      wrong.push(
        `output "${name}" (output_map key "${key}") is a link or special file; only regular files and folders are taken`,
      )
    } else outputs.push({ key, name, kind: 'file', files: [entry], folders: [] })
  }
  return { outputs, missing, wrong, warnings }
}
