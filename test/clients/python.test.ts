/** The Python client and its tools alone: the gateway here is a few lines that rename, write and nothing else. */
import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import {
  chmodSync,
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { after, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import fc from 'fast-check'
import { dump, load } from 'js-yaml'

const root = resolve(import.meta.dirname, '../..')
const clients = join(root, 'clients/python')
const python = '/usr/bin/python3'
const temporary: string[] = []
after(() => {
  for (const path of temporary) rmSync(path, { recursive: true, force: true })
})

function folder(): string {
  const path = mkdtempSync(join(tmpdir(), 'hpc-client-'))
  temporary.push(path)
  return path
}

/** Makes `import yaml` fail as it does where PyYAML is not installed. */
const noPyYaml = folder()
writeFileSync(join(noPyYaml, 'yaml.py'), 'raise ImportError("hidden by the test")\n')

const withoutPython = spawnSync(python, ['--version']).status === 0 ? false : `there is no ${python}`
const withoutPyYaml =
  spawnSync(python, ['-c', 'import yaml']).status === 0 ? false : `PyYAML is not installed for ${python}`
const readers = [
  { name: 'own reader', path: `${noPyYaml}:${clients}`, skip: withoutPython },
  { name: 'PyYAML', path: clients, skip: withoutPyYaml },
]

interface Ran {
  readonly status: number | null
  readonly stdout: string
  readonly stderr: string
}

function run(command: string, args: readonly string[], env: NodeJS.ProcessEnv = {}, input = ''): Promise<Ran> {
  const child = spawn(command, args, { env: { PATH: '/usr/bin:/bin', PYTHONDONTWRITEBYTECODE: '1', ...env } })
  const out: Buffer[] = []
  const err: Buffer[] = []
  child.stdout.on('data', (part: Buffer) => out.push(part))
  child.stderr.on('data', (part: Buffer) => err.push(part))
  child.stdin.on('error', () => undefined) // one that does not read its input
  child.stdin.end(input)
  return new Promise((done, failed) => {
    child.on('error', failed)
    child.on('close', (status) => {
      done({ status, stdout: Buffer.concat(out).toString(), stderr: Buffer.concat(err).toString() })
    })
  })
}

/** Runs lines of Python that see `hpc_batch`, `given` (from JSON) and `answer(value)` (to JSON). */
async function inPython(lines: string, given: unknown, path = clients): Promise<unknown> {
  const head = 'import hpc_batch, json, sys\ngiven = json.load(sys.stdin)\nanswer = lambda v: print(json.dumps(v))\n'
  const ran = await run(python, ['-c', head + lines], { PYTHONPATH: path }, JSON.stringify(given))
  assert.equal(ran.status, 0, ran.stderr)
  return JSON.parse(ran.stdout)
}

/** How the gateway dumps its own blocks; without noRefs, an object that stands in two places becomes an anchor and an alias. */
const gatewayStyle = { forceQuotes: true, quoteStyle: 'double', lineWidth: -1, noRefs: true } as const

type Outcome = Record<string, unknown>
const processedOk: Outcome = { status: 'ok', message: 'processed OK', stdout: '', stderr: '', rc: 0 }

/** The result as the gateway writes it: the tool's own bytes, then its blocks, before the document end. */
function renderResult(original: string, outcome: Outcome): string {
  const blocks = { hpc: { id: 'a1', history: [{ state: 'done', at: 1.5 }], output_map: {} }, job: outcome }
  const text = dump(blocks, gatewayStyle)
  return original.replace(/\.\.\.\n$/, '') + text
}

/** Waits for the dropbox's one job, takes it, and answers it; returns what it asked for. */
async function serveOne(
  dropbox: string,
  outcome: Outcome,
  work: (job: never) => void = () => undefined,
): Promise<Record<string, unknown>> {
  for (;;) {
    const name = readdirSync(dropbox).find((entry) => entry.endsWith('.job') && !entry.startsWith('.'))
    // The original callers write in place: an empty file is one that is still being written
    const original = name === undefined ? '' : readFileSync(join(dropbox, name), 'utf8')
    if (name === undefined || original === '') {
      await sleep(5)
      continue
    }
    renameSync(join(dropbox, name), join(dropbox, `${name}.submitted`))
    const job = load(original) as Record<string, unknown>
    work(job as never)
    await sleep(20)
    writeFileSync(join(dropbox, '.a.1'), renderResult(original, outcome))
    rmSync(join(dropbox, `${name}.submitted`))
    renameSync(join(dropbox, '.a.1'), join(dropbox, `${name}.finished`))
    return job
  }
}

const nasty = [
  '',
  ' ',
  'no',
  'null',
  '~',
  '014',
  '1_000',
  '1:30',
  '2021-01-01',
  '6.0',
  '.nan',
  '=',
  '<<',
  '- x',
  '? x',
  'a: b',
  'a #b',
  '#',
  '...',
  '---',
  '--- x',
  '{}',
  '[]',
  '&a',
  '*a',
  '!x',
  '|',
  '>',
  '%x',
  '@x',
  '`x`',
  '"',
  "'",
  '\\',
  '\\n',
  '\\"',
  'trailing ',
  'line\n',
  '\n',
  '\r\n',
  '\ttab',
  '\0',
  '\x07\x08\x0b\x0c\x1b[31m\x7f',
  '\x80\x85\xa0\xad\xff',
  'é',
  '\u2028\u2029',
  '\ufeff',
  '\ufffd\uffff',
  '😀',
  '\u{10ffff}',
  '-n $(touch x).mp3',
  '/a/b',
  'x'.repeat(5000),
]

/** What a job may hold; integers stay within what JSON carries exactly. */
const text = fc.oneof(
  fc.constantFrom(...nasty),
  fc.string({ unit: 'grapheme', maxLength: 12 }),
  fc.string({ unit: 'binary', maxLength: 8 }),
)
const key = text.filter((name) => name.length < 80 && name !== '__proto__')
const { value } = fc.letrec<{ value: unknown }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 4, withCrossShrink: false },
    text,
    fc.maxSafeInteger(),
    fc.double({ noNaN: true, noDefaultInfinity: true }),
    fc.boolean(),
    fc.constant(null),
    fc.array(tie('value'), { maxLength: 4 }),
    fc.dictionary(key, tie('value'), { maxKeys: 4, noNullPrototype: true }),
  ),
}))
const everyNasty = { args: Object.fromEntries(nasty.map((name) => [name.slice(0, 80), name])), list: nasty }
const jobs: Outcome[] = [
  everyNasty,
  { deep: [[], {}, [[]], [{}], [[[1], 2], { a: [{ b: [] }] }], { '': { '': { '': 0 } } }] },
  { numbers: [0, -1, 9007199254740991, 0.1, -0.5, 1e21, 1e-7, 1.5e300, 5e-324] },
  ...fc.sample(fc.dictionary(key, value, { minKeys: 1, maxKeys: 5, noNullPrototype: true }), {
    numRuns: 400,
    seed: 35,
  }),
].map((job) => JSON.parse(JSON.stringify(job)) as Outcome)

for (const reader of readers) {
  test(`HB-35: submit_and_wait() returns the job with its outcome and leaves no file (${reader.name})`, {
    skip: reader.skip,
  }, async () => {
    const dropbox = folder()
    const job = { script: 'echo', args: { level: 6, text: 'é "quoted" \\' }, input_map: {}, note: { a: [1, null] } }
    const stdout = 'one\ntwo \t\u{1F600}\x1b[0m\u0000\ufffd "x" \\ \u2028\n'
    const outcome = { ...processedOk, stdout, start: 1.25, end: 2 }
    const served = serveOne(dropbox, outcome)
    const returned = await inPython(
      'answer(hpc_batch.submit_and_wait(given[0], given[1], period=0.02))',
      [dropbox, job],
      reader.path,
    )
    assert.deepEqual(await served, job)
    const hpc = { id: 'a1', history: [{ state: 'done', at: 1.5 }], output_map: {} }
    assert.deepEqual(returned, { ...job, hpc, job: outcome })
    assert.deepEqual(readdirSync(dropbox), [])
  })

  test(`HB-02: what dump() writes is read back the same (${reader.name})`, { skip: reader.skip }, async () => {
    const back = await inPython('answer([hpc_batch.load(hpc_batch.dump(job)) for job in given])', jobs, reader.path)
    assert.deepEqual(back, jobs)
  })

  test(`HB-29: a result as js-yaml dumps it is read the same (${reader.name})`, { skip: reader.skip }, async () => {
    // Below our own top-level names: js-yaml writes a top-level key "--- x" so that it starts a new document
    const results = jobs.map((job, at) => ({ hpc: job, job: { rc: at, ...job } }))
    const texts = results.map((job) => dump(job, gatewayStyle))
    const back = await inPython('answer([hpc_batch.load(text) for text in given])', texts, reader.path)
    assert.deepEqual(back, results)
  })

  test(`HB-29: a spliced result has both halves (${reader.name})`, { skip: reader.skip }, async () => {
    const written = (await inPython('answer([hpc_batch.dump(job) for job in given])', jobs)) as string[]
    const texts = written.map((original, at) => renderResult(original, { ...processedOk, stderr: nasty[at] ?? 'x' }))
    const back = (await inPython('answer([hpc_batch.load(text) for text in given])', texts, reader.path)) as Outcome[]
    for (const [at, result] of back.entries()) {
      const { hpc, job, ...description } = result
      assert.deepEqual(description, jobs[at])
      assert.deepEqual(job, { ...processedOk, stderr: nasty[at] ?? 'x' })
      assert.notEqual(hpc, undefined)
    }
  })
}

test('HB-02: what dump() writes is plain block style that js-yaml reads the same', {
  skip: withoutPython,
}, async () => {
  const written = (await inPython('answer([hpc_batch.dump(job) for job in given])', jobs)) as string[]
  for (const [at, original] of written.entries()) {
    assert.deepEqual(JSON.parse(JSON.stringify(load(original))), jobs[at])
    assert.match(original, /^"(?:[ -~]*\n)+\.\.\.\n$/)
  }
  assert.equal(
    await inPython('answer(hpc_batch.dump(given))', {
      script: 'x',
      args: { level: 6, on: true, many: [1, { a: '😀' }] },
    }),
    '"script": "x"\n"args":\n  "level": 6\n  "on": true\n  "many":\n    - 1\n    - "a": "\\U0001F600"\n...\n',
  )
})

test('HB-02: dump() keeps what Python has and JSON has not', { skip: withoutPython }, async () => {
  const lines = `import pathlib
job = {"float": 6.0, "tuple": (1, 2), "path": pathlib.Path("/a b"), "inf": float("-inf"), "big": 10**30, "none": None}
answer([hpc_batch.dump(job), hpc_batch._Reader(hpc_batch.dump(job)).document() == dict(job, tuple=[1, 2], path="/a b")])`
  assert.deepEqual(await inPython(lines, null), [
    `"float": 6.0\n"tuple":\n  - 1\n  - 2\n"path": "/a b"\n"inf": -.inf\n"big": 1${'0'.repeat(30)}\n"none": null\n...\n`,
    true,
  ])
})

test('HB-02: dump() refuses what it cannot write and says where it is', { skip: withoutPython }, async () => {
  const lines = `
def refusal(job):
    try:
        hpc_batch.submit(given, job)
    except (TypeError, ValueError) as error:
        return type(error).__name__ + ": " + str(error)
answer([refusal(job) for job in (
    {"args": {"a": [1, b"x"]}}, {"args": {1: 2}}, {"input_map": {"i": "/a\\udcff"}}, "x", {}, {"k" * 2000: 1})])`
  const dropbox = folder()
  const refusals = (await inPython(lines, dropbox)) as string[]
  const kinds = 'text, a number, True, False, None, a list or a dict'
  assert.deepEqual(refusals.slice(0, 5), [
    `TypeError: Cannot write job['args']['a'][1]: bytes is not ${kinds}`,
    "TypeError: Cannot write job['args'][1]: a key is text, not int",
    "ValueError: Cannot write job['input_map']['i']: '/a\\udcff' is not valid Unicode",
    'TypeError: A job is a dict, not str',
    'ValueError: Cannot submit an empty job',
  ])
  assert.match(refusals[5]!, /^ValueError: .*the key is too long$/)
  assert.deepEqual(readdirSync(dropbox), [])
})

test('HB-29: the own reader refuses what it does not know instead of guessing', { skip: withoutPython }, async () => {
  const wrong = [
    'a: b',
    'a: {b: 1}',
    'a: |\n  x',
    'a: 014',
    'a: "x',
    'a: "\\q"',
    'a: "\\uD83D\\uDE00"',
    'a: 1\na: 2',
    'a: 1\n  b: 2',
    '- 1\nb: 2',
    'a: "x" y',
    'x',
  ]
  const lines = `
def reads(text):
    try:
        return repr(hpc_batch.load(text))
    except ValueError:
        return None
answer([reads(text) for text in given])`
  assert.deepEqual(
    await inPython(lines, wrong, readers[0]!.path),
    wrong.map(() => null),
  )
  const right = ['', '---\n"a":\n# note\n- 1\n-\n  - 2\n- - 3\n-\n"b":\n...\nx', '? "a"\n: b: 1\n? "c"\n:\n"d": ~']
  assert.deepEqual(await inPython(lines, right, readers[0]!.path), [
    'None',
    "{'a': [1, [2], [3], None], 'b': None}",
    "{'a': {'b': 1}, 'c': None, 'd': None}",
  ])
})

test('HB-35: submit_and_wait() raises NotADirectoryError for a file and for nothing', {
  skip: withoutPython,
}, async () => {
  const dropbox = folder()
  writeFileSync(join(dropbox, 'file'), '')
  const lines = `
for path in given:
    try:
        hpc_batch.submit_and_wait(path, {"script": "x"})
    except NotADirectoryError as error:
        print(str(error), file=sys.stderr)
    else:
        sys.exit("no error")
answer(True)`
  assert.equal(await inPython(lines, [join(dropbox, 'file'), join(dropbox, 'none')]), true)
  assert.deepEqual(readdirSync(dropbox), ['file'])
})

test('HB-35: a job that failed is returned, not raised', { skip: withoutPython }, async () => {
  const dropbox = folder()
  const outcome = { ...processedOk, status: 'error', message: 'Remote command failed with return code 3', rc: 3 }
  const served = serveOne(dropbox, outcome)
  const lines = 'answer(hpc_batch.submit_and_wait(given, {"script": "x"}, period=0.02)["job"])'
  assert.deepEqual(await inPython(lines, dropbox), outcome)
  await served
})

test('HB-35: a timeout names the file that is left and cancels only when asked', { skip: withoutPython }, async () => {
  const dropbox = folder()
  const lines = `
import os
def left(**options):
    try:
        hpc_batch.submit_and_wait(given, {"script": "x"}, period=0.05, timeout=0.2, **options)
    except TimeoutError as error:
        assert repr(error.left) in str(error), str(error)
        assert os.path.exists(error.left)
        return os.path.basename(error.left)
answer([left(), left(cancel_on_timeout=True)])`
  const [kept, cancelled] = (await inPython(lines, dropbox)) as [string, string]
  assert.match(kept, /^x-[0-9a-f]{32}\.job$/)
  assert.deepEqual(readdirSync(dropbox).sort(), [kept, cancelled, `${cancelled}.cancel`].sort())
})

test('HB-35: a job that was accepted is waited for again after a timeout', { skip: withoutPython }, async () => {
  const dropbox = folder()
  const lines = `
import os
job_file = hpc_batch.submit(given, {"script": "../.x y"})
os.rename(job_file, job_file + ".submitted")
try:
    hpc_batch.wait(job_file, period=10, timeout=0.1)
except hpc_batch.JobTimeout as error:
    assert error.job_file == job_file and error.left == job_file + ".submitted"
    with open(job_file + ".submitted", "a") as file:
        file.write('"job":\\n  "status": "ok"\\n')
    with open(job_file + ".submitted") as file:
        text = file.read().replace("...\\n", "")
    with open(job_file + ".finished", "w") as file:
        file.write(text)
    answer([os.path.basename(job_file)[:3], hpc_batch.wait(error.job_file)["job"]["status"]])`
  assert.deepEqual(await inPython(lines, dropbox), ['x_y', 'ok'])
})

test('P-HB-11: a .job is complete whenever anyone sees it', { skip: withoutPython }, async () => {
  const dropbox = folder()
  const lines = `
for at in range(300):
    hpc_batch.submit(given, {"script": "x", "args": {"at": at, "filler": "y" * 100000}})
answer(True)`
  let running = true
  const submitted = inPython(lines, dropbox).finally(() => {
    running = false
  })
  let seen = 0
  while (running || readdirSync(dropbox).length > 0) {
    for (const name of readdirSync(dropbox)) {
      if (name.startsWith('.')) continue
      assert.match(name, /^x-[0-9a-f]{32}\.job$/)
      const job = readFileSync(join(dropbox, name), 'utf8')
      assert.ok(job.endsWith('"\n...\n') && job.length > 100_000, `${name} is incomplete: ${job.length} bytes`)
      rmSync(join(dropbox, name))
      seen += 1
    }
    await sleep(0)
  }
  await submitted
  assert.equal(seen, 300)
})

for (const reader of readers) {
  test(`P-HB-10: a result that grows in place is not taken before it is whole (${reader.name})`, {
    skip: reader.skip,
  }, async () => {
    const dropbox = folder()
    const lines = 'answer(hpc_batch.wait(given + "/a.job", period=0.005)["job"])'
    const waiting = inPython(lines, dropbox, reader.path)
    const outcome = { ...processedOk, status: 'ok', stdout: 'z'.repeat(200) }
    const { status, ...begun } = outcome
    // The status comes last, the worst order for the reader: without it the result is not whole
    const result = `${renderResult('"script": "x"\n', begun)}  status: "${status}"\n`
    const file = openSync(join(dropbox, 'a.job.finished'), 'w')
    for (const part of result.match(/.{1,9}/gs) ?? []) {
      writeSync(file, part)
      await sleep(3)
    }
    closeSync(file)
    assert.deepEqual(await waiting, outcome)
    assert.deepEqual(readdirSync(dropbox), [])
  })
}

test('HB-35: a result nobody can read is an error that names it, and is kept', { skip: withoutPython }, async () => {
  const dropbox = folder()
  writeFileSync(join(dropbox, 'a.job.finished'), 'job: {')
  const lines = `
hpc_batch._UNREADABLE_FOR_SECONDS = 0.2
try:
    hpc_batch.wait(given + "/a.job", period=0.02)
except ValueError as error:
    answer("a.job.finished" in str(error))`
  assert.equal(await inPython(lines, dropbox), true)
  assert.deepEqual(readdirSync(dropbox), ['a.job.finished'])
})

test('HB-35: python3 -m hpc_batch passes on streams and outcome, without site packages and locale too', {
  skip: withoutPython,
}, async () => {
  const dropbox = folder()
  const env = { PYTHONPATH: clients, LC_ALL: 'C', PYTHONCOERCECLOCALE: '0', PYTHONUTF8: '0' }
  const args = ['-S', '-m', 'hpc_batch', dropbox, '-', '--period', '0.02']
  const job = JSON.stringify({ script: 'x', args: { a: 'ü' } })

  const served = serveOne(dropbox, { ...processedOk, stdout: 'ü 😀\n', stderr: 'note\n' })
  assert.deepEqual(await run(python, args, env, job), { status: 0, stdout: 'ü 😀\n', stderr: 'note\n' })
  assert.deepEqual(await served, { script: 'x', args: { a: 'ü' } })

  const message = 'Remote command failed with return code 3'
  const failed = serveOne(dropbox, { status: 'error', message, stdout: 'o', stderr: 'e\n', rc: 3 })
  assert.deepEqual(await run(python, args, env, job), { status: 1, stdout: 'o', stderr: `e\nhpc_batch: ${message}\n` })
  await failed

  const late = await run(python, [...args, '--timeout', '0.1', '--cancel-on-timeout'], env, job)
  assert.equal(late.status, 124, late.stderr)
  assert.match(late.stderr, /is left; its cancellation is asked for\n$/)
  assert.equal((await run(python, ['-m', 'hpc_batch', '/no/where', '-'], env, job)).status, 1)
  assert.equal((await run(python, args, env, 'no json')).status, 2)
})

const tools = [
  { script: 'ina_speech_segmenter', outputs: ['segments'] },
  { script: 'kaldi', outputs: ['kaldi_json', 'kaldi_txt', 'amp_json'] },
]

for (const { script, outputs } of tools) {
  test(`HB-36: ${script}.py drops its job, passes on what it printed and exits 0 only if it is ok`, {
    skip: withoutPython,
  }, async () => {
    const dropbox = folder()
    const paths = outputs.map((name) => join(dropbox, `-${name} $(x)`))
    const args = [join(clients, `${script}.py`), dropbox, 'a/../in put.wav', ...paths, '--period', '0.02']
    for (const status of ['ok', 'error']) {
      const served = serveOne(dropbox, { ...processedOk, status, message: 'M', stdout: 'out', stderr: 'err\n' })
      const ran = await run(python, args)
      const stderr = status === 'ok' ? 'err\n' : `err\n${script}.py: M\n`
      assert.deepEqual(ran, { status: status === 'ok' ? 0 : 1, stdout: 'out', stderr })
      assert.deepEqual(await served, {
        script,
        input_map: { input: join(process.cwd(), 'in put.wav') },
        output_map: Object.fromEntries(outputs.map((name, at) => [name, paths[at]])),
      })
    }
    assert.equal((await run(python, args.slice(0, 3))).status, 2)
  })
}

test('HB-36: the Galaxy wrappers are well-formed and call the tools with quoted names', (t) => {
  const galaxy = join(root, 'clients/galaxy')
  for (const { script, outputs } of tools) {
    const xml = readFileSync(join(galaxy, `${script}.xml`), 'utf8')
    assert.ok(existsSync(join(galaxy, `../python/${script}.py`)))
    assert.ok(xml.includes(`python3 '$__tool_directory__/../python/${script}.py'`))
    assert.ok(xml.includes(["'$input'", ...outputs.map((name) => `'$${name}'`)].join(' ')))
    for (const name of outputs) assert.ok(xml.includes(`<data name="${name}" `))
  }
  const lint = spawnSync('xmllint', ['--noout', ...tools.map(({ script }) => join(galaxy, `${script}.xml`))])
  if (lint.error === undefined) assert.equal(lint.status, 0, String(lint.stderr))
  else {
    assert.notEqual(process.env.CI_NO_SKIP, '1', 'xmllint is missing')
    t.diagnostic('xmllint is not installed: well-formedness was not checked')
  }
})

test('HB-35: the client is Python 3.6 and imports nothing beside the standard library', {
  skip: withoutPython,
}, async () => {
  const lines = `
import ast
found = set()
for path in given:
    with open(path) as file:
        tree = ast.parse(file.read(), feature_version=(3, 6))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found.update(name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module)
answer(sorted(found))`
  const files = readdirSync(clients).filter((name) => name.endsWith('.py'))
  const imported = await inPython(
    lines,
    files.map((name) => join(clients, name)),
  )
  const standard = ['argparse', 'errno', 'json', 'os', 're', 'sys', 'time', 'uuid', 'warnings']
  assert.deepEqual(imported, [...standard, 'hpc_batch', 'yaml'].sort())
})

test('HB-35: the original callers, who write in place with PyYAML, still fit', { skip: withoutPyYaml }, async () => {
  const dropbox = folder()
  const job = join(folder(), 'job.yml')
  writeFileSync(job, 'script: "true"\nargs: {level: 6}\n')
  const client = join(root, 'test/support/original_client.py')
  for (const status of ['ok', 'error']) {
    const served = serveOne(dropbox, { ...processedOk, status })
    const ran = await run(python, [client, dropbox, job, '0.02'])
    assert.deepEqual(ran, { status: status === 'ok' ? 0 : 1, stdout: `${status}\n`, stderr: '' })
    await served
  }
})

// --- the templates, filled in as the renderer would: each name one word of shell, whatever is in it

function renderTemplate(name: string, values: Record<string, string>): string {
  const quoted = (value: string) => (/^[\w@%+=:,./-]+$/.test(value) ? value : `'${value.replaceAll("'", `'\\''`)}'`)
  return readFileSync(join(root, 'templates', `${name}.template`), 'utf8')
    .replaceAll(/<<#if (\w+)>>(.*?)<<\/if>>/gs, (_, arg: string, then: string) => (values[arg] ? then : ''))
    .replaceAll(/<<(\w+)>>/g, (_, arg: string) => {
      assert.ok(values[arg] !== undefined, `${name}.template asks for "${arg}"`)
      return quoted(values[arg])
    })
}

/** Stands in for Singularity: /mnt is the bound folder; each image does to its arguments what the real one would. */
const fakeSingularity = `#!/bin/bash
printf '%s\\n' "$@" >"$CALLED"
[ "$1 $2 $3" = 'run --nv --bind' ] && [ "\${4##*:}" = /mnt ] || exit 90
mnt=\${4%:*}; image=\${5##*/}; shift 5
inside() { printf '%s' "$mnt\${1#/mnt}"; }
case $image in
  ina_segmentation.sif) cp -- "$(inside "$1")" "$(inside "$2")" ;;
  my_container.sif) cp -- "$(inside "$2")" "$(inside "$3")" && cp -- "$(inside "$2")" "$(inside "$4")" ;;
  kaldi.sif)
    [ -z "\${PERL5LIB+set}" ] && [ -d "$(inside "$7")" ] || exit 91
    for file in "$(inside "$3")"/*; do
      base=\${file##*/}; base=\${base%.*}
      case $base in *' '*) exit 92 ;; esac
      for kind in amp.json pua.json txt; do { echo "$kind"; cat "$file"; } >"$(inside "$5")/$base.$kind"; done
    done ;;
esac || exit
exit "\${FAKE_RC:-0}"
`

async function runTemplate(name: string, values: Record<string, string>, files: Record<string, string>, more = {}) {
  const workspace = join(folder(), 'work space')
  for (const path of ['input', 'output', 'bin', 'cwd']) mkdirSync(join(workspace, path), { recursive: true })
  writeFileSync(join(workspace, 'bin/singularity'), fakeSingularity)
  chmodSync(join(workspace, 'bin/singularity'), 0o755)
  for (const [file, content] of Object.entries(files)) {
    for (const path of [`input/${file}`, file]) writeFileSync(join(workspace, path), content)
  }
  const script = join(workspace, 'job.sh')
  writeFileSync(script, renderTemplate(name, { workspace, containers: '/sif', ...values }))
  const called = join(workspace, 'called')
  const env = { PATH: `${join(workspace, 'bin')}:/usr/bin:/bin`, CALLED: called, PERL5LIB: '/x', ...more }
  const ran = await run('/usr/bin/env', ['-C', join(workspace, 'cwd'), 'bash', script], env)
  assert.deepEqual(readdirSync(join(workspace, 'cwd')), [], 'a file name was taken for a command')
  const output = (file: string): string | undefined => {
    const path = [join(workspace, 'output', file), join(workspace, file)].find((candidate) => existsSync(candidate))
    return path === undefined ? undefined : readFileSync(path, 'utf8')
  }
  return { ...ran, output, called: existsSync(called) ? readFileSync(called, 'utf8').trimEnd().split('\n') : [] }
}

const names = [
  'foo.mp3',
  'a b.mp3',
  '-n $(touch x).mp3',
  `it's "x";\`touch x\`&*.wav`,
  'foodat',
  '.hidden',
  'a.b.c',
  'ü.',
]

test('P-HB-25: the shipped templates take any file name', async () => {
  for (const input of names) {
    const ina = await runTemplate('ina_speech_segmenter', { input, segments: `o${input}` }, { [input]: 'sound' })
    assert.deepEqual([ina.status, ina.output(`o${input}`)], [0, 'sound'], ina.stderr)

    const outputs = { kaldi_json: `-1${input}`, kaldi_txt: `-2${input}`, amp_json: `-3${input}` }
    const kaldi = await runTemplate('kaldi', { input, ...outputs }, { [input]: 'sound' })
    assert.equal(kaldi.status, 0, `${input}: ${kaldi.stderr}`)
    assert.equal(kaldi.output(outputs.kaldi_json), 'pua.json\nsound')
    assert.equal(kaldi.output(outputs.kaldi_txt), 'txt\nsound')
    assert.equal(kaldi.output(outputs.amp_json), 'amp.json\nsound')

    const count = await runTemplate('word_count', { text: input, counts: `-${input}` }, { [input]: 'a b A\n' })
    assert.equal(count.status, 0, count.stderr)
    assert.equal(count.output(`-${input}`), 'lines 1\nwords 3\nbytes 6\n\n2 a\n1 b\n')
  }
})

test('P-HB-28: kaldi transcribes its own input only, and names ending in "dat" keep their stem', async () => {
  const outputs = { kaldi_json: 'k.json', kaldi_txt: 'k.txt', amp_json: 'a.json' }
  for (const input of ['foodat', 'xdat.dat', 'foo.mp3']) {
    const files = { [input]: 'mine', 'other.mp3': 'not mine', 'foo.wav': 'not mine' }
    const ran = await runTemplate('kaldi', { input, ...outputs }, files)
    assert.equal(ran.status, 0, ran.stderr)
    assert.equal(ran.output('k.txt'), 'txt\nmine')
    assert.equal(ran.output('output_temp/other.txt'), undefined)
  }
})

test('HB-36: kaldi ends with the return code of the container', async () => {
  const values = { input: 'a.mp3', kaldi_json: 'k.json', kaldi_txt: 'k.txt', amp_json: 'a.json' }
  const ran = await runTemplate('kaldi', values, { 'a.mp3': '' }, { FAKE_RC: '7' })
  assert.deepEqual([ran.status, ran.output('k.txt')], [7, undefined])
})

test('HB-36: a site that has modules gets "module load singularity"', async () => {
  const more = { 'BASH_FUNC_module%%': '() { echo "module $*"; }' }
  const values = { input: 'a', segments: 's', txt_output: 't', json_output: 'j', level: '6' }
  const outputs = { kaldi_json: 'x', kaldi_txt: 'y', amp_json: 'z' }
  for (const name of ['ina_speech_segmenter', 'kaldi', 'singularity']) {
    const ran = await runTemplate(name, { ...values, ...outputs }, { a: '' }, more)
    assert.deepEqual([ran.status, ran.stdout], [0, 'module load singularity\n'], ran.stderr)
  }
})

test('HB-37: singularity.template calls the program as the papers show it', async () => {
  const values = { level: '6', input: 'foo.mp3', txt_output: 'foo.txt', json_output: 'foo.json' }
  const ran = await runTemplate('singularity', values, { 'foo.mp3': 'sound' })
  assert.equal(ran.status, 0, ran.stderr)
  assert.deepEqual(ran.called.slice(4), [
    '/sif/my_container.sif',
    '--level=6',
    '/mnt/foo.mp3',
    '/mnt/foo.txt',
    '/mnt/foo.json',
  ])
  assert.deepEqual([ran.output('foo.txt'), ran.output('foo.json')], ['sound', 'sound'])
  assert.match(ran.called[3]!, /^\/.*\/work space:\/mnt$/)
})

test('HB-36: word_count counts, lists the most frequent words and refuses a top that is no number', async () => {
  const files = { t: 'Das über alles, über DAS-Haupt\nüber\n\n' }
  const ran = await runTemplate('word_count', { text: 't', counts: 'c', top: '2' }, files)
  assert.deepEqual([ran.status, ran.stdout], [0, 'counted 7 words\n'], ran.stderr)
  assert.equal(ran.output('c'), 'lines 3\nwords 7\nbytes 40\n\n3 über\n2 das\n')
  const empty = await runTemplate('word_count', { text: 't', counts: 'c' }, { t: '' })
  assert.deepEqual([empty.status, empty.output('c')], [0, 'lines 0\nwords 0\nbytes 0\n\n'], empty.stderr)
  const wrong = await runTemplate('word_count', { text: 't', counts: 'c', top: '$(touch x)' }, files)
  assert.deepEqual([wrong.status, wrong.stderr], [65, 'top must be a whole number, not "$(touch x)"\n'])
})
