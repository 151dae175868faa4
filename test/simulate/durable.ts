/**
 * What a file system has on disk, and what is left of it when the power goes. Content is on disk after an fsync of the file, a name after
 * an fsync of its folder; else it may be there, half there, or as it was. What is old has gone to disk by itself. Two ways of a journal:
 * in order, where a sync of anything writes all names before it (ext4, XFS), and out of order, where only what is asked for and what that
 * needs is written (POSIX promises no more). A rename is one step in both.
 */

import type { Chance } from './kernel.ts'
import type { FileNode, FolderNode, Node } from './nodes.ts'

/** One change of names: from a place, to a place, or both. */
export interface Change {
  readonly from?: { readonly folder: FolderNode; readonly name: string }
  readonly to?: { readonly folder: FolderNode; readonly name: string; readonly node: Node }
  atMs?: number
}

export interface Volume {
  readonly dev: number
  /** The calendar by which it dates files. */
  readonly wallMs: () => number
  /** Simulated time. */
  readonly nowMs: () => number
  readonly ordered: boolean
  /** Changes of names that are not on disk. */
  pending: Change[]
  readonly isFull: () => boolean
}

/** So long after a change it has reached the disk by itself, as kernels do by default. */
export const writebackMs = 30_000

export function note(volume: Volume, change: Change): void {
  const nowMs = volume.nowMs()
  change.atMs = nowMs
  volume.pending.push(change)
  if (volume.pending.length > 64) writeBack(volume)
}

/** Where on disk a file or folder has its one name. */
const places = new WeakMap<Node, { readonly folder: FolderNode; readonly name: string }>()

function apply({ from, to }: Change): void {
  from?.folder.kept.delete(from.name)
  if (to === undefined) return
  // the last name that was written counts, also where an earlier rename was not
  const before = places.get(to.node)
  if (before !== undefined && before.folder.kept.get(before.name) === to.node) before.folder.kept.delete(before.name)
  to.folder.kept.set(to.name, to.node)
  places.set(to.node, to)
}

/** Before it is written anew: what has been dirty for so long is on disk. */
export function writeBackFile(node: FileNode): void {
  if (node.dirtyMs !== undefined && node.volume.nowMs() - node.dirtyMs >= writebackMs) settle(node)
}

function writeBack(volume: Volume): void {
  const { pending } = volume
  const old = volume.nowMs() - writebackMs
  let count = 0
  while (count < pending.length && (pending[count]?.atMs ?? 0) < old) count += 1
  if (count === 0) return
  for (const change of pending.splice(0, count)) apply(change)
}

export function syncFile(node: FileNode): void {
  if (node.dirtyMs !== undefined) settle(node)
}

/** All names in the folder, and those that lead to it. */
export function syncFolder(folder: FolderNode): void {
  const { volume } = folder
  const { pending } = volume
  if (pending.length === 0) return
  const chosen = new Set<Change>()
  // what is written, and by it what else must be: names it leads through, and earlier changes of the same names
  const folders = new Set<Node>([folder])
  const names = new Map<FolderNode, Set<string>>()
  const isNamed = (place: { readonly folder: FolderNode; readonly name: string } | undefined) =>
    place !== undefined && names.get(place.folder)?.has(place.name) === true
  const take = (place: { readonly folder: FolderNode; readonly name: string } | undefined) => {
    if (place === undefined) return
    const known = names.get(place.folder) ?? new Set()
    names.set(place.folder, known.add(place.name))
  }
  for (let i = pending.length - 1; i >= 0; i--) {
    const change = pending[i] as Change
    const { from, to } = change
    const inside = from?.folder === folder || to?.folder === folder
    const leads = to !== undefined && to.node.kind === 'folder' && folders.has(to.node)
    if (!inside && !leads && !isNamed(from) && !isNamed(to)) continue
    chosen.add(change)
    take(from)
    take(to)
    if (to !== undefined) folders.add(to.folder)
    if (volume.ordered) {
      for (const before of pending.slice(0, i)) chosen.add(before)
      break
    }
  }
  if (chosen.size === 0) return
  for (const change of pending) if (chosen.has(change)) apply(change)
  volume.pending = pending.filter((change) => !chosen.has(change))
}

/** The one machine that has it lost power: what is left is what was on disk, and some of the rest, in no order. */
export function losePower(volume: Volume, top: FolderNode, chance: Chance): void {
  writeBack(volume)
  const { pending } = volume
  const upTo = chance.between(0, pending.length)
  const kept = pending.filter((_, i) => (volume.ordered ? i < upTo : chance.happens(0.5)))
  goBackTo(volume, top, kept, (node) => loseContent(node, chance))
}

/** All that use and serve it lost power: it is as it was at some moment of late, but for what was synced since. */
export function losePowerInOrder(volume: Volume, top: FolderNode, chance: Chance): void {
  const cutMs = volume.nowMs() - chance.between(0, writebackMs)
  const kept = volume.pending.filter(({ atMs = 0 }) => atMs <= cutMs)
  goBackTo(volume, top, kept, (node) => loseSince(node, cutMs, chance))
}

function goBackTo(volume: Volume, top: FolderNode, kept: readonly Change[], lose: (node: FileNode) => void): void {
  for (const change of kept) apply(change)
  volume.pending = []
  const walk = (folder: FolderNode) => {
    folder.entries = new Map(folder.kept)
    for (const node of folder.entries.values()) {
      node.nlink = 1
      if (node.kind === 'folder') walk(node)
      else if (node.kind === 'file') lose(node)
    }
  }
  walk(top)
}

/** A machine that uses a shared file system went down: the server has all its names, and of content what it had sent, in order. */
export function loseCache(top: FolderNode, writer: string, chance: Chance): void {
  const cutMs = top.volume.nowMs() - chance.between(0, writebackMs)
  const walk = (folder: FolderNode) => {
    for (const node of folder.entries.values()) {
      if (node.kind === 'folder') walk(node)
      else if (node.kind === 'file' && node.writer === writer) loseSince(node, cutMs, chance)
    }
  }
  walk(top)
}

/** What was written since then and not synced is not there, or not whole. */
function loseSince(node: FileNode, cutMs: number, chance: Chance): void {
  if (node.dirtyMs === undefined) return
  if (node.writtenMs <= cutMs) settle(node)
  else loseContent(node, chance, true)
}

/** `inOrder`: what was written last is lost for certain, as something older may be. */
function loseContent(node: FileNode, chance: Chance, inOrder = false): void {
  if (node.dirtyMs === undefined) return
  if (node.volume.nowMs() - node.dirtyMs < writebackMs) {
    const how = chance.pick(inOrder ? (['old', 'part', 'zeros'] as const) : (['old', 'part', 'zeros', 'all'] as const))
    const most = inOrder ? Math.max(0, node.size - 1) : node.size
    const cut = how === 'all' ? node.size : chance.between(0, most)
    if (how === 'old') Object.assign(node, node.kept)
    else {
      const data = Buffer.alloc(how === 'part' ? cut : node.size)
      node.data.copy(data, 0, 0, cut)
      Object.assign(node, { data, size: data.length })
    }
  }
  settle(node)
}

function settle(node: FileNode): void {
  node.kept = { data: node.data, size: node.size }
  node.shared = true
  node.dirtyMs = undefined
}
