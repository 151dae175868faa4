import assert from 'node:assert/strict'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { renderThirdParty, runtimePackages } from '../licences.ts'
import { root, run, until } from './support/world.ts'

const dir = mkdtempSync(join(tmpdir(), 'hpc-batch-package-'))
after(() => rmSync(dir, { recursive: true, force: true }))

test('HB-39: the package that npm pack makes runs elsewhere: its bundles need nothing beside them', async () => {
  // the build is there already; scripts would build it anew under the feet of other tests
  const packed = await run(['npm', 'pack', '--silent', '--ignore-scripts', '--pack-destination', dir], { cwd: root })
  assert.equal(packed.code, 0, packed.stderr)
  const tarball = join(dir, packed.stdout.trim().split('\n').at(-1) ?? '')
  assert.equal((await run(['tar', '-xzf', tarball, '-C', dir])).code, 0)
  const cli = join(dir, 'package', 'dist', 'hpc-submitter.mjs')
  mkdirSync(join(dir, 'dropbox'))
  writeFileSync(join(dir, 'in.txt'), 'one two\n')
  const job = `script: word_count\ninput_map: {text: ${dir}/in.txt}\noutput_map: {counts: ${dir}/counts}\n...\n`
  writeFileSync(join(dir, 'dropbox', 'a.job'), job)
  const environment = { ...process.env, HOME: dir }
  await until('the result', async () => {
    const ran = await run([process.execPath, cli, 'tick'], { cwd: dir, env: environment })
    assert.equal(ran.code, 0, ran.stderr)
    return existsSync(join(dir, 'dropbox', 'a.job.finished'))
  })
  assert.match(readFileSync(join(dir, 'counts'), 'utf8'), /^words 2$/m)
  for (const program of ['hpc_queuer', 'hpc_runner']) {
    const help = await run([process.execPath, join(dir, 'package', 'on_hpc', 'scripts', program), '--help'])
    assert.equal(help.code, 0)
    assert.match(help.stdout, new RegExp(`usage: ${program}`))
  }
})

test('the lock file names no download address, and every dependency is used', async () => {
  const lock = readFileSync(join(root, 'package-lock.json'), 'utf8')
  assert.doesNotMatch(lock, /"resolved":/)
  // the only addresses are those where makers ask for support
  const addresses = lock.split('\n').filter((line) => line.includes('://') && !line.trim().startsWith('"url":'))
  assert.deepEqual(
    addresses.filter((line) => !line.trim().startsWith('"funding":')),
    [],
  )
  const { dependencies } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
    dependencies: Record<string, string>
  }
  for (const name of Object.keys(dependencies)) {
    const used = await run(
      ['grep', '-rlE', `from '${name}(/[^']*)?'|import\\('${name}(/[^']*)?'\\)`, 'contract', 'submitter'],
      { cwd: root },
    )
    assert.notEqual(used.stdout, '', `${name} is imported nowhere`)
  }
})

test('dependencies are few, of free licences, and listed with them', () => {
  const packages = runtimePackages()
  const free = new Set('MIT ISC BSD-2-Clause BSD-3-Clause Apache-2.0 BlueOak-1.0.0 PSF-2.0 Unlicense 0BSD'.split(' '))
  for (const { name, licence, text } of packages) {
    assert.ok(free.has(licence), `${name} has the licence ${licence}`)
    assert.ok(text.length > 200, `${name} brings no licence text`)
  }
  assert.ok(packages.length < 60, `${packages.length} packages`)
  const listed = readFileSync(join(root, 'THIRD-PARTY.md'), 'utf8')
  assert.equal(listed, renderThirdParty(), 'run npm run licences')
})
