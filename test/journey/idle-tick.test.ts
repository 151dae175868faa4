import assert from 'node:assert/strict'
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { root, World } from '../support/world.ts'

const world = new World()
after(() => world.end())

/** Files of the bundle that a pass loaded, as V8 itself tells. */
async function loadedBy(name: string): Promise<string[]> {
  const dir = join(world.dir, name)
  mkdirSync(dir)
  const env = { ...process.env, NODE_V8_COVERAGE: dir, XDG_CACHE_HOME: join(world.dir, 'cache') }
  const ran = await world.cli(['tick', '--config', world.configFile], { env })
  assert.equal(ran.code, 0, ran.stderr)
  const urls = readdirSync(dir).flatMap((file) =>
    (JSON.parse(readFileSync(join(dir, file), 'utf8')) as { result: { url: string }[] }).result.map(({ url }) => url),
  )
  return urls.filter((url) => url.startsWith('file://')).map((url) => fileURLToPath(url))
}

test('a pass with nothing to do loads neither YAML, schemas, templates, ssh nor locks, and leaves nothing behind', async () => {
  await loadedBy('first')
  const loaded = (await loadedBy('second')).filter((path) => path.startsWith(join(root, 'dist')))
  const text = loaded.map((path) => readFileSync(path, 'utf8')).join('\n')
  for (const name of ['js-yaml', 'zod', 'handlebars', 'ssh2', 'proper-lockfile', 'yargs', 'chokidar'])
    assert.equal(text.includes(`node_modules/${name}/`), false, `${name} was loaded`)
  assert.ok(text.length < 150_000, `${text.length} characters were loaded`)
  assert.deepEqual(readdirSync(join(world.dropbox, '.hpc')), ['uuid'])
  assert.equal(existsSync(world.workspace), false)
})

test('the parsed config is kept for its user alone', () => {
  const dir = join(world.dir, 'cache', 'hpc-submitter')
  const files = readdirSync(dir)
  assert.equal(files.length, 1)
  assert.equal(statSync(dir).mode & 0o077, 0)
  assert.equal(statSync(join(dir, files[0] ?? '')).mode & 0o077, 0)
})
