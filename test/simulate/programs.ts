/**
 * The three programs as text that can be started many times in one process, each time as a process of its own: a bundle is a function of
 * what a process has from its system (files, clock, timers, chance, arguments), so nothing in the product knows that it is simulated.
 * Only `system/process.ts` is replaced, the part that asks the real kernel about real processes; sizes by which the product tells small
 * from large are made smaller, so that large files cost little.
 */
import { readFile } from 'node:fs/promises'
import { join, relative } from 'node:path'
import { Script } from 'node:vm'
import { build } from 'esbuild'
import { surroundingsOf } from './surroundings.ts'
import { Task, type TaskOptions } from './task.ts'

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

type Exports = Record<string, unknown>
type Build = (surroundings: Surroundings) => Exports

/** A program in memory, and the process it is just then. */
interface Copy {
  task: Task
  readonly exports: Exports
}

export interface Started {
  readonly task: Task
  readonly exports: Exports
}

/**
 * One of the three programs. Read anew for each process it would take most of the time, and never learn what the engine learns about it;
 * so a copy in memory that came to its own end is another process next. One that was killed may have something left to do, and is not.
 */
export class Program {
  readonly #build: Build
  readonly #processFunctions: readonly string[]
  readonly #idle: Copy[] = []

  constructor(build: Build, processFunctions: readonly string[]) {
    this.#build = build
    this.#processFunctions = processFunctions
  }

  start(options: TaskOptions): Started {
    const task = new Task(options)
    const copy = this.#idle.pop() ?? this.#read(task)
    copy.task = task
    task.atEnd((code) => {
      // not before all that hangs on its end has been told
      if (code === 0) setImmediate(() => this.#idle.push(copy))
    })
    return { task, exports: copy.exports }
  }

  #read(task: Task): Copy {
    const copy: { task: Task; exports: Exports } = { task, exports: {} }
    copy.exports = this.#build(surroundingsOf(() => copy.task, this.#processFunctions))
    return copy
  }
}

export interface Programs {
  readonly submitter: Program
  readonly queuer: Program
  readonly runner: Program
}

/** What every program of the simulation is built with. */
export const adapted: readonly Change[] = [
  // a copy in memory may be a process of another machine next
  { file: 'system/clock.ts', from: 'bootId ??= readFileSync', to: 'bootId = readFileSync' },
  { file: 'queuer/main.ts', from: 'main().then(', to: 'export const start = () => main().then(' },
  { file: 'runner/main.ts', from: 'main().then(', to: 'export const start = () => main().then(' },
  // this process is many runners
  { file: 'runner/main.ts', from: "setFlagsFromString('--interrupt-budget=2000000')", to: 'void setFlagsFromString' },
  { file: 'runner/ahead.ts', from: 'const manyLeft = 1_000', to: 'const manyLeft = 1' },
  // scripts take seconds: of these, some are short ones, behind which the next job is claimed ahead
  { file: 'runner/ahead.ts', from: 'const shortMs = 250', to: 'const shortMs = 12_000' },
  // large files a thousand times smaller
  { file: 'submitter/stage-in.ts', from: 'const smallBytes = 8 * 1024 * 1024', to: 'const smallBytes = 8 * 1024' },
  { file: 'submitter/stage-in.ts', from: 'const pieceBytes = 256 * 1024', to: 'const pieceBytes = 1024' },
  { file: 'submitter/site-pass.ts', from: 'const uploadBudgetMs = 300_000', to: 'const uploadBudgetMs = 1_000' },
  { file: 'system/piece-sender.ts', from: 'pieceBytes = 256 * 1024', to: 'pieceBytes = 256' },
  { file: 'queuer/ballast.ts', from: 'const ballastBytes = 256 * 1024', to: 'const ballastBytes = 256' },
  { file: 'queuer/store.ts', from: 'const smallestBytes = 1024 * 1024', to: 'const smallestBytes = 1024' },
  { file: 'queuer/store.ts', from: 'const atOnceBytes = 8 * 1024 * 1024', to: 'const atOnceBytes = 8 * 1024' },
  { file: 'queuer/copy-content.ts', from: 'const pieceBytes = 1024 * 1024', to: 'const pieceBytes = 1024' },
  { file: 'system/file-digest.ts', from: 'worthAThreadBytes = 64 * 1024 * 1024', to: 'worthAThreadBytes = 16 * 1024' },
]

const free = [
  ...['require', 'process', 'performance', 'Date', 'setTimeout', 'clearTimeout', 'setInterval', 'clearInterval'],
  ...['setImmediate', 'clearImmediate', 'processes'],
] as const

async function bundle(entry: string, changes: readonly Change[], applied: Set<Change>): Promise<string> {
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
            const names = functionsIn(await readFile(path, 'utf8'))
            return { contents: `export const { ${names.join(', ')} } = processes`, loader: 'js' }
          })
          onLoad({ filter: /\.ts$/ }, async ({ path }) => {
            const mine = changes.filter(({ file }) => file === relative(root, path))
            if (mine.length === 0) return undefined
            let contents = await readFile(path, 'utf8')
            for (const change of mine) {
              if (contents.split(change.from).length !== 2)
                throw new Error(`${change.file} does not hold exactly once: ${change.from}`)
              contents = contents.replace(change.from, () => change.to)
              applied.add(change)
            }
            return { contents, loader: 'ts' }
          })
        },
      },
    ],
  })
  return built.outputFiles[0]?.text ?? ''
}

/** The text of each program, which other processes can be given. */
export interface ProgramTexts {
  readonly submitter: string
  readonly queuer: string
  readonly runner: string
  readonly processFunctions: readonly string[]
}

const entries = {
  submitter: `export { tick } from './submitter/tick.ts'; export { Files } from './system/files.ts'; export { realOs } from './system/os.ts'; export { realClock } from './system/clock.ts'`,
  queuer: `export { start } from './queuer/main.ts'`,
  runner: `export { start } from './runner/main.ts'`,
} as const

/** Builds all three, with the changes of a mutant where there is one; each must be found in the text of the product. */
export async function buildTexts(mutations: readonly Change[] = []): Promise<ProgramTexts> {
  const applied = new Set<Change>()
  const changes = [...adapted, ...mutations]
  const [submitter, queuer, runner] = await Promise.all([
    bundle(entries.submitter, changes, applied),
    bundle(entries.queuer, changes, applied),
    bundle(entries.runner, changes, applied),
  ])
  for (const change of changes) if (!applied.has(change)) throw new Error(`no program holds ${change.file}`)
  const text = await readFile(join(root, 'system', 'process.ts'), 'utf8')
  return { submitter, queuer, runner, processFunctions: functionsIn(text) }
}

function functionsIn(text: string): string[] {
  return [...text.matchAll(/^export (?:async )?function (\w+)/gm)].map(([, name]) => name ?? '')
}

export function loadPrograms({ processFunctions, ...texts }: ProgramTexts): Programs {
  const load = (text: string) => {
    const script = new Script(
      `(function (${free.join(', ')}) { const module = { exports: {} }; ${text}\n; return module.exports })`,
    )
    const build = script.runInThisContext() as (...given: unknown[]) => Exports
    return new Program((surroundings) => build(...free.map((name) => surroundings[name])), processFunctions)
  }
  return { submitter: load(texts.submitter), queuer: load(texts.queuer), runner: load(texts.runner) }
}
