/** What lies on a simulated file system, and how `node:fs` tells of it. */
import type { Volume } from './durable.ts'

export interface Common {
  readonly ino: number
  readonly volume: Volume
  mode: number
  readonly uid: number
  atimeMs: number
  mtimeMs: number
  ctimeMs: number
  nlink: number
}
export interface FileNode extends Common {
  readonly kind: 'file'
  data: Buffer
  size: number
  /** What is on disk; `data` may be the same bytes, and is copied then before it is changed. */
  kept: { readonly data: Buffer; readonly size: number }
  shared: boolean
  /** Since when (simulated time) it holds what is not on disk, and which machine has that in memory. */
  dirtyMs: number | undefined
  writtenMs: number
  writer: string
}
export interface FolderNode extends Common {
  readonly kind: 'folder'
  entries: Map<string, Node>
  /** Its names on disk. */
  kept: Map<string, Node>
}
export interface LinkNode extends Common {
  readonly kind: 'link'
  readonly target: string
}
export type Node = FileNode | FolderNode | LinkNode

const typeBits = { file: 0o100000, folder: 0o040000, link: 0o120000 } as const
/** As `node:fs` tells of a file. */
export class SimulatedStats {
  readonly #node: Node
  readonly dev: number
  readonly ino: number
  readonly mode: number
  readonly nlink: number
  readonly uid: number
  readonly gid: number
  readonly size: number
  readonly mtimeMs: number
  readonly ctimeMs: number

  constructor(node: Node) {
    this.#node = node
    this.dev = node.volume.dev
    this.ino = node.ino
    this.mode = node.mode | typeBits[node.kind]
    this.nlink = node.nlink
    this.uid = node.uid
    this.gid = node.uid
    this.size = node.kind === 'file' ? node.size : node.kind === 'folder' ? 4096 : node.target.length
    this.mtimeMs = node.mtimeMs
    this.ctimeMs = node.ctimeMs
  }

  get atimeMs(): number {
    return this.#node.atimeMs
  }
  get mtime(): Date {
    return new Date(this.mtimeMs)
  }
  isFile(): boolean {
    return this.#node.kind === 'file'
  }
  isDirectory(): boolean {
    return this.#node.kind === 'folder'
  }
  isSymbolicLink(): boolean {
    return this.#node.kind === 'link'
  }
  isFIFO(): boolean {
    return false
  }
  isSocket(): boolean {
    return false
  }
  isBlockDevice(): boolean {
    return false
  }
  isCharacterDevice(): boolean {
    return false
  }
}
