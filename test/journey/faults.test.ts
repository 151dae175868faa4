/** Full disks, wrong settings and readers in a hurry: said with what to do, mended by itself or by one line, and no job is lost. */
import assert from 'node:assert/strict'
import { execFileSync, spawnSync } from 'node:child_process'
import { mkdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { load } from 'js-yaml'
import { encodeFrame, readyMark } from '../../contract/protocol.ts'
import { list, type Result, run, until, World } from '../support/world.ts'

const world = new World()
const disk = join(world.dir, 'disk')
mkdirSync(disk)
const mounted =
  process.getuid?.() === 0 && spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', disk]).status === 0
after(async () => {
  if (mounted) execFileSync('umount', [disk])
  await world.end()
})
world.template('make', '#!/bin/sh\nhead -c <<bytes>> /dev/zero >output/<<to>>\n')

test('P-HB-29: a full disk at the destination: the old content stays, nothing partial is seen, it is delivered when there is room', {
  skip: mounted ? false : 'no rights to mount a small disk here',
}, async () => {
  const ballast = join(disk, 'ballast')
  writeFileSync(ballast, Buffer.alloc(700 * 1024))
  writeFileSync(join(disk, 'x'), 'old')
  world.drop('full', `script: make\nargs: {bytes: 600000}\noutput_map: {to: ${join(disk, 'x')}}\n`)
  const ran = await world.go()
  assert.match(
    ran.stderr,
    /the result of "full\.job" cannot be delivered yet: (.*too little space for its 586 kB|.*ENOSPC)/,
  )
  assert.deepEqual(list(disk).sort(), ['ballast', 'x'])
  assert.equal(readFileSync(join(disk, 'x'), 'utf8'), 'old')
  rmSync(ballast)
  assert.equal((await world.tick()).code, 0)
  assert.equal(statSync(join(disk, 'x')).size, 600_000)
  assert.equal(world.finished('full').job.status, 'ok')
  assert.deepEqual(world.jobsLeft(), [])
})

test('P-HB-29: a full disk at the workspace: what is done comes home and makes room; else the pass ends with 75 and what to do', {
  skip: mounted ? false : 'no rights to mount a small disk here',
}, async () => {
  const place = new World()
  const fill = (name: string) =>
    spawnSync('dd', ['if=/dev/zero', `of=${join(place.workspace, name)}`, 'bs=4k'], { stdio: 'ignore' })
  try {
    mkdirSync(place.workspace)
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=100m,mode=700', 'tmpfs', place.workspace])
    place.template('make', '#!/bin/sh\nhead -c 30000000 /dev/zero >output/<<to>>\n')
    place.drop('a', `script: make\noutput_map: {to: ${place.out('a')}}\n`)
    assert.equal((await place.tick()).code, 0)
    await place.drained()
    fill('filler')
    place.drop('b', 'script: true\n')
    const first = await place.tick()
    assert.equal(place.finished('a').job.status, 'ok', first.stderr)
    assert.equal(statSync(place.out('a')).size, 30_000_000)
    assert.match((await place.cli(['status', '--config', place.configFile])).stdout, /too little space/)
    fill('more')
    const ran = await place.tick()
    assert.equal(ran.code, 75, ran.stderr)
    assert.match(ran.stderr, /the workspace \S+ cannot be written: ENOSPC.*; make room there/)
    assert.ok(place.has('b.job.submitted'))
    for (const name of ['filler', 'more']) rmSync(join(place.workspace, name))
    assert.equal((await place.go()).code, 0)
    assert.equal(place.finished('b').job.status, 'ok')
    assert.ok(list(place.workspace).includes('.ballast'))
  } finally {
    await place.drained()
    spawnSync('umount', ['-l', place.workspace])
    await place.end()
  }
})

test('P-HB-18: an hpc_queuer that gives up in the middle ends the pass with 75; nobody waits for its answers', async () => {
  const node = join(world.dir, 'giving-up')
  writeFileSync(`${node}.frame`, encodeFrame({ type: 'ended' }))
  writeFileSync(
    node,
    `#!/bin/sh
case $1 in */hpc_queuer) printf '${readyMark.trim()}\\n'; head -c 8 >/dev/null; cat ${node}.frame; exit 70 ;; esac
exec ${process.execPath} "$@"
`,
    { mode: 0o755 },
  )
  const config = readFileSync(world.configFile, 'utf8')
  writeFileSync(world.configFile, `${config}    node: ${node}\n`)
  world.drop('kept', 'script: true\n')
  const ran = await world.tick()
  assert.equal(ran.code, 75, ran.stderr)
  assert.match(ran.stderr, /hpc_queuer ended early/)
  writeFileSync(world.configFile, config)
  assert.equal((await world.go()).code, 0)
  assert.equal(world.finished('kept').job.status, 'ok')
})

test('P-HB-18 P-GW-08: a Node that is not there is the site’s trouble, said with the line to set; no job fails for it', async () => {
  const config = readFileSync(world.configFile, 'utf8')
  writeFileSync(world.configFile, `${config}    node: /no/such/node\n`)
  world.drop('patient', 'script: true\n')
  const ran = await world.tick()
  assert.equal(ran.code, 75, ran.stderr)
  assert.match(ran.stderr, /site "here".*\/no\/such\/node.*node:/)
  assert.ok(world.has('patient.job.submitted'))
  writeFileSync(world.configFile, config)
  assert.equal((await world.go()).code, 0)
  assert.equal(world.finished('patient').job.status, 'ok')
})

test('HB-39 P-HB-31: another workspace than the one jobs were sent to is refused with 78, and they wait for theirs', async () => {
  world.drop('sent', 'script: true\n')
  assert.equal((await world.tick()).code, 0)
  await world.drained()
  const other = new World()
  try {
    other.drop('x', 'script: true\n')
    assert.equal((await other.go()).code, 0)
    const config = readFileSync(world.configFile, 'utf8')
    writeFileSync(world.configFile, config.replace(world.workspace, other.workspace))
    const ran = await world.tick()
    assert.equal(ran.code, 78, ran.stderr)
    assert.match(
      ran.stderr,
      /is another one \(.*\) than this gateway's jobs were sent to \(.*\); set hpc_env\.workspace back/,
    )
    writeFileSync(world.configFile, config)
    await until('the job from its own workspace', async () => {
      await world.tick()
      return world.has('sent.job.finished')
    })
    assert.equal(world.finished('sent').job.status, 'ok')
  } finally {
    await other.end()
  }
})

test('P-HB-10 P-HB-14: results and outputs are whole whenever anybody looks', async () => {
  const names = Array.from({ length: 40 }, (_, n) => `r${n}`)
  for (const name of names)
    world.drop(name, `script: make\nargs: {bytes: 50000}\noutput_map: {to: ${world.out(name)}}\n`)
  assert.equal((await world.tick()).code, 0)
  await world.drained()
  const watcher = `
import os, sys, yaml
dropbox, out, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
seen = set()
while len(seen) < count:
    for name in os.listdir(out):
        if not name.startswith("."):
            assert os.path.getsize(os.path.join(out, name)) == 50000, name
    for name in os.listdir(dropbox):
        if name.startswith("r") and name.endswith(".job.finished"):
            with open(os.path.join(dropbox, name)) as file:
                assert yaml.safe_load(file)["job"]["status"] == "ok", name
            assert os.path.getsize(os.path.join(out, name.split(".")[0])) == 50000, name
            seen.add(name)
`
  const watching = run([
    'timeout',
    '30',
    'python3',
    '-c',
    watcher,
    world.dropbox,
    join(world.dir, 'out'),
    String(names.length),
  ])
  assert.equal((await world.tick()).code, 0)
  const watched = await watching
  assert.equal(watched.code, 0, watched.stderr)
  for (const name of names)
    assert.equal((load(readFileSync(join(world.dropbox, `${name}.job.finished`), 'utf8')) as Result).job.status, 'ok')
})

test('HB-32 P-HB-27: a pass that nothing can be accepted in (a dropbox that is away) ends with 78 or 75 and says what to do', async () => {
  renameSync(world.dropbox, `${world.dropbox}.away`)
  const gone = await world.tick()
  assert.equal(gone.code, 78, gone.stderr)
  assert.match(gone.stderr, /there is no such folder; create it, or set dropbox: in the config/)
  mkdirSync(world.dropbox)
  const empty = await world.tick()
  assert.equal(empty.code, 75, empty.stderr)
  assert.match(empty.stderr, /its marker \.hpc\/uuid is missing/)
  assert.deepEqual(list(world.dropbox), [])
  rmSync(world.dropbox, { recursive: true })
  renameSync(`${world.dropbox}.away`, world.dropbox)
  assert.equal((await world.tick()).code, 0)
})
