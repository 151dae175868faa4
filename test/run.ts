/**
 * `npm test`: builds, then runs every test file there is, and refuses to call an empty list a success (Node 20 would: `--test` finds no
 * TypeScript). As root on Debian it first brings up the project's own cluster; elsewhere it says in one line what is skipped.
 * Words on the command line choose the files whose names contain one of them.
 */
import { spawnSync } from 'node:child_process'
import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'

const here = import.meta.dirname
const wanted = process.argv.slice(2)

function fail(why: string, status = 1): never {
  console.error(why)
  process.exit(status)
}

function run(program: string, args: readonly string[]): number {
  const ran = spawnSync(program, args, { stdio: ['ignore', 'inherit', 'inherit'] })
  return ran.status ?? 1
}

const files = readdirSync(here, { recursive: true, encoding: 'utf8' })
  .filter((name) => name.endsWith('.test.ts'))
  .filter((name) => wanted.length === 0 || wanted.some((part) => name.includes(part)))
  .sort()
if (files.length === 0)
  fail(`No test file${wanted.length > 0 ? ` matches ${wanted.join(', ')}` : ' found'} under test/`)

const built = run(process.execPath, ['--import', 'tsx', join(here, '..', 'build.ts')])
if (built !== 0) fail('the build failed', built)

const onCluster = files.filter((name) => name.startsWith('cluster/'))
const anywhere = files.filter((name) => !name.startsWith('cluster/'))
const canHaveCluster = process.getuid?.() === 0 && existsSync('/etc/debian_version')
const mustNotSkip = process.env.CI_NO_SKIP === '1'
if (!canHaveCluster && mustNotSkip) fail('CI_NO_SKIP is set, and the cluster suite needs root on Debian')
if (canHaveCluster) {
  // also brings what single tests need of the system: PyYAML, sshd, xmllint
  const up = run('bash', [join(here, 'cluster', 'cluster'), 'up'])
  if (up !== 0) fail('the test cluster did not come up', up)
} else if (onCluster.length > 0) {
  console.log(
    `skipped: ${onCluster.length} files of test/cluster, which need root on Debian to bring up sshd, Slurm and Apptainer`,
  )
}

const reporter = process.stdout.isTTY ? 'spec' : 'tap'
function test(names: readonly string[], concurrency: number): number {
  if (names.length === 0) return 0
  const options = ['--import', 'tsx', '--test', `--test-concurrency=${concurrency}`, `--test-reporter=${reporter}`]
  return run(process.execPath, [...options, ...names.map((name) => join(here, name))])
}

const first = test(anywhere, 2)
// one cluster, and tests that stop its daemons: one file after the other
const second = canHaveCluster ? test(onCluster, 1) : 0
process.exit(first === 0 ? second : first)
