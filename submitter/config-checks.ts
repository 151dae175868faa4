/** What no single key of the configuration can know. */
import { isAbsolute, normalize } from 'node:path'
import { quoted } from '../contract/errors.ts'
import { didYouMean } from '../contract/suggest.ts'
import { parseDurationMs } from '../contract/units.ts'
import { laneDefaults } from './config-keys.ts'
import { at, keysAt, type Tree } from './config-source.ts'
import { namePattern } from './config-values.ts'

export interface Problem {
  readonly path: readonly string[]
  readonly message: string
}

/** What no single key can know; looks at the text as written, so that it speaks up beside other problems too. */
export function* crossChecks(tree: Tree, mode: number | undefined): Generator<Problem> {
  const sites = keysAt(tree, 'sites')
  for (const target of keysAt(tree, 'exec_target')) {
    const real = at(tree, 'exec_target', target)
    if (typeof real === 'string' && !sites.includes(real))
      yield {
        path: ['exec_target', target],
        message: `expected the name of a site, found ${quoted(real)}${didYouMean(real, sites)}`,
      }
  }
  for (const site of sites) {
    const transport = ['sites', site, 'transport']
    const given = (...keys: string[]) => keys.filter((key) => at(tree, ...transport, key) !== undefined)
    const workspace = at(tree, 'sites', site, 'hpc_env', 'workspace')
    if (at(tree, ...transport, 'type') === 'ssh') {
      if (typeof workspace === 'string' && !isAbsolute(workspace))
        yield {
          path: ['sites', site, 'hpc_env', 'workspace'],
          message: `expected an absolute path at the site, found ${quoted(workspace)} (\`echo ~\` there prints what "~" stands for)`,
        }
      if (at(tree, ...transport, 'ssh_config') === 'false' && given('user').length === 0)
        yield { path: [...transport, 'user'], message: 'expected the account at the site, found nothing' }
      const phrases = given('passphrase', 'passphrase_file', 'passphrase_env')
      if (phrases.length > 1)
        yield {
          path: [...transport, phrases[1] ?? ''],
          message: `expected one passphrase, found ${phrases.join(' and ')}`,
        }
      if (given('passphrase').length > 0 && mode !== undefined && (mode & 0o077) !== 0)
        yield {
          path: [...transport, 'passphrase'],
          message: `a file with a passphrase must be its owner’s only, and this one has mode ${(mode & 0o777).toString(8).padStart(4, '0')}: chmod 600 it`,
        }
    }
    if (typeof workspace === 'string' && normalize(workspace) === '/')
      yield { path: ['sites', site, 'hpc_env', 'workspace'], message: 'expected a folder of its own, found "/"' }
    for (const key of keysAt(tree, 'sites', site, 'hpc_env')) {
      const why = ['job_id', 'site', 'lane'].includes(key)
        ? `templates have a value of their own for <<${key}>>: choose another name`
        : /^[A-Za-z_][A-Za-z0-9_]*$/.test(key)
          ? undefined
          : 'expected a name that templates can use, of letters, digits and "_"'
      if (why !== undefined) yield { path: ['sites', site, 'hpc_env', key], message: why }
    }
    for (const lane of keysAt(tree, 'sites', site, 'lanes')) {
      if (lane === 'auto') continue
      const path = ['sites', site, 'lanes', lane]
      if (!namePattern.test(lane))
        yield { path, message: `expected a name of letters, digits, "_" and "-", found ${quoted(lane)}` }
      const nodes = at(tree, ...path, 'nodes')
      if (Number(nodes) > 1 && at(tree, 'sites', site, 'scheduler', 'type') === 'local')
        yield {
          path: [...path, 'nodes'],
          message: `expected 1, as the scheduler "local" starts everything on one machine, found ${quoted(String(nodes))}`,
        }
      const [time, margin] = (['time', 'margin'] as const).map((key) => at(tree, ...path, key) ?? laneDefaults[key])
      const [timeMs, marginMs] = [time, margin].map((value) => parseDurationMs(String(value)))
      if (timeMs !== undefined && marginMs !== undefined && marginMs >= timeMs)
        yield {
          path: [...path, 'margin'],
          message: `expected less than the time of ${time}, found ${quoted(String(margin))}`,
        }
    }
  }
  yield* protoKeys(tree)
}

export function* protoKeys(tree: Tree, path: readonly string[] = []): Generator<Problem> {
  if (typeof tree === 'string') return
  for (const key of Object.keys(tree)) {
    if (key === '__proto__') yield { path: [...path, key], message: 'cannot be a key' }
    else yield* protoKeys((tree as Record<string, Tree>)[key] ?? '', [...path, key])
  }
}
