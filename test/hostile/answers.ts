/** What the other side may say: bytes that are no frames, results that name what nobody asked for, and queues that lie. */
import type { FileEntry, OutputEntry, ResultRecord } from '../../contract/spool-records.ts'
import { digest } from '../support/site.ts'

export const sent = Buffer.from('content')

const entry = (path: string, more: Partial<FileEntry> = {}): FileEntry => ({
  path,
  size: sent.length,
  sha256: digest(sent),
  mode: 0o644,
  ...more,
})
const file = (more: Partial<OutputEntry> = {}): OutputEntry => ({
  key: 'to',
  name: 'to',
  kind: 'file',
  files: [entry('')],
  folders: [],
  ...more,
})
const folder = (...paths: string[]) => file({ kind: 'folder', files: paths.map((path) => entry(path)) })

export interface Story {
  readonly outputs: readonly OutputEntry[]
  /** Pieces as `[file, offset, last, bytes]`; without them, every file of the result comes as one. */
  readonly pieces?: readonly (readonly [string, number, boolean, Uint8Array])[]
  readonly says: RegExp
}

/** A job asked for one output, `to`; this is what comes. None of it may be delivered. */
export const results: Readonly<Record<string, Story>> = {
  'an output nobody asked for': { outputs: [file({ key: 'other' })], says: /names an output "other"/ },
  'an output called __proto__': { outputs: [file({ key: '__proto__' })], says: /names an output "__proto__"/ },
  'an output twice': { outputs: [file(), file()], says: /EEXIST|twice/ },
  'a file above the folder': { outputs: [folder('../evil')], says: /outside of its folder/ },
  'a file far above the folder': { outputs: [folder('a/../../../../etc/evil')], says: /outside of its folder/ },
  'a file with an absolute path': { outputs: [folder('/etc/evil')], says: /outside of its folder/ },
  'a file that is the folder': { outputs: [folder('.')], says: /outside of its folder/ },
  'a file with a NUL': { outputs: [folder('a\0b')], says: /outside of its folder/ },
  'a file with an empty part': { outputs: [folder('a//b')], says: /outside of its folder/ },
  'a folder above the folder': {
    outputs: [file({ kind: 'folder', files: [], folders: [{ path: '../evil', mode: 0o777 }] })],
    says: /outside of its folder/,
  },
  'a file below a folder nobody named': { outputs: [folder('none/evil')], says: /ENOENT/ },
  'a file within a file': { outputs: [folder('a', 'a/b')], says: /ENOTDIR/ },
  'the same file twice': {
    outputs: [folder('a', 'a')],
    pieces: [
      ['to/a', 0, true, sent],
      ['to/a', 0, true, sent],
    ],
    says: /EEXIST/,
  },
  'a name too long': { outputs: [folder('x'.repeat(300))], says: /ENAMETOOLONG/ },
  'other content': {
    outputs: [file()],
    pieces: [['to/', 0, true, Buffer.from('CONTENT')]],
    says: /that are not the 7 bytes/,
  },
  'more content': {
    outputs: [file()],
    pieces: [['to/', 0, true, Buffer.from('content and more')]],
    says: /arrived as 16 bytes/,
  },
  'less content': { outputs: [file()], pieces: [['to/', 0, true, Buffer.from('con')]], says: /arrived as 3 bytes/ },
  'a piece with a gap': {
    outputs: [file()],
    pieces: [['to/', 1_000_000, true, sent]],
    says: /came at 1000000 instead of 0/,
  },
  'a piece before the beginning': {
    outputs: [file()],
    pieces: [['to/', -7, true, sent]],
    says: /came at -7 instead of 0/,
  },
  'a piece of a file nobody named': {
    outputs: [file()],
    pieces: [['to/../evil', 0, true, sent]],
    says: /did not arrive whole/,
  },
  'no piece at all': { outputs: [file()], pieces: [], says: /did not arrive whole/ },
  'a file larger than the disk': {
    outputs: [file({ files: [entry('', { size: 2 ** 60 })] })],
    says: /has too little space/,
  },
}

export function resultWith(outputs: readonly OutputEntry[]): ResultRecord {
  return {
    nonce: 'n',
    attempt: 1,
    state: 'done',
    rc: 0,
    start: '2026-01-01T00:00:00.000Z',
    end: '2026-01-01T00:00:01.000Z',
    runner: 'r',
    node: 'n',
    outputs,
    missing: [],
    stdoutBytes: 0,
    stderrBytes: 0,
    attempts: [],
    warnings: [],
  }
}

const lengths = (header: number, body: number) => {
  const bytes = Buffer.alloc(8)
  bytes.writeUInt32BE(header, 0)
  bytes.writeUInt32BE(body, 4)
  return bytes
}
const framed = (text: string) => Buffer.concat([lengths(Buffer.byteLength(text), 0), Buffer.from(text)])

/** Bytes on the channel that are no frame of ours. */
export const frames: Readonly<Record<string, readonly [Buffer, RegExp]>> = {
  'a header of four gigabytes': [lengths(0xffffffff, 0), /no frame of ours/],
  'a body of four gigabytes': [lengths(2, 0xffffffff), /no frame of ours/],
  'text of a login shell': [Buffer.from('Welcome to the cluster!\n'), /no frame of ours/],
  'a header that is no JSON': [framed('{'), /JSON/],
  'an empty header': [framed(''), /JSON/],
  'JSON of great depth': [framed('['.repeat(1_000_000)), /JSON|call stack/],
  'a page of HTML': [Buffer.from('<html><body>502 Bad Gateway</body></html>'), /no frame of ours/],
  zeros: [Buffer.alloc(64), /JSON/],
}

const E = '\x1e'
const F = '\x1f'
const header = ['JOBID', 'STATE', 'REASON', 'START_TIME', 'PARTITION', 'TIME_LIMIT', 'COMMAND', 'COMMENT'].join(F) + E

export interface Said {
  readonly code?: number | null
  readonly stdout: string
  readonly stderr?: string
  readonly timedOut?: boolean
}

/** What squeue may say that proves nothing: it is unknown, never "none". */
export const queues: Readonly<Record<string, Said>> = {
  nothing: { stdout: '' },
  'a line break': { stdout: '\n' },
  'no header': { stdout: `1${F}RUNNING${F}${F}${F}${F}${F}${F}${E}\n` },
  'half a header': { stdout: header.slice(0, 20) },
  'a header of other columns': { stdout: 'JOBID PARTITION NAME USER ST\n' },
  'a record cut short': { stdout: `${header}\n1${F}RUNNING${F}None` },
  'a record of too few fields': { stdout: `${header}\n1${F}RUNNING${E}\n` },
  'a record of too many fields': { stdout: `${header}\n${Array(12).fill('1').join(F)}${E}\n` },
  'the header and an error': {
    code: 1,
    stdout: `${header}\n`,
    stderr: 'slurm_load_jobs error: Unable to contact slurm controller',
  },
  'the header after a time-out': { code: null, stdout: `${header}\n`, timedOut: true },
  'an id that is an option': {
    stdout: `${header}\n--all${F}RUNNING${F}x${F}x${F}p${F}1:00${F}/x${F}hpc-batch/w/l/n${E}\n`,
  },
  'an id with shell in it': {
    stdout: `${header}\n1;id${F}RUNNING${F}x${F}x${F}p${F}1:00${F}/x${F}hpc-batch/w/l/n${E}\n`,
  },
  'a page of HTML': { stdout: '<html>502</html>' },
  bytes: { stdout: '\u0000\ufffd\u001b[2J' },
  'a banner': { stdout: '*** maintenance on Monday ***\n' },
  'a hundred megabytes in a line': { stdout: 'x'.repeat(100_000_000) },
  'a module that failed': { code: 127, stdout: '', stderr: 'squeue: command not found' },
}

/** What sbatch may say that does not prove that nothing was created: ambiguous. */
export const submissions: Readonly<Record<string, Said>> = {
  nothing: { stdout: '' },
  'a lost answer': { code: null, stdout: '', timedOut: true },
  'a socket that timed out': {
    code: 1,
    stdout: '',
    stderr: 'sbatch: error: Batch job submission failed: Socket timed out on send/recv operation',
  },
  'two ids': { stdout: '12\n13\n' },
  'an id and an error': { code: 1, stdout: '12\n' },
  'shell in the id': { stdout: '12;$(touch hurt)\n' },
  'a negative id': { stdout: '-1\n' },
  'an error nobody knows': { code: 1, stdout: '', stderr: 'sbatch: error: \u001b[31mbad moon rising' },
}
