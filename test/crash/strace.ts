/** What the system saw of a run: changes of names, writes and syncs of each process under a root, as strace tells, by program. */
import { readFileSync } from 'node:fs'
import type { Kind } from './plan.ts'

const kindOf: Readonly<Record<string, Kind>> = {
  ...{ rename: 'rename', renameat: 'rename', renameat2: 'rename', unlink: 'unlink', unlinkat: 'unlink' },
  ...{ mkdir: 'mkdir', mkdirat: 'mkdir', rmdir: 'rmdir', symlink: 'symlink', symlinkat: 'symlink' },
  ...{ link: 'symlink', linkat: 'symlink', open: 'create', openat: 'create', creat: 'create' },
  ...{ chmod: 'chmod', fchmod: 'chmod', fchmodat: 'chmod', chown: 'chown', fchown: 'chown', fchownat: 'chown' },
  ...{ lchown: 'chown', utimensat: 'utimes', truncate: 'truncate', ftruncate: 'truncate' },
  ...{ write: 'write', pwrite64: 'write', writev: 'write', pwritev: 'write', fsync: 'sync', fdatasync: 'sync' },
  ...{ sendfile: 'copy', copy_file_range: 'copy' },
}
const processCalls = new Set(['clone', 'clone3', 'fork', 'vfork'])

/** The command before the program, and what it needs to be told. */
export function straced(output: string): readonly string[] {
  // not every machine has all of them: the question mark bears that
  const traced = [...Object.keys(kindOf), ...processCalls, 'execve'].map((name) => `?${name}`).join(',')
  return ['strace', '-f', '-y', '-qq', '-s', '200', '-o', output, '-e', `trace=${traced}`, '-e', 'signal=none']
}

export type Counts = Map<Kind, number>

/** Whole calls of the trace, with the thread that made them; one that was interrupted by another's line is put together again. */
function* linesOf(text: string): Generator<{ tid: number; call: string }> {
  const open = new Map<number, string>()
  for (const line of text.split('\n')) {
    const [, digits = '', rest = ''] = /^(\d+)\s+(.*)$/.exec(line) ?? []
    const tid = Number(digits)
    if (rest.endsWith('<unfinished ...>')) open.set(tid, rest.slice(0, -'<unfinished ...>'.length))
    else {
      const resumed = /^<\.\.\. \w+ resumed>(.*)$/.exec(rest)
      yield { tid, call: resumed === null ? rest : `${open.get(tid) ?? ''}${resumed[1]}` }
    }
  }
}

/** What a process did as one program: from its exec, or from the fork that began it, until the next exec. */
export interface Image {
  readonly pid: number
  /** The words of its exec, or of its parent's. */
  readonly command: string
  readonly counts: Counts
  /** It ended as that program. */
  readonly last: boolean
}

/** Changes under `root` by program; threads count for their process. `exec` counts the processes it started. */
export function countTrace(text: string, root: string): Image[] {
  const calls = [...linesOf(text)].flatMap(({ tid, call }) => {
    const [, name = '', args = '', result = ''] = /^(\w+)\((.*)\)\s+= (-?\d+)/.exec(call) ?? []
    return result === '' || Number(result) < 0 ? [] : [{ tid, name, args, result: Number(result) }]
  })
  // a thread or child may be heard of before the call that made it has returned
  const threads = new Map<number, number>()
  const parents = new Map<number, number>()
  for (const { tid, name, args, result } of calls) {
    if (processCalls.has(name)) (args.includes('CLONE_THREAD') ? threads : parents).set(result, tid)
  }
  const processOf = (tid: number): number => {
    const maker = threads.get(tid)
    return maker === undefined ? tid : processOf(maker)
  }
  const images: Omit<Image, 'last'>[] = []
  const now = new Map<number, Omit<Image, 'last'>>()
  const begin = (pid: number, command: string) => {
    const image = { pid, command, counts: new Map() }
    images.push(image)
    now.set(pid, image)
    return image
  }
  const imageOf = (pid: number): Omit<Image, 'last'> => {
    const known = now.get(pid)
    if (known !== undefined) return known
    const parent = parents.get(pid)
    return begin(pid, parent === undefined ? '' : imageOf(processOf(parent)).command)
  }
  for (const { tid, name, args } of calls) {
    const pid = processOf(tid)
    if (name === 'execve') {
      begin(pid, args)
      continue
    }
    const kind = kindOfCall(name, args, root)
    const { counts } = imageOf(pid)
    if (kind !== undefined) counts.set(kind, (counts.get(kind) ?? 0) + 1)
  }
  return images.map((image) => ({ ...image, last: now.get(image.pid) === image }))
}

/** Not counted: what a shell says by itself, into the exit file of a script that a signal ended. No cut in the launcher's text comes before it. */
const shellsWord = /, "(Terminated|Killed)\\n", \d+ *$/

function kindOfCall(name: string, args: string, root: string): Kind | undefined {
  if (processCalls.has(name)) return args.includes('CLONE_THREAD') ? undefined : 'exec'
  const kind = kindOf[name]
  if (kind === undefined || !concerns(kind, args, root) || shellsWord.test(args)) return undefined
  if (kind === 'create' && name !== 'creat' && !/O_CREAT|O_TRUNC/.test(args)) return undefined
  return name === 'unlinkat' && args.includes('AT_REMOVEDIR') ? 'rmdir' : kind
}

/** By path, or by the path of the descriptor that `-y` adds; never by what is written. */
function concerns(kind: Kind, args: string, root: string): boolean {
  const descriptor = /^\d+<([^>]*)>/.exec(args)?.[1]
  if (descriptor !== undefined || kind === 'write') return descriptor?.startsWith(root) === true
  return args.includes(`"${root}`)
}

export function readTrace(path: string, root: string): Image[] {
  return countTrace(readFileSync(path, 'utf8'), root)
}
