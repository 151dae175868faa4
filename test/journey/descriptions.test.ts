/** What a tool may write into a `.job`, carried out: one drop of many jobs, one runner, one look at all results. */
import assert from 'node:assert/strict'
import { copyFileSync, existsSync, mkdirSync, readFileSync, utimesSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { list, type Result, run, World } from '../support/world.ts'

const world = new World(`dropbox: ./dropbox
templates: ./templates
state: ./state
settle: 300ms
sites:
  here:
    transport: {type: local}
    scheduler: {type: local}
    hpc_env: {workspace: "{dir}/work space", scripts: /opt/scripts, containers: /opt/sif, foo: of the config, level: low}
`)
const workspace = join(world.dir, 'work space')
after(() => world.end())

/** A field of a result as the original callers, who are Python, read it. */
async function read(name: string): Promise<Result> {
  const script = 'import json, sys, yaml; print(json.dumps(yaml.safe_load(open(sys.argv[1])), default=str))'
  const ran = await run(['python3', '-c', script, join(world.dropbox, `${name}.job.finished`)])
  assert.equal(ran.code, 0, ran.stderr)
  return JSON.parse(ran.stdout) as Result
}

const stdoutOf = (name: string): string => world.finished(name).job.stdout as string
const order = join(world.dir, 'order')

before(async () => {
  world.template('say', '#!/bin/bash\necho "--level=<<level>> --v=<<v>> --z=<<z>> --y=<<y>> --l" <<list>>\n')
  world.template('echo', '#!/bin/bash\necho "<<a>>|<<b>>"\n')
  world.template(
    'env',
    '#!/bin/sh\necho <<workspace>>\necho <<scripts>> <<containers>> "<<foo>>" <<site>> <<lane>> <<job_id>> <<level>>\npwd\n',
  )
  world.template('names', '#!/bin/sh\necho "<<from>>:<<to>>"\nls input output\ncat input/<<from>> >output/<<to>>\n')
  world.template('literal', '#!/bin/bash\ncat <<EOF >>"output/<<to>>"\n<<!kept>>\nEOF\ncat <<<"x" >>"output/<<to>>"\n')
  world.template('noise', "#!/bin/sh\nprintf '\\377\\033\\000ok\\n'\nprintf 'err\\377' >&2\n")
  world.template('long', '#!/bin/sh\necho HEAD; head -c 3000000 /dev/zero | tr "\\\\0" x; echo; echo TAIL\n')
  world.template('first', `#!/bin/sh\necho <<n>> >>${order}\n`)

  world.drop('true', 'script: true\nnote: {a: 1, when: 2021-01-01, n: 014}\n')
  world.drop('scalars', 'script: say\nargs: {level: 6, v: 6.0, z: 014, y: yes, list: [a b, c]}\n')
  world.drop(
    'values',
    'script: echo\nargs:\n  a: \'<<b>> \\1 $& & {{b}} \\g<0>\'\n  b: "it\'s $(touch {dir}/hurt) `id` \\"q\\"\\nline"\n'.replace(
      '{dir}',
      world.dir,
    ),
  )
  world.drop('env', 'script: env\nargs: {level: high}\n')
  world.drop(
    'names',
    `script: names\ninput_map: {from: ${world.input('a b.mp3', 'content')}}\noutput_map: {to: ${world.out('o 1')}}\n`,
  )
  world.drop('literal', `script: literal\noutput_map: {to: ${world.out('literal')}}\n`)
  world.drop('null', 'script: true\nargs:\ninput_map: ~\noutput_map: null\n')
  world.drop('noise', 'script: noise\n')
  world.drop('long', 'script: long\n')
  world.drop('fails', `script: false\noutput_map: {a: ${world.out('absent')}, b: ${world.out('there')}}\n`)
  writeFileSync(world.out('there'), 'old')
  world.drop('unknown', 'script: flase\n')
  mkdirSync(join(world.dropbox, 'sub'))
  writeFileSync(join(world.dropbox, 'sub', 'ok.job'), 'script: true\n...\n')
  copyFileSync(join(world.dropbox, 'sub', 'ok.job'), join(world.dropbox, '.h.job'))
  for (const [age, name] of [
    [30, 'third'],
    [50, 'first'],
    [40, 'second'],
  ] as const) {
    world.drop(name, `script: first\nargs: {n: ${name}}\n`)
    const time = Date.now() / 1000 - age
    utimesSync(join(world.dropbox, `${name}.job`), time, time)
  }
})

test('HB-13 HB-12: one tick accepts all that is good, refuses the one bad at once, and says where files will lie', async () => {
  const ran = await world.tick()
  assert.equal(ran.code, 0, ran.stderr)
  // HB-06 HB-30: refused in the same tick, before any queue
  assert.equal(world.finished('unknown').job.status, 'error')
  assert.match(world.finished('unknown').job.message, /"flase" is not in templates \(did you mean "false"\?\)/)
  const { hpc } = world.has('names.job.submitted') ? world.submitted('names') : world.finished('names')
  assert.match(hpc.id, /^[a-z0-9]+-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/)
  assert.equal(hpc.workspace, join(workspace, 'jobs', hpc.id))
  assert.deepEqual(hpc.input_map, { from: join(hpc.workspace, 'input', 'a b.mp3') })
  assert.deepEqual(hpc.output_map, { to: join(hpc.workspace, 'output', 'o 1') })
  assert.ok(hpc.finished_file.startsWith(workspace))
  assert.equal(world.has('names.job'), false)
})

test('HB-21 HB-22: one runner, in a workspace with a blank in its path, drains them all', async () => {
  const marks = () => list(join(workspace, 'lanes')).flatMap((lane) => list(join(workspace, 'lanes', lane, 'runners')))
  const end = Date.now() + 30_000
  while (!marks().some((name) => name.endsWith('.end'))) {
    assert.ok(Date.now() < end, 'the runner never ended')
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  const ran = await world.tick()
  assert.equal(ran.code, 0, ran.stderr)
  assert.equal(marks().length, 2, 'one start mark and its end')
  assert.deepEqual(
    ['jobs', 'control', 'staging'].flatMap((folder) => list(join(workspace, folder))).length,
    0,
    'all is cleaned away (what the failed job left is kept elsewhere)',
  )
})

test('HB-01: subfolders and dotfiles are none of ours; the oldest file is served first', () => {
  assert.ok(existsSync(join(world.dropbox, 'sub', 'ok.job')))
  assert.ok(existsSync(join(world.dropbox, '.h.job')))
  assert.equal(readFileSync(order, 'utf8'), 'first\nsecond\nthird\n')
})

test('HB-02 HB-29: a result has the description as it was, and the five fields, for PyYAML too', async () => {
  const result = await read('true')
  assert.deepEqual(result.note, { a: 1, when: '2021-01-01', n: 12 })
  const { job } = result
  assert.deepEqual([job.status, job.message, job.rc, job.stdout, job.stderr], ['ok', 'processed OK', 0, '', ''])
  assert.ok(typeof job.start === 'string' && typeof job.end === 'string' && job.start <= job.end)
  assert.deepEqual([job.state, job.site], ['done', 'here'])
  assert.equal((await read('null')).job.status, 'ok')
})

test('HB-03 P-GW-03: arguments are the text that stood in the file; a list is its items', () => {
  assert.equal(stdoutOf('scalars'), '--level=6 --v=6.0 --z=014 --y=yes --l a b c\n')
})

test('HB-07 P-HB-03 P-HB-04 P-HB-25: a value is never expanded, by us or by the shell', () => {
  assert.equal(stdoutOf('values'), `<<b>> \\1 $& & {{b}} \\g<0>|it's $(touch ${world.dir}/hurt) \`id\` "q"\nline\n`)
  assert.equal(existsSync(join(world.dir, 'hurt')), false)
})

test('HB-07: here-documents and the escape stay what they are', () => {
  assert.equal(readFileSync(world.out('literal'), 'utf8'), '<<kept>>\nx\n')
})

test('HB-08 HB-09: built-ins, keys of hpc_env, and an argument that overrides one', () => {
  const { hpc } = world.finished('env')
  assert.equal(
    stdoutOf('env'),
    `${hpc.workspace}\n/opt/scripts /opt/sif of the config here default ${hpc.id} high\n${hpc.workspace}\n`,
  )
})

test('HB-04 HB-05 HB-26: inputs and outputs go by their base names', () => {
  assert.equal(stdoutOf('names'), 'a b.mp3:o 1\ninput:\na b.mp3\n\noutput:\n')
  assert.equal(readFileSync(world.out('o 1'), 'utf8'), 'content')
  assert.equal(world.finished('names').job.message, 'processed OK')
})

test('HB-27: a failing script is told with its return code, and destinations stay as they were', () => {
  const { job } = world.finished('fails')
  assert.deepEqual([job.status, job.message, job.rc], ['error', 'Remote command failed with return code 3', 3])
  assert.deepEqual([job.stdout, job.stderr], ['out\n', 'err\n'])
  assert.equal(existsSync(world.out('absent')), false)
  assert.equal(readFileSync(world.out('there'), 'utf8'), 'old')
})

test('HB-29 P-HB-15: any bytes on the streams become text that PyYAML reads; long ones keep head and tail', async () => {
  const { job } = await read('noise')
  assert.deepEqual([job.stdout, job.stderr], ['\ufffd\u001b\0ok\n', 'err\ufffd'])
  const long = (await read('long')).job.stdout as string
  const parts = /^HEAD\nx+\n\[… [\d.]+ \w+ left out here \(\d+ bytes\) …\]\nx+\nTAIL\n$/
  assert.ok(parts.test(long), `${long.length} characters: ${long.slice(0, 10)}…${long.slice(-10)}`)
  assert.ok(long.length < 1_100_000)
})
