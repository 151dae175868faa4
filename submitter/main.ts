/** hpc-submitter: the command line. A plain `tick`, the one cron runs every minute, loads nothing it does not need. */
import { describeError, HpcError, printable } from '../contract/errors.ts'

process.umask(0o022)

async function main(argv: readonly string[]): Promise<number> {
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
