/** Builds, runs every test file there is, and refuses to call an empty list a success (Node 20 would: `--test` finds no TypeScript). */
import { spawnSync } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { join } from 'node:path'

const here = import.meta.dirname
const wanted = process.argv.slice(2)
const files = readdirSync(here, { recursive: true, encoding: 'utf8' })
  .filter((name) => name.endsWith('.test.ts'))
  .filter((name) => wanted.length === 0 || wanted.some((part) => name.includes(part)))
  .sort()
  .map((name) => join(here, name))
if (files.length === 0) {
  console.error(`No test file${wanted.length > 0 ? ` matches ${wanted.join(', ')}` : ' found'} under test/`)
  process.exit(1)
}
const built = spawnSync(process.execPath, ['--import', 'tsx', join(here, '..', 'build.ts')], { stdio: 'inherit' })
if (built.status !== 0) process.exit(built.status ?? 1)
const reporter = process.stdout.isTTY ? 'spec' : 'tap'
const ran = spawnSync(process.execPath, ['--import', 'tsx', '--test', `--test-reporter=${reporter}`, ...files], {
  stdio: 'inherit',
})
process.exit(ran.status ?? 1)
