/** The commands and their options, by yargs; each command itself is a file of its own, loaded when it is called. */
import yargs, { type Argv } from 'yargs'
import { HpcError } from '../contract/errors.ts'
import { parseDurationMs } from '../contract/units.ts'
import { version } from './make-gateway.ts'
import { type Common, openGateway, optionsOf, type PassFlags } from './open-gateway.ts'

function duration(text: string | undefined, option: string): number | undefined {
  if (text === undefined) return undefined
  const ms = /^\d+(\.\d+)?$/.test(text) ? Number(text) * 1000 : parseDurationMs(text)
  if (ms === undefined)
    throw new HpcError('usage', `--${option}: expected seconds or a duration such as 90s or 2h, found "${text}"`)
  return ms
}

const passOptions = <T>(y: Argv<T>) =>
  y
    .option('nocleanup', {
      type: 'boolean',
      describe: 'leave the job folders on HPC after their results are delivered',
    })
    .option('email', { type: 'string', requiresArg: true, describe: 'address the scheduler mails about the runner to' })
    .option('takeover', {
      type: 'boolean',
      describe: 'serve this dropbox although a copy of it was served within the hour',
    })

/** Runs the command line; resolves to the exit code. */
export async function runCommandLine(argv: readonly string[]): Promise<number> {
  let code = 0
  const set = (run: () => Promise<number> | number) => async () => {
    code = await run()
  }
  const parser = yargs([...argv])
    .scriptName('hpc-submitter')
    .usage(
      '$0 COMMAND\n\nPays the HPC queue wait once for many jobs: serves a dropbox of .job files, with one hpc_runner allocation for all of them.',
    )
    .option('config', {
      alias: 'c',
      type: 'string',
      requiresArg: true,
      describe: 'config file: YAML, or an hpc_batch .ini',
    })
    .option('debug', { type: 'boolean', describe: 'tell every step on stderr, also from the other side' })
    .command(
      'tick [config_file]',
      'one pass: what cron runs every minute',
      (y) =>
        passOptions(y)
          .positional('config_file', { type: 'string', describe: 'config file, as in crontabs of hpc_batch' })
          .option('json', { type: 'boolean', describe: 'print what the pass did as JSON' })
          .example('* * * * * hpc-submitter tick -c /etc/hpc-submitter.yml', 'the one crontab line'),
      (args) => set(() => import('./tick-with.ts').then(({ tickWith }) => tickWith(args)))(),
    )
    .command(
      'watch [config_file]',
      'passes as files arrive and results are ready, and every minute',
      (y) =>
        passOptions(y)
          .positional('config_file', { type: 'string', describe: 'config file' })
          .option('cron', {
            type: 'string',
            default: '* * * * *',
            requiresArg: true,
            describe: 'when a pass comes without being woken',
          })
          .example('$0 watch -c /etc/hpc-submitter.yml', 'instead of the crontab line; ends on SIGTERM'),
      (args) => set(() => watchWith(args))(),
    )
    .command(
      'submit <files..>',
      'drop job descriptions; with --wait, wait for their results',
      (y) =>
        y
          .positional('files', { type: 'string', array: true, demandOption: true, describe: 'descriptions (YAML)' })
          .option('wait', { alias: 'w', type: 'boolean', describe: 'wait; exit 0 only if every job is ok' })
          .option('period', {
            type: 'string',
            default: '10s',
            requiresArg: true,
            describe: 'how often to look for the result',
          })
          .option('timeout', {
            type: 'string',
            requiresArg: true,
            describe: 'give up waiting after this time (exit 124)',
          })
          .option('cancel', { type: 'boolean', describe: 'when the time is out, cancel the job' })
          .option('keep', { type: 'boolean', describe: 'leave the .finished file in the dropbox' })
          .option('name', {
            type: 'string',
            requiresArg: true,
            describe: 'name in the dropbox (default: that of the file)',
          })
          .option('json', { type: 'boolean', describe: 'print results as JSON' })
          .example('$0 submit align.job --wait --timeout 24h', 'exit 0 when the job is ok'),
      (args) => set(() => submitWith(args))(),
    )
    .command(
      'status [names..]',
      'where every job is, and what each site says',
      (y) =>
        y
          .positional('names', { type: 'string', array: true, describe: 'only these jobs' })
          .option('live', { type: 'boolean', describe: 'ask the sites now' })
          .option('json', { type: 'boolean', describe: 'print as JSON' })
          .example('$0 status --live', 'what runs at this moment'),
      (args) => set(() => statusWith(args))(),
    )
    .command(
      'check [sites..]',
      'see whether config, dropbox, templates and sites are in order',
      (y) =>
        y
          .positional('sites', { type: 'string', array: true, describe: 'only these sites' })
          .option('json', { type: 'boolean', describe: 'print as JSON' })
          .example('$0 check carbonate', 'exit 0: all is well there; 69: it is not; 78: the config is wrong'),
      (args) => set(() => checkWith(args))(),
    )
    .command(
      'render <file>',
      'the script a description would run, and where its values come from',
      (y) =>
        y
          .positional('file', { type: 'string', demandOption: true, describe: 'a description (YAML)' })
          .option('values', { type: 'boolean', describe: 'tell on stderr where each value came from' })
          .option('json', { type: 'boolean', describe: 'script and values as JSON' })
          .example('$0 render align.job --values', 'nothing is sent, nothing is run'),
      (args) => set(() => renderWith(args))(),
    )
    .command(
      'deploy [sites..]',
      "put the programs into a site's workspace, with --node also a Node",
      (y) =>
        y
          .positional('sites', { type: 'string', array: true, describe: 'only these sites' })
          .option('node', {
            type: 'string',
            describe: "a Node binary for sites without one; without a value this gateway's own",
          })
          .example('$0 deploy carbonate --node ./node-v20-linux-x64/bin/node', 'for a site without Node'),
      (args) => set(() => deployWith(args))(),
    )
    .command(
      'trust <site>',
      "show a site's host key, and pin it when you say yes",
      (y) =>
        y
          .positional('site', { type: 'string', demandOption: true, describe: 'a site of the config' })
          .option('fingerprint', {
            type: 'string',
            requiresArg: true,
            describe: 'pin without asking if the key has this fingerprint (SHA256:…)',
          })
          .example('$0 trust carbonate', 'once per site, before the first tick'),
      (args) => set(() => trustWith(args))(),
    )
    .command(
      'report',
      'jobs per allocation, queue wait, and the wait that batching saved',
      (y) =>
        y
          .option('json', { type: 'boolean', describe: 'print as JSON' })
          .example('$0 report', 'what the log in state: still knows of'),
      (args) => set(() => reportWith(args))(),
    )
    .demandCommand(1, 'Name a command.')
    .recommendCommands()
    .strict()
    .version(version)
    .help()
    .alias('h', 'help')
    .epilogue(
      'Exit codes: 0 fine, 64 usage, 65 bad description, 69 site unavailable, 70 bug, 75 passing trouble, 77 denied, 78 config.',
    )
    .wrap(Math.min(110, process.stdout.columns ?? 110))
    .exitProcess(false)
    .fail((message, error) => {
      if (error !== undefined && error !== null) throw error
      const said = message.replace(/^Did you mean (.*)\?$/, 'there is no such command (did you mean "$1"?)')
      throw new HpcError('usage', `Cannot read the command line: ${said.replace(/\.$/, '')}`, {
        hint: 'see hpc-submitter --help',
      })
    })
  await parser.parseAsync()
  return code
}

async function watchWith(
  args: PassFlags & { config_file?: string | undefined; cron?: string | undefined },
): Promise<number> {
  const { watchCommand } = await import('./watch-command.ts')
  const config = args.config ?? args.config_file
  const first = await openGateway({ ...args, config }, optionsOf(args), 'info')
  for (const warning of first.loaded.warnings) first.gateway.log.warn(warning)
  let text = JSON.stringify(first.loaded.config)
  const reload = async () => {
    const next = await openGateway({ ...args, config }, optionsOf(args), 'info')
    const nextText = JSON.stringify(next.loaded.config)
    if (nextText === text) return undefined
    text = nextText
    return next.gateway
  }
  return watchCommand(first.gateway, args.cron ?? '* * * * *', reload)
}

interface SubmitArgs extends Common {
  files?: string[] | undefined
  wait?: boolean | undefined
  period?: string | undefined
  timeout?: string | undefined
  cancel?: boolean | undefined
  keep?: boolean | undefined
  name?: string | undefined
  json?: boolean | undefined
}

async function submitWith(args: SubmitArgs): Promise<number> {
  const { submitCommand } = await import('./submit-command.ts')
  const { gateway } = await openGateway(args)
  return submitCommand(gateway, args.files ?? [], {
    name: args.name,
    wait: args.wait === true,
    periodMs: duration(args.period, 'period') ?? 10_000,
    timeoutMs: duration(args.timeout, 'timeout'),
    cancel: args.cancel === true,
    keep: args.keep === true,
    json: args.json === true,
  })
}

async function statusWith(
  args: Common & { names?: string[] | undefined; live?: boolean | undefined; json?: boolean | undefined },
): Promise<number> {
  const { statusCommand } = await import('./status-command.ts')
  const { gateway } = await openGateway(args)
  return statusCommand(gateway, args.names ?? [], args.live === true, args.json === true)
}

async function checkWith(args: Common & { sites?: string[] | undefined; json?: boolean | undefined }): Promise<number> {
  const { checkCommand } = await import('./check-command.ts')
  const { gateway, loaded } = await openGateway(args)
  return checkCommand(gateway, loaded.source, loaded.warnings, args.sites ?? [], args.json === true)
}

async function renderWith(
  args: Common & { file?: string | undefined; values?: boolean | undefined; json?: boolean | undefined },
): Promise<number> {
  const { renderCommand } = await import('./render-command.ts')
  const { gateway } = await openGateway(args)
  return renderCommand(gateway, args.file ?? '', args.values === true, args.json === true)
}

async function deployWith(args: Common & { sites?: string[] | undefined; node?: string | undefined }): Promise<number> {
  const { deployCommand } = await import('./deploy-command.ts')
  const { gateway } = await openGateway(args, optionsOf(args), 'info')
  return deployCommand(gateway, args.sites ?? [], args.node)
}

async function trustWith(
  args: Common & { site?: string | undefined; fingerprint?: string | undefined },
): Promise<number> {
  const { trustCommand } = await import('./trust-command.ts')
  const { gateway } = await openGateway(args)
  const { siteNamed } = await import('./config-file.ts')
  const site = siteNamed(gateway.config, args.site ?? '')
  if (site === undefined) {
    throw new HpcError('usage', `Cannot trust "${args.site}": there is no such site`, {
      hint: `sites: ${Object.keys(gateway.config.sites).join(', ')}`,
    })
  }
  return trustCommand(site, args.fingerprint)
}

async function reportWith(args: Common & { json?: boolean | undefined }): Promise<number> {
  const { reportCommand } = await import('./report-command.ts')
  const { gateway } = await openGateway(args)
  return reportCommand(gateway, args.json === true)
}
