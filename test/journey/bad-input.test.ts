/** What is wrong with a job is said at once, in its result; nothing of it reaches HPC, stops others, or is tried again. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { existsSync, linkSync, mkdirSync, readFileSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { list, type Ran, World } from '../support/world.ts'

const world = new World()
after(() => world.end())

const input = world.input('in.txt')
const fifo = join(world.dir, 'in', 'fifo')
execFileSync('mkfifo', [fifo])
const long = 'n'.repeat(237)
const odd = 'line\nbreak \u001b[31m -x'
world.template('needs', '#!/bin/sh\n# comment\necho <<level>>\n')

const copy = (from: string, to: string) =>
  `script: copy\ninput_map: {from: ${JSON.stringify(from)}}\noutput_map: {to: ${JSON.stringify(to)}}\n`
const bomb = `script: true\na: &a [x, x, x, x, x, x, x, x, x]\n${'bcdefghi'
  .split('')
  .map((name, n) => `${name}: &${name} [${Array(9).fill(`*${'abcdefgh'[n]}`).join(', ')}]`)
  .join('\n')}\n`

/** Each with what its message must say: what, and what to do. */
const bad: Readonly<Record<string, readonly [string, RegExp]>> = {
  syntax: ['script: true\nargs: {a: 1\nb: [\n', /line \d+, column \d+/],
  tab: ['script: true\nargs:\n\ta: 1\n', /line 3/],
  misspelt: [
    'script: true\ninputmap: {a: /x}\n',
    /inputmap \(line 2, column 1\) is not a key we know \(did you mean "input_map"\?\)/,
  ],
  unknown: ['script: copyy\n', /"copyy" is not in templates \(did you mean "copy"\?\)/],
  unset: ['script: needs\n', /"level" has no value.*give it in args/],
  'no-input': [
    copy(join(world.dir, 'in', 'none'), world.out('x1')),
    /input_map\.from .*"[^"]*none" does not exist; write it before the job/,
  ],
  'folder-input': [copy(join(world.dir, 'in'), world.out('x2')), /is a folder, not a regular file/],
  'fifo-input': [copy(fifo, world.out('x3')), /no regular file/],
  'no-folder': [copy(input, join(world.dir, 'none', 'x4')), /its folder "[^"]*none" does not exist; create it first/],
  'file-folder': [copy(input, join(input, 'x5')), /is no folder/],
  relative: [copy('in.txt', world.out('x6')), /"in\.txt" is not an absolute path/],
  'two-inputs': [
    `script: true\ninput_map: {a: ${input}, b: ${join(world.dir, 'in.txt')}}\n`,
    /input_map\.b .*same file name "in\.txt" as "a"/,
  ],
  'two-outputs': [
    `script: true\noutput_map: {a: ${world.out('y')}, b: ${join(world.dir, 'y')}}\n`,
    /output_map\.b .*same file name "y" as "a"/,
  ],
  'both-maps': [
    `script: true\ninput_map: {a: ${input}}\noutput_map: {a: ${world.out('z')}}\n`,
    /output_map\.a .*given in "input_map" too/,
  ],
  'built-in': ['script: true\nargs: {workspace: /etc}\n', /"workspace" is one of the names every template has/],
  traversal: ['script: ../../etc/passwd\n', /must be the plain name of a template/],
  'dot-dot': ['script: ..\n', /must be the plain name of a template/],
  huge: [`script: true\nx: ${'y'.repeat(1024 * 1024)}\n`, /bytes long; a description has at most 1048576/],
  bomb: [bomb, /aliases are not supported/],
  python: ["script: !!python/object/apply:os.system ['touch /tmp/x']\n", /YAML tag .*not allowed/],
  'not-a-map': ['- script\n- true\n', /is not a mapping/],
  empty: ['\n', /is empty/],
  'no-script': ['args: {a: 1}\n', /script .*is missing; name the template to run/],
  'no-such-site': ['script: true\nsite: heer\n', /"heer" is no site of the config \(did you mean "here"\?\)/],
  'too-long': ['script: true\nresources: {time: 100h}\n', /fit no lane; the nearest is lane here\/default: time/],
  'forged-blocks': ['script: true\nhpc: {id: x}\n', /hpc .*is written by us/],
  'into-dropbox': [
    `script: true\noutput_map: {a: ${join(world.dropbox, 'victim.job')}}\n`,
    /lies among the gateway's own files/,
  ],
  [odd]: ['script: "true"\n', /its name holds a line break or control character; rename the file/],
  '-rf': ['script: "true"\n', /its name begins with "-", which programs take for an option; rename the file/],
}

let ran: Ran

test('HB-30 HB-13: thirty bad jobs, each refused in one tick, beside a good one that is sent', async () => {
  for (const [name, [text]] of Object.entries(bad)) world.drop(name, text)
  writeFileSync(join(world.dropbox, `${long}.job`), 'script: true\n...\n')
  // what is no plain file of its own
  const aimed = world.input('aimed', 'script: true\n...\n')
  symlinkSync(aimed, join(world.dropbox, 'link.job'))
  symlinkSync('/', join(world.dropbox, 'root-link.job'))
  linkSync(aimed, join(world.dropbox, 'hard.job'))
  mkdirSync(join(world.dropbox, 'folder.job'))
  writeFileSync(join(world.dropbox, 'folder.job', 'keep'), 'me')
  execFileSync('mkfifo', [join(world.dropbox, 'pipe.job')])
  const socket = createServer().listen(join(world.dropbox, 'socket.job'))
  await new Promise((resolve) => socket.once('listening', resolve))
  // names of ours that are planted
  mkdirSync(join(world.dropbox, 'planted.job.finished'))
  world.drop('planted', 'script: true\n')
  mkdirSync(join(world.dropbox, 'planted.job.cancel'))
  world.drop('good', 'script: true\n')
  ran = await world.tick('--json')
  socket.close()
  assert.equal(ran.code, 0, ran.stderr)
  assert.ok(world.has('good.job.submitted') || world.has('good.job.finished'), ran.stderr)
})

for (const [name, [, says]] of Object.entries(bad)) {
  test(`HB-30 P-HB-05 P-HB-09 P-HB-26: bad job ${JSON.stringify(name)}`, () => {
    const { job } = world.finished(name)
    assert.deepEqual([job.status, job.state, job.rc], ['error', 'aborted', null])
    assert.match(job.message, says)
    assert.ok(!/[\n\u001b]/.test(job.message), 'a message is one line without control characters')
  })
}

test('HB-01: links, folders, pipes and sockets that are called x.job get a result; what they lead to is untouched', () => {
  for (const [name, says] of [
    ['link', /symbolic link/],
    ['root-link', /symbolic link/],
    ['hard', /more than one link/],
    ['folder', /no regular file/],
    ['pipe', /no regular file/],
    ['socket', /no regular file/],
  ] as const) {
    assert.match(world.finished(name).job.message, says, name)
  }
  assert.equal(readFileSync(join(world.dir, 'in', 'aimed'), 'utf8'), 'script: true\n...\n')
  const aside = list(world.dropbox).filter((name) => name.endsWith('.aside'))
  assert.ok(
    aside.some((name) => existsSync(join(world.dropbox, name, 'keep'))),
    'the folder was moved aside whole',
  )
})

test('HB-01: a name of more than 240 bytes is left lying, and said', () => {
  assert.ok(world.has(`${long}.job`))
  const { waiting } = JSON.parse(ran.stdout) as { waiting: { name: string; why: string }[] }
  assert.match(waiting.find(({ name }) => name === long)?.why ?? '', /more than 240 bytes; give it a shorter one/)
})

test('HB-30 P-HB-05: nothing of the refused ones is on HPC, and later ticks do not look at them again', async () => {
  const last = await world.go()
  assert.equal(last.code, 0, last.stderr)
  assert.deepEqual(world.jobsLeft(), [])
  assert.deepEqual([world.finished('good').job.status, world.finished('planted').job.status], ['ok', 'ok'])
  const left = list(world.dropbox).filter((name) => !name.startsWith('.') && !name.endsWith('.job.finished'))
  assert.deepEqual(left, [`${long}.job`])
  const at = readFileSync(join(world.dropbox, 'unset.job.finished'), 'utf8')
  utimesSync(join(world.dropbox, 'unset.job.finished'), 1, 1)
  await world.tick()
  assert.equal(readFileSync(join(world.dropbox, 'unset.job.finished'), 'utf8'), at)
})
