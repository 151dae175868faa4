/** What comes back, and how: all or nothing, verified, in place of what was there; and what a job may leave behind. */
import assert from 'node:assert/strict'
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { list, World } from '../support/world.ts'

const world = new World()
after(() => world.end())

const to = (name: string, paths: Readonly<Record<string, string>>) =>
  `script: ${name}\noutput_map: ${JSON.stringify(paths)}\n`

world.template('nothing', '#!/bin/sh\ntrue\n')
world.template('empty', '#!/bin/sh\n: >output/<<to>>\n')
world.template(
  'folder',
  '#!/bin/sh\nmkdir -p output/<<to>>/sub/none\necho a >output/<<to>>/a\necho b >output/<<to>>/sub/b\nln -s / output/<<to>>/root\nmkfifo output/<<to>>/pipe\n',
)
world.template('program', '#!/bin/sh\necho new >output/<<to>>\nchmod 700 output/<<to>>\n')
world.template('beside', '#!/bin/sh\necho beside ><<to>>\n')
world.template('both', '#!/bin/sh\necho 1 ><<to>>; echo 2 >output/<<to>>\n')
world.template('link', '#!/bin/sh\nln -s /etc/passwd output/<<to>>\n')
world.template(
  'litter',
  `#!/bin/sh
mkdir shut output/shut; echo x >shut/x; chmod 0 shut output/shut
ln -s / root; ln -s / output/root; mkfifo pipe
${process.execPath} -e 'require("net").createServer().listen("socket", () => process.exit())'
: >"$(printf 'odd\\nname')"
`,
)
world.template('two', '#!/bin/sh\necho one >output/<<one>>\necho two >output/<<two>>\n')

test('HB-26 HB-05: one runner, every kind of output', async () => {
  const old = world.out('replaced')
  mkdirSync(join(old, 'deep'), { recursive: true })
  writeFileSync(join(old, 'deep', 'gone'), 'old')
  writeFileSync(world.out('kept-mode'), 'old')
  chmodSync(world.out('kept-mode'), 0o640)
  writeFileSync(world.out('kept'), 'old')
  world.drop('missing', to('two', { one: world.out('m-one'), two: world.out('m-two'), three: world.out('m-three') }))
  world.drop(
    'optional',
    to('two', { one: world.out('o-one'), two: world.out('o-two'), 'three?': world.out('o-three') }),
  )
  world.drop('keeps', to('nothing', { to: world.out('kept') }))
  world.drop('empty', to('empty', { to: world.out('zero') }))
  world.drop('folder', to('folder', { to: world.out('made') }))
  world.drop('replaces', to('folder', { to: old }))
  world.drop('mode', to('program', { to: world.out('kept-mode') }))
  world.drop('exec', to('program', { to: world.out('exec') }))
  world.drop('beside', to('beside', { to: world.out('beside') }))
  world.drop('both', to('both', { to: world.out('both') }))
  world.drop('link', to('link', { to: world.out('link') }))
  world.drop('litter', 'script: litter\n')
  const ran = await world.go()
  assert.equal(ran.code, 0, ran.stderr)
})

test('P-AR-05 HB-27: return code 0 with a missing output is an error that names it, and nothing is delivered', () => {
  const { job } = world.finished('missing')
  assert.deepEqual([job.status, job.rc, job.state], ['error', 0, 'done'])
  assert.match(job.message, /return code 0 but did not write "m-three": see that it writes to <<workspace>>\/output\//)
  assert.deepEqual(
    list(join(world.dir, 'out')).filter((name) => name.startsWith('m-')),
    [],
  )
  assert.equal(world.finished('keeps').job.status, 'error')
  assert.equal(readFileSync(world.out('kept'), 'utf8'), 'old')
})

test('HB-26: an output marked with ? may be missing; one of no length is one', () => {
  assert.equal(world.finished('optional').job.status, 'ok')
  assert.equal(readFileSync(world.out('o-two'), 'utf8'), 'two\n')
  assert.equal(existsSync(world.out('o-three')), false)
  assert.deepEqual([world.finished('empty').job.status, statSync(world.out('zero')).size], ['ok', 0])
})

test('HB-26: a folder comes back as a folder, without links and pipes, and takes the place of an old one', () => {
  for (const name of ['made', 'replaced']) {
    const root = world.out(name)
    assert.deepEqual(list(root).sort(), ['a', 'sub'])
    assert.equal(readFileSync(join(root, 'sub', 'b'), 'utf8'), 'b\n')
    assert.deepEqual(list(join(root, 'sub')).sort(), ['b', 'none'])
  }
  const warnings = world.finished('folder').job.warnings as string[]
  assert.equal(warnings.length, 2, String(warnings))
  assert.match(warnings.join(), /"pipe" in output folder "made" is no regular file and was left out/)
})

test('HB-26: modes are those of the file replaced, else the usual ones, never a private 0600', () => {
  const mode = (name: string) => (statSync(world.out(name)).mode & 0o777).toString(8)
  assert.equal(readFileSync(world.out('kept-mode'), 'utf8'), 'new\n')
  assert.deepEqual([mode('kept-mode'), mode('exec'), mode('zero'), mode('made')], ['640', '755', '644', '755'])
})

test('HB-05: outputs are found beside output/ too; two of a name, and links, are errors', () => {
  assert.equal(readFileSync(world.out('beside'), 'utf8'), 'beside\n')
  assert.match(world.finished('both').job.message, /"both" .* was written twice/)
  assert.match(world.finished('link').job.message, /"link" .* is a link or special file/)
  assert.equal(existsSync(world.out('link')), false)
})

test('HB-31 P-HB-23: a socket, a pipe, links to / and folders of mode 0 are cleaned away, and / stands', () => {
  assert.equal(world.finished('litter').job.status, 'ok')
  assert.deepEqual(world.jobsLeft(), [])
  assert.deepEqual(list(join(world.workspace, '.trash')), [])
  assert.ok(readdirSync('/').length > 3)
  assert.deepEqual(
    list(join(world.dir, 'out')).filter((name) => name.startsWith('.')),
    [],
    'nothing of ours stays beside the destinations',
  )
})

test('HB-28 P-HB-13 P-HB-14: the second of two outputs cannot be written: neither is there, all is kept, and then it is delivered', async () => {
  const other = new World()
  try {
    const shut = join(other.dir, 'shut')
    mkdirSync(shut)
    writeFileSync(other.out('one'), 'old')
    other.template('two', '#!/bin/sh\necho one >output/<<one>>\necho two >output/<<two>>\n')
    other.template('shuts', `#!/bin/sh\nchmod 555 ${shut}\n`)
    other.belongTo(12345)
    other.drop('two', to('two', { one: other.out('one'), two: join(shut, 'two') }))
    other.drop('shuts', 'script: shuts\npriority: 90\n')
    other.belongTo(12345)
    const first = await other.go()
    assert.match(
      first.stderr,
      /the result of "two\.job" cannot be delivered yet: .*"[^"]*shut" is not writable by the gateway/,
    )
    assert.equal(readFileSync(other.out('one'), 'utf8'), 'old')
    assert.deepEqual(list(shut), [])
    assert.deepEqual(list(join(other.dir, 'out')), ['one'])
    assert.ok(other.has('two.job.submitted'))
    assert.equal(list(join(other.workspace, 'control')).length, 1)
    const again = await other.tick()
    assert.equal(again.code, 75, again.stderr)
    chmodSync(shut, 0o755)
    const last = await other.tick()
    assert.equal(last.code, 0, last.stderr)
    assert.equal(readFileSync(other.out('one'), 'utf8') + readFileSync(join(shut, 'two'), 'utf8'), 'one\ntwo\n')
    assert.equal(other.finished('two').job.status, 'ok')
    assert.deepEqual(other.jobsLeft(), [])
  } finally {
    await other.end()
  }
})

test('HB-28: a destination folder that stays away costs the delivery, after the expiry, not what was computed', async () => {
  const gone = join(world.dir, 'gone')
  mkdirSync(gone)
  world.drop('gone', `${to('program', { to: join(gone, 'x') })}expiry: 1s\n`)
  assert.equal((await world.tick()).code, 0)
  await world.drained()
  rmdirSync(gone)
  const end = Date.now() + 10_000
  while (!world.has('gone.job.finished')) {
    assert.ok(Date.now() < end, 'it was never given up')
    const { code } = await world.tick()
    assert.equal(code, world.has('gone.job.finished') ? 0 : 75)
  }
  const { hpc, job } = world.finished('gone')
  assert.deepEqual([job.status, job.state], ['error', 'aborted'])
  assert.match(
    job.message,
    /could not be delivered until its expiry ran out: .*does not exist.* is kept at site "here" until \d{4}-\d\d-\d\d, under job id/,
  )
  const kept = list(join(world.workspace, 'kept')).map((day) => join(world.workspace, 'kept', day, hpc.id))
  assert.ok(
    kept.some((dir) => existsSync(join(dir, hpc.id, 'output', 'x'))),
    'the output is kept',
  )
})

test('HB-05 P-HB-14: a destination that became a link while the job ran is not followed', async () => {
  const trap = world.out('trap')
  writeFileSync(world.input('precious'), 'precious')
  world.drop('trap', to('program', { to: trap }))
  assert.equal((await world.tick()).code, 0)
  await world.drained()
  symlinkSync(join(world.dir, 'in', 'precious'), trap)
  const ran = await world.tick()
  assert.match(ran.stderr, /cannot be delivered yet: .*is a link or special file/)
  rmSync(trap)
  assert.equal((await world.tick()).code, 0)
  assert.equal(readFileSync(trap, 'utf8'), 'new\n')
  assert.equal(readFileSync(join(world.dir, 'in', 'precious'), 'utf8'), 'precious')
})
