/**
 * Finding the configuration and reading it. Nothing here loads zod or js-yaml until a file must really be parsed: an idle pass takes its
 * config from `cache`.
 */
import { createHash } from 'node:crypto'
import { dirname, join, resolve } from 'node:path'
import { describeError, HpcError, quoted } from '../contract/errors.ts'
import type { Config, ConfigText, Lane, ParsedConfig, Site } from './config.ts'

/** What lies at a path: undefined when nothing does; throws when it cannot be read. */
export type ReadFile = (path: string) => { readonly text: string; readonly mode: number } | undefined

export interface Surroundings {
  /** From `--config` or the positional argument. */
  readonly explicit?: string | undefined
  readonly env: Readonly<Record<string, string | undefined>>
  readonly cwd: string
  readonly home: string
  /** The installed package: its templates serve when there is no config. */
  readonly packageDir: string
  readonly readFile: ReadFile
}

/** Keeps what was parsed, by a key that covers everything it was made from. The value is JSON. */
export interface ConfigCache {
  get(key: string): string | undefined
  set(key: string, value: string): void
}

export interface LoadedConfig extends ParsedConfig {
  /** Where it came from: the path of the file, or `built-in defaults`. */
  readonly source: string
}

/** What holds when there is no config anywhere: this folder's dropbox, served by this machine. */
export function embeddedConfig(packageDir: string): string {
  return `dropbox: ./dropbox
templates: [./templates, ${JSON.stringify(join(packageDir, 'templates'))}]
state: ./.hpc-submitter
sites:
  local:
    transport: {type: local}
    scheduler: {type: local}
    hpc_env: {workspace: ./on_hpc/workspace}
    lanes: {default: {slots: 1}}
`
}

/** The configuration as text with all that its meaning depends on. A file that is asked for by name must be there. */
export function findConfig({
  explicit,
  env,
  cwd,
  home,
  packageDir,
  readFile,
}: Surroundings): ConfigText & { readonly text: string } {
  const named = explicit ?? (env.HPC_SUBMITTER_CONFIG || undefined)
  const places =
    named === undefined
      ? [join(cwd, 'hpc-submitter.yml'), join(home, '.config/hpc-submitter/config.yml'), '/etc/hpc-submitter.yml']
      : [
          resolve(
            cwd,
            named.replace(/^~(?=\/)/, () => home),
          ),
        ]
  for (const file of places) {
    const concerns = { path: file }
    try {
      const read = readFile(file)
      if (read !== undefined) return { ...read, file, dir: dirname(file), home }
    } catch (cause) {
      throw new HpcError('config', `Cannot read the configuration ${quoted(file)}: ${describeError(cause)}`, {
        concerns,
        cause,
      })
    }
    if (named !== undefined) {
      const origin = explicit === undefined ? '$HPC_SUBMITTER_CONFIG names it' : 'it was named on the command line'
      throw new HpcError('config', `Cannot read the configuration ${quoted(file)}: there is no such file`, {
        concerns,
        hint: `${origin}; correct the path, or leave it out to look in the usual places`,
      })
    }
  }
  return { text: embeddedConfig(packageDir), file: 'built-in defaults', kind: 'yaml', dir: cwd, home }
}

/** Throws HpcError `config` with every problem. `version` is the program's: another version may read the same file otherwise. */
export async function loadConfig(
  around: Surroundings & { readonly cache?: ConfigCache; readonly version?: string },
): Promise<LoadedConfig> {
  const { text, ...found } = findConfig(around)
  const key = createHash('sha256')
    .update(JSON.stringify([around.version, text, found]))
    .digest('hex')
  const kept = revive(around.cache?.get(key))
  if (kept !== undefined) return { ...kept, source: found.file }
  const { parseConfig } = await import('./config.ts')
  const parsed = parseConfig(text, found)
  // A secret stays in the config.
  if (!hasPassphrase(parsed.config)) around.cache?.set(key, JSON.stringify(parsed))
  return { ...parsed, source: found.file }
}

function revive(kept: string | undefined): ParsedConfig | undefined {
  try {
    return kept === undefined ? undefined : JSON.parse(kept, (_, value) => Object.freeze(value))
  } catch {
    return undefined // a cache cut short is no cache
  }
}

function hasPassphrase(config: Config): boolean {
  return Object.values(config.sites).some(
    ({ transport }) => transport.type === 'ssh' && transport.passphrase !== undefined,
  )
}

/** A name from outside (`constructor` …) finds only what the config really says. */
export function siteNamed(config: Config, name: string): Site | undefined {
  return Object.hasOwn(config.sites, name) ? config.sites[name] : undefined
}

/**
 * The part of a lane that defines its allocations, as plain JSON in a fixed order, fit to be digested; undefined when there is no such
 * lane. How a runner behaves inside (margin, slots, linger, preflight) and who is mailed is not part of it.
 */
export function laneShape(site: Site, laneName: string) {
  const lane = Object.hasOwn(site.lanes, laneName) ? site.lanes[laneName] : undefined
  return lane === undefined ? undefined : shapeOfLane(site, lane)
}

/** As `laneShape`, for a lane that the config may not name: one made for a job where `lanes: {auto: true}` allows it. */
export function shapeOfLane(site: Site, lane: Lane): LaneShape {
  const { queue, gres, memoryBytes, timeMs, cpus, nodes } = lane
  const shape = {
    scheduler: site.scheduler.type,
    queue,
    gres,
    memoryBytes,
    timeMs,
    cpus,
    nodes,
    options: site.scheduler.options,
    node: site.node,
  }
  return JSON.parse(JSON.stringify(shape)) as LaneShape
}

export interface LaneShape {
  readonly scheduler: Site['scheduler']['type']
  readonly queue?: string
  readonly gres?: string
  readonly memoryBytes?: number
  readonly timeMs: number
  readonly cpus?: number
  readonly nodes?: number
  readonly options: readonly string[]
  readonly node?: string
}
