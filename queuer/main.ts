/** hpc_queuer: answers one submitter on stdin and stdout. The only file here that reads argv and builds the real world. */
import { randomUUID } from 'node:crypto'
import { hostname } from 'node:os'
import { dirname, join } from 'node:path'
import { describeError } from '../contract/errors.ts'
import { needMark } from '../contract/protocol.ts'
import { spoolAt } from '../contract/spool.ts'
import { realClock } from '../system/clock.ts'
import { sha256 } from '../system/digest.ts'
import { digestInThread } from '../system/digest-thread.ts'
import { Files } from '../system/files.ts'
import { lineLog } from '../system/logger.ts'
import { realOs } from '../system/os.ts'
import { runCommand } from '../system/process.ts'
import { serve } from './serve.ts'

const usage = `hpc_queuer: the HPC-side half of hpc-submitter, started by it; it speaks a framed protocol on stdin and stdout.
usage: hpc_queuer --workspace FOLDER [--digest SHA256] [--runner-digest SHA256] [--debug]`

function option(name: string): string | undefined {
  const at = process.argv.indexOf(`--${name}`)
  return at < 0 ? undefined : process.argv[at + 1]
}

async function main(): Promise<number> {
  const workspace = option('workspace')
  const self = process.argv[1]
  if (workspace === undefined || self === undefined || process.argv.includes('--help')) {
    process.stdout.write(`${usage}\n`)
    return process.argv.includes('--help') ? 0 : 64
  }
  const files = new Files(realOs, digestInThread)
  for (const [name, file] of [
    ['digest', self],
    ['runner-digest', join(dirname(self), 'hpc_runner')],
  ] as const) {
    const digest = option(name)
    if (digest !== undefined && sha256(files.read(file) ?? '') !== digest) {
      process.stdout.write(`${needMark}programs: damaged\n`)
      return 69
    }
  }
  await serve(
    {
      files,
      clock: realClock,
      log: lineLog(realClock, process.argv.includes('--debug') ? 'debug' : 'warn', (line) =>
        process.stderr.write(line),
      ),
      spool: spoolAt(workspace),
      run: runCommand,
      uuid: randomUUID,
      host: hostname(),
      uid: process.getuid?.() ?? 0,
      node: process.execPath,
      programDir: dirname(self),
    },
    process.stdin,
    process.stdout,
  )
  return 0
}

process.umask(0o077)
main().then(
  (code) => process.exit(code),
  (error: unknown) => {
    process.stderr.write(`hpc_queuer: ${describeError(error)}\n`)
    if (error instanceof Error && process.argv.includes('--debug')) process.stderr.write(`${error.stack}\n`)
    process.exit(70)
  },
)
