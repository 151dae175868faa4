/** `npm run quickstart`: one real job through every part on this machine, with no configuration, no scheduler, no ssh and no root. */
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

const root = join(import.meta.dirname, '..')
const program = join(root, 'dist', 'hpc-submitter.mjs')
const output = join(import.meta.dirname, 'out', 'license-words.txt')
const job = join(root, 'dropbox', 'quickstart.job')
const finished = `${job}.finished`

function say(text: string): void {
  process.stdout.write(`\n\u001b[1m${text}\u001b[0m\n`)
}

function show(path: string, lines: number): void {
  const all = readFileSync(path, 'utf8').split('\n')
  process.stdout.write(
    `${all.slice(0, lines).join('\n')}${all.length > lines ? `\n… ${all.length - lines} more lines` : ''}\n`,
  )
}

/** Without any config the programs serve ./dropbox with ./on_hpc/workspace on this machine: the embedded default. */
function tick(): void {
  const environment = { ...process.env, HPC_SUBMITTER_CONFIG: '', HOME: join(import.meta.dirname, 'out') }
  const ran = spawnSync(process.execPath, [program, 'tick'], {
    cwd: root,
    stdio: ['ignore', 'inherit', 'inherit'],
    env: environment,
  })
  if (ran.status !== 0) process.exit(ran.status ?? 1)
}

if (!existsSync(program)) {
  const built = spawnSync(process.execPath, ['--import', 'tsx', join(root, 'build.ts')], { stdio: 'inherit' })
  if (built.status !== 0) process.exit(built.status ?? 1)
}
mkdirSync(join(import.meta.dirname, 'out'), { recursive: true })
for (const path of [output, finished, `${job}.submitted`]) rmSync(path, { force: true })

say(`1. A tool drops a description: ${job}`)
writeFileSync(
  job,
  `script: word_count
args:
  top: 5
input_map:
  text: ${join(root, 'LICENSE')}
output_map:
  counts: ${output}
...
`,
)
show(job, 12)

say('2. cron runs a pass: hpc-submitter tick')
tick()
process.stdout.write('The job is staged, and one hpc_runner is started to drain all that waits.\n')

say('3. The next passes bring back what is done')
const end = Date.now() + 30_000
while (!existsSync(finished)) {
  if (Date.now() > end) {
    process.stderr.write('no result after 30 s; see: node dist/hpc-submitter.mjs status\n')
    process.exit(1)
  }
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 300)
  tick()
}

say(`4. The tool that polled finds its result: ${finished}`)
const result = readFileSync(finished, 'utf8')
process.stdout.write(`${result.slice(result.indexOf('\njob:') + 1, result.indexOf('\n  history:'))}\n`)
if (!/^ {2}status: "ok"$/m.test(result)) process.exit(1)

say(`5. And its output where it asked for it: ${output}`)
show(output, 12)
