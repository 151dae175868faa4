/**
 * The three programs as text that can be started many times in one process, each time as a process of its own: a bundle is a function of
 * what a process has from its system (files, clock, timers, chance, arguments), so nothing in the product knows that it is simulated.
 * Only `system/process.ts` is replaced, the part that asks the real kernel about real processes.
 */
import { readFile } from 'node:fs/promises'
import { join, relative } from 'node:path'
import { Script } from 'node:vm'
import { build } from 'esbuild'

export const root = join(import.meta.dirname, '..', '..')

/** One text in one file of the product, and what stands there instead. */
export interface Change {
  readonly file: string
  readonly from: string
  readonly to: string
}

/** What a process has from its system; the names are those that stand free in the programs. */
export interface Surroundings {
  readonly require: (name: string) => unknown
  readonly process: unknown
  readonly performance: unknown
  readonly Date: unknown
  readonly setTimeout: unknown
  readonly clearTimeout: unknown
  readonly setInterval: unknown
  readonly clearInterval: unknown
  readonly setImmediate: unknown
  readonly clearImmediate: unknown
  /** Stands for `system/process.ts`. */
  readonly processes: unknown
}

export type Program = (surroundings: Surroundings) => Record<string, unknown>

export interface Programs {
  readonly submitter: Program
  readonly queuer: Program
  readonly runner: Program
}

const free = [
  ...['require', 'process', 'performance', 'Date', 'setTimeout', 'clearTimeout', 'setInterval', 'clearInterval'],
  ...['setImmediate', 'clearImmediate', 'processes'],
] as const

async function bundle(entry: string, changes: readonly Change[]): Promise<Program> {
  const left = new Set(changes)
  const built = await build({
    stdin: { contents: entry, resolveDir: root, loader: 'ts' },
    bundle: true,
    write: false,
    platform: 'node',
    format: 'cjs',
    target: 'node20',
    external: ['graceful-fs', 'signal-exit'],
    define: { 'process.env.HPC_BATCH_VERSION': '"simulated"' },
    logLevel: 'error',
    plugins: [
      {
        name: 'simulated',
        setup({ onLoad }) {
          onLoad({ filter: /\/system\/process\.ts$/ }, async ({ path }) => {
            const names = [...(await readFile(path, 'utf8')).matchAll(/^export (?:async )?function (\w+)/gm)]
            return {
              contents: `export const { ${names.map(([, name]) => name).join(', ')} } = processes`,
              loader: 'js',
            }
          })
          onLoad({ filter: /\.ts$/ }, async ({ path }) => {
            const mine = changes.filter(({ file }) => file === relative(root, path))
            if (mine.length === 0) return undefined
            let contents = await readFile(path, 'utf8')
            for (const change of mine) {
              if (contents.split(change.from).length !== 2)
                throw new Error(`${change.file} does not hold exactly once: ${change.from}`)
              contents = contents.replace(change.from, () => change.to)
              left.delete(change)
            }
            return { contents, loader: 'ts' }
          })
        },
      },
    ],
  })
  const text = built.outputFiles[0]?.text ?? ''
  const script = new Script(
    `(function (${free.join(', ')}) { const module = { exports: {} }; ${text}\n; return module.exports })`,
  )
  const start = script.runInThisContext() as (...given: unknown[]) => Record<string, unknown>
  const program: Program = (surroundings) => start(...free.map((name) => surroundings[name]))
  return Object.assign(program, { unused: left })
}

/** Builds all three, with the changes of a mutant where there is one. */
export async function buildPrograms(changes: readonly Change[] = []): Promise<Programs> {
  const entries = [
    `export { tick } from './submitter/tick.ts'; export { Files } from './system/files.ts'; export { realOs } from './system/os.ts'; export { realClock } from './system/clock.ts'`,
    `import './queuer/main.ts'`,
    `import './runner/main.ts'`,
  ]
  const [submitter, queuer, runner] = await Promise.all(entries.map((entry) => bundle(entry, changes)))
  if (submitter === undefined || queuer === undefined || runner === undefined) throw new Error('nothing was built')
  const unused = changes.filter((change) =>
    [submitter, queuer, runner].every((program) => (program as unknown as { unused: Set<Change> }).unused.has(change)),
  )
  if (unused.length > 0) throw new Error(`no program holds ${unused[0]?.file}`)
  return { submitter, queuer, runner }
}
