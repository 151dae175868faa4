/** Builds the real gateway: the one place that puts the operating system behind the interfaces. */
import { randomUUID } from 'node:crypto'
import { homedir, hostname } from 'node:os'
import { join } from 'node:path'
import { realClock } from '../system/clock.ts'
import { digestInThread } from '../system/digest-thread.ts'
import { Files } from '../system/files.ts'
import { type Level, lineLog } from '../system/logger.ts'
import { realOs } from '../system/os.ts'
import { identifyProcess, openForWriting } from '../system/process.ts'
import { readTextAndMode } from '../system/read-text.ts'
import { groupsOf, userName } from '../system/users.ts'
import type { Config, Site } from './config.ts'
import { configCache, configCacheFolder } from './config-cache.ts'
import { type LoadedConfig, loadConfig } from './config-file.ts'
import type { Gateway, Options, Progress } from './gateway.ts'
import { readPrograms } from './programs.ts'
import { localTransport } from './transport/local.ts'
import type { SshSettings } from './transport/ssh-route.ts'
import type { Transport } from './transport/transport.ts'

export const packageDir = join(import.meta.dirname, '..')
export const version = process.env.HPC_BATCH_VERSION ?? 'unbuilt'

export const defaultOptions: Options = { noCleanup: false, email: undefined, debug: false, takeOver: false }

export function readConfig(explicit: string | undefined): Promise<LoadedConfig> {
  return loadConfig({
    explicit,
    env: process.env,
    cwd: process.cwd(),
    home: homedir(),
    packageDir,
    readFile: readTextAndMode,
    version,
    cache: configCache(new Files(realOs), configCacheFolder(homedir(), process.env), process.geteuid?.() ?? 0),
  })
}

export function makeGateway(
  config: Config,
  options: Options,
  level: Level,
  progress: (line: Progress) => void = () => undefined,
): Gateway {
  const files = new Files(realOs, digestInThread)
  const log = lineLog(realClock, level, (line) => process.stderr.write(line))
  const self = identifyProcess(process.pid, realClock.uptime().bootId)
  if (self === undefined) throw new Error('/proc is not there: hpc-submitter runs on Linux')
  let programs: ReturnType<typeof readPrograms> | undefined
  const groups = new Map<number, ReadonlySet<number>>()
  const transports = new Map<string, Transport>()
  return {
    config,
    files,
    clock: realClock,
    log,
    uuid: randomUUID,
    host: hostname(),
    self,
    uid: process.geteuid?.() ?? 0,
    options,
    programs: () => {
      programs ??= readPrograms(files, packageDir, version)
      return programs
    },
    transportFor: (site) => {
      const known = transports.get(site.name) ?? makeTransport(site)
      transports.set(site.name, known)
      return known
    },
    groupsOf: (uid) => {
      const known = groups.get(uid) ?? groupsOf(uid)
      groups.set(uid, known)
      return known
    },
    userName,
    isOpenForWriting: openForWriting,
    progress,
  }
}

export function sshSettings(site: Site): SshSettings {
  const { transport } = site
  if (transport.type !== 'ssh') throw new Error(`site ${site.name} is not reached by ssh`)
  return {
    host: transport.host,
    port: transport.port,
    user: transport.user,
    key_file: transport.keyFile,
    passphrase: transport.passphrase,
    passphrase_file: transport.passphraseFile,
    passphrase_env: transport.passphraseEnv,
    agent: transport.agent,
    known_hosts: transport.knownHosts,
    host_key: transport.hostKey,
    proxy_jump: transport.proxyJump,
    ssh_config: transport.sshConfig,
    connect_timeout: transport.connectTimeoutMs,
    keepalive: transport.keepaliveMs,
    stall: transport.stallMs,
  }
}

function makeTransport(site: Site): Transport {
  if (site.transport.type === 'local') return localTransport()
  // the ssh part is loaded when a site is really asked by ssh: an idle pass of a local gateway never pays for it
  let loaded: Transport | undefined
  const settings = sshSettings(site)
  return {
    description: `ssh ${settings.host}`,
    connect: async (begun) => {
      const { sshTransport } = await import('./transport/ssh.ts')
      loaded ??= sshTransport(settings, process.env, site.name)
      return loaded.connect(begun)
    },
  }
}
