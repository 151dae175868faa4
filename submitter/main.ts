/** hpc-submitter: the command line. A plain `tick`, the one cron runs every minute, loads nothing it does not need. */

import { parseArgs } from 'node:util'
import { describeError, HpcError, printable } from '../contract/errors.ts'

process.umask(0o022)

/** `tick` with plain options needs no yargs, which would be half of an idle pass; anything else about it is left to yargs to tell. */
function plainTick(argv: readonly string[]) {
  if (argv[0] !== 'tick') return undefined
  try {
    const { values, positionals } = parseArgs({
      args: argv.slice(1),
      allowPositionals: true,
      options: {
        config: { type: 'string', short: 'c' },
        debug: { type: 'boolean' },
        nocleanup: { type: 'boolean' },
        email: { type: 'string' },
        takeover: { type: 'boolean' },
        json: { type: 'boolean' },
      },
    })
    return positionals.length > 1 ? undefined : { ...values, config_file: positionals[0] }
  } catch {
    return undefined
  }
}

async function main(argv: readonly string[]): Promise<number> {
  const args = plainTick(argv)
  if (args !== undefined) {
    const { tickWith } = await import('./tick-with.ts')
    return tickWith(args)
  }
  const { runCommandLine } = await import('./command-line.ts')
  return runCommandLine(argv)
}

main(process.argv.slice(2)).then(
  (code) => {
    process.exitCode = code
    // a connection that will not close must not keep a finished command alive
    setTimeout(() => process.exit(), 2_000).unref()
  },
  (error: unknown) => {
    process.stderr.write(`hpc-submitter: ${printable(describeError(error)).replaceAll('\\x0a', '\n  ')}\n`)
    if (!(error instanceof HpcError) && error instanceof Error && process.argv.includes('--debug'))
      process.stderr.write(`${error.stack}\n`)
    process.exit(error instanceof HpcError ? error.exitCode : 70)
  },
)
