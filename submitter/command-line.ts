/** The commands and their options, by yargs; each command itself is a file of its own, loaded when it is called. */
import yargs from 'yargs'
import { HpcError } from '../contract/errors.ts'
import { defaultOptions, makeGateway, readConfig, version } from './make-gateway.ts'

export interface Common {
  readonly config?: string | undefined
  readonly json?: boolean | undefined
  readonly debug?: boolean | undefined
}

/** Runs the command line; resolves to the exit code. */
export async function runCommandLine(argv: readonly string[]): Promise<number> {
  let code = 0
  const set = async (result: Promise<number>) => {
    code = await result
  }
  const parser = yargs([...argv])
    .scriptName('hpc-submitter')
    .usage(
      '$0 COMMAND\n\nPays the HPC queue wait once for many jobs: serves a dropbox of .job files through one hpc_runner allocation a lane.',
    )
    .option('config', { type: 'string', describe: 'config file (YAML, or an hpc_batch .ini)', global: true })
    .option('debug', { type: 'boolean', describe: 'tell every step on stderr, also from the other side', global: true })
    .option('json', { type: 'boolean', describe: 'print data as JSON', global: true })
    .command(
      'tick [config_file]',
      'one pass: what cron runs every minute',
      (y) =>
        y
          .positional('config_file', { type: 'string', describe: 'config file, as in hpc_batch crontabs' })
          .option('nocleanup', {
            type: 'boolean',
            describe: 'leave the job folders on HPC after their results are delivered',
          })
          .option('email', { type: 'string', describe: 'address the scheduler mails about the runner to' })
          .option('takeover', {
            type: 'boolean',
            describe: 'serve this dropbox although a copy of it was served within the hour',
          })
          .example('* * * * * hpc-submitter tick --config /etc/hpc-submitter.yml', 'the one crontab line'),
      (args) =>
        set(
          import('./tick-command.ts').then(async ({ tickCommand }) => {
            const loaded = await readConfig(args.config ?? args.config_file)
            const options = {
              noCleanup: args.nocleanup === true,
              email: args.email,
              debug: args.debug === true,
              takeOver: args.takeover === true,
            }
            return tickCommand(
              makeGateway(loaded.config, options, args.debug === true ? 'debug' : 'warn'),
              loaded.warnings,
              args.json === true,
            )
          }),
        ),
    )
    .demandCommand(1, 'Name a command.')
    .recommendCommands()
    .strict()
    .version(version)
    .help()
    .alias('h', 'help')
    .wrap(Math.min(110, process.stdout.columns ?? 110))
    .exitProcess(false)
    .fail((message, error) => {
      if (error !== undefined && error !== null) throw error
      throw new HpcError('usage', message, { hint: 'see hpc-submitter --help' })
    })
  await parser.parseAsync()
  return code
}

export { defaultOptions }
