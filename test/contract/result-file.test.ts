import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { test } from 'node:test'
import fc from 'fast-check'
import { load } from 'js-yaml'
import { readDescription } from '../../contract/read-description.ts'
import { readSpliced, spliceBlocks } from '../../contract/result-file.ts'

const hpc = { id: '1e3', workspace: '/w/1_000', history: [{ at: '12:30', what: 'yes' }], input_map: { a: '/w/in put' } }
const job = {
  status: 'ok',
  message: 'processed OK',
  stdout: '\ufffd\x1b\0\n\r\n\t"q" \\ \u2028\u0085\ufeff\uffff😀',
  stderr: '',
  rc: -9,
  start: '2021-01-01 00:00:00',
  end: '2021-01-01T00:00:01Z',
  site: null,
  attempts: 2,
}

function spliced(original: string | Uint8Array, blocks = { hpc, job } as Parameters<typeof spliceBlocks>[1]): string {
  return Buffer.from(spliceBlocks(Buffer.from(original), blocks)).toString()
}

/** The original comes back byte for byte, and our blocks as they were. */
function comesBack(original: string | Uint8Array): void {
  const read = readSpliced(spliceBlocks(Buffer.from(original), { hpc, job }))
  assert.deepEqual(read.hpc, hpc)
  assert.deepEqual(read.job, job)
  assert.ok(read.original !== undefined && Buffer.from(read.original).equals(Buffer.from(original)), String(original))
}

const kept: readonly (readonly [what: string, original: string, before: string, after: string])[] = [
  ['at the end', 'script: x\nargs: {a: 014} # why\n', 'script: x\nargs: {a: 014} # why\n', ''],
  ['after a last line without a line end', 'script: x', 'script: x\n', ''],
  ['before the document end', '---\nscript: x\n...\n', '---\nscript: x\n', '...\n'],
  ['before a document end with a comment', 'script: x\n... # done\n\n', 'script: x\n', '... # done\n\n'],
  ['after CRLF lines and a byte order mark', '\ufeffscript: x\r\n', '\ufeffscript: x\r\n', ''],
  ['after a map without a value', 'script: x\noutput_map:\n', 'script: x\noutput_map:\n', ''],
  ['after a list at the margin', 'script: x\nafter:\n- a\n', 'script: x\nafter:\n- a\n', ''],
  ['after aliases that we leave alone', 'a: &x [1]\nb: *x\n', 'a: &x [1]\nb: *x\n', ''],
  ['in front where the end must stay the end', 'script: x\nnote: |\n  text', '', 'script: x\nnote: |\n  text'],
]

for (const [what, original, before, after] of kept) {
  test(`HB-12: spliceBlocks() puts our blocks ${what}`, () => {
    const result = spliced(original)
    assert.ok(result.startsWith(before) && result.endsWith(after), result)
    assert.match(result.slice(before.length), /^hpc:\n {2}id: "1e3"\n/)
    assert.match(result, /\n {2}rc: -9\n {2}start: "2021-01-01 00:00:00"\n/)
    comesBack(original)
  })
}

test('HB-12: spliceBlocks() indents our blocks like the tool’s own keys', () => {
  assert.match(spliced('  script: x\n  a: 1\n'), /^ {2}script: x\n {2}a: 1\n {2}hpc:\n {4}id: /)
  comesBack('  script: x\n  a: 1\n')
})

test('HB-12: spliceBlocks() adds entries inside the braces of JSON and flow style', () => {
  for (const [before, after] of [
    ['{"script": "x"', '}'],
    ['{\n  "script": "x"\n', '}\n'],
    ['{script: x,', '}\n'],
    ['{', '}'],
    ['--- {a: 1', '}\n'],
    ['{a: "}"', '} # }\n...\n'],
  ] as const) {
    const result = spliced(before + after)
    assert.ok(result.startsWith(before) && result.endsWith(`\n${after}`), result)
    assert.match(result.slice(before.length), /^,?\n"hpc": \{"id":"1e3".*\},\n"job": \{.*\}\n/)
    comesBack(before + after)
  }
})

test('HB-12: spliceBlocks() writes a document anew that has hpc or job already, or a key twice', () => {
  const result = spliced('# mine\nscript: x\nhpc: {a: 1}\nargs: {v: 6.0, z: 014, s: "6"}\njob: y\nscript: z\n')
  assert.match(result, /^args:\n {2}v: 6\.0\n {2}z: 014\n {2}s: "6"\nscript: z\nhpc:\n {2}id: "1e3"\n/)
  comesBack('# mine\nscript: x\nhpc: {a: 1}\nargs: {v: 6.0, z: 014, s: "6"}\njob: y\nscript: z\n')
  comesBack('hpc: 1')
})

test('HB-29: spliceBlocks() makes a YAML mapping of a description that is none', () => {
  const originals = [
    '',
    'a: [',
    'just text',
    '- a\n',
    'a: 1\n---\nb: 2\n',
    'a: !!python/object:os.system x\n',
    '{[a]: 1}',
    'a: *b\n',
    'a: 1 # \x1b\n',
    '\0',
  ]
  for (const original of originals) {
    const value = load(spliced(original)) as { description: string; job: unknown }
    assert.equal(value.description, original)
    assert.deepEqual(value.job, job)
    comesBack(original)
  }
  const binary = load(spliced(Buffer.from([0xff, 0x41]))) as { description: string }
  assert.equal(binary.description, '\ufffdA')
  assert.equal(readSpliced(spliceBlocks(Buffer.from([0xff, 0x41]), { hpc, job })).original, undefined)
  const long = load(spliced('['.repeat(100_000))) as { description: string }
  assert.equal(long.description.length, 65_536)
})

test('HB-12: spliceBlocks() keeps what it needs under hpc even when there is only a job block, or none', () => {
  for (const blocks of [{ job }, {}, { hpc: {} }]) {
    const read = readSpliced(spliceBlocks(Buffer.from('script: x\n'), blocks))
    assert.deepEqual(read.hpc, {})
    assert.equal(Buffer.from(read.original ?? []).toString(), 'script: x\n')
  }
})

test('HB-12: a .submitted becomes its .finished by way of the original', () => {
  const submitted = readSpliced(spliceBlocks(Buffer.from('script: x\n...\n'), { hpc }))
  assert.equal(submitted.job, undefined)
  const finished = spliceBlocks(submitted.original ?? new Uint8Array(), { hpc: submitted.hpc as object, job })
  assert.equal(Buffer.from(finished).toString(), spliced('script: x\n...\n'))
})

test('readSpliced() finds the original changed when somebody edited the file', () => {
  const result = spliced('script: x\n')
  assert.equal(readSpliced(Buffer.from(result.replace('script: x', 'script: y'))).original, undefined)
  assert.deepEqual(readSpliced(Buffer.from(result.replace('script: x', 'script: y'))).hpc, hpc)
})

test('readSpliced() has nothing for files that are not ours', () => {
  const nothing = { hpc: undefined, job: undefined, original: undefined }
  for (const text of ['', 'a: [', 'script: x\n', '- a', '\0']) assert.deepEqual(readSpliced(Buffer.from(text)), nothing)
  assert.deepEqual(readSpliced(Buffer.from('hpc: 1\njob: *x\n')), { hpc: 1, job: undefined, original: undefined })
  for (const description of [
    '1',
    '{bytes: 5, at: 9, sha256: x}',
    '{bytes: -1, at: -1}',
    '{bytes: 1e9, at: 0}',
    '{bytes: 3, base64: "%"}',
  ])
    assert.equal(readSpliced(Buffer.from(`hpc: {description: ${description}}`)).original, undefined)
})

test('HB-29: spliceBlocks() reads its own results back when they are larger than a description may be', () => {
  const stdout = '\x1b'.repeat(1024 * 1024)
  for (const original of ['script: x\n', '{"script": "x"}\n', 'hpc: 1\n']) {
    const read = readSpliced(spliceBlocks(Buffer.from(original), { job: { stdout } }))
    assert.equal((read.job as { stdout: string }).stdout, stdout)
    assert.equal(Buffer.from(read.original ?? []).toString(), original)
  }
})

/** Pieces whose combinations YAML readers disagree about. */
const keys = [
  'a',
  'b c',
  '"q"',
  "'s'",
  '1',
  '~',
  '=',
  '<<',
  'script',
  'hpc',
  'é',
  '!!str t',
  '&k y',
  '?',
  `${'l'.repeat(1030)}`,
]
const values = [
  ...[
    '1',
    '6.0',
    '014',
    'yes',
    '~',
    '',
    '1_000',
    '12:30',
    '2021-01-01',
    '2021-13-45',
    '0x_',
    '=',
    '<<',
    '.5',
    'a b',
    'a\tb',
    '::x',
    '-x',
    '%x',
  ],
  ...[
    '"q\\x1b"',
    "'s'",
    '"a\n   b"',
    'a\n   b',
    '|\n   t\n',
    '|+\n   t\n\n',
    '>-\n   t',
    '|\n   t',
    '[1, 2]',
    '{a: 1}',
    '{"a":1}',
    '[?a, :b]',
  ],
  ...[
    '!!int 5',
    '!!set {a}',
    '!!omap [a: 1]',
    '&a 1',
    '*a',
    '!!python/name:os',
    'x#y',
    '# c',
    '\n   - 1\n   - 2',
    '\n   k: v',
    '😀',
    '[',
  ],
]
const document = fc
  .record({
    start: fc.constantFrom('', '', '---\n', '\ufeff', '# c\n', '%YAML 1.1\n---\n'),
    indent: fc.constantFrom('', '', '', '  '),
    flow: fc.boolean(),
    entries: fc.array(
      fc.tuple(
        fc.constantFrom(...keys),
        fc.constantFrom(': ', ': ', ':\t'),
        fc.constantFrom(...values),
        fc.constantFrom('\n', '\r\n', '\n\n', ' # c\n'),
      ),
      {
        maxLength: 4,
      },
    ),
    end: fc.constantFrom('', '', '...\n', '... # c', '  '),
    cut: fc.boolean(),
  })
  .map(({ start, indent, flow, entries, end, cut }) => {
    if (flow) return `${start}{${entries.map(([key, colon, value]) => key + colon + value).join(',\n')}}\n${end}`
    const text =
      start + entries.map(([key, colon, value, after]) => indent + key + colon + value + after).join('') + end
    return cut ? text.trimEnd() : text
  })

test('spliceBlocks() throws for no bytes at all, and readSpliced() reads all it wrote', () => {
  fc.assert(
    fc.property(
      fc.oneof(
        fc.uint8Array(),
        document.map((text) => Buffer.from(text)),
      ),
      (original) => {
        const result = spliceBlocks(original, { hpc, job })
        const read = readSpliced(result)
        assert.deepEqual(read.hpc, hpc)
        assert.deepEqual(read.job, job)
        if (read.original !== undefined) assert.ok(Buffer.from(read.original).equals(original))
        readSpliced(original)
      },
    ),
    { numRuns: 2000 },
  )
})

test('spliceBlocks() writes strings that js-yaml reads back, whatever they are', () => {
  fc.assert(
    fc.property(
      fc.dictionary(fc.string({ unit: 'binary' }), fc.oneof(fc.string({ unit: 'binary' }), fc.integer(), fc.boolean())),
      (block) => {
        for (const original of ['script: x\n', '{script: x}'])
          assert.deepEqual(readSpliced(spliceBlocks(Buffer.from(original), { job: block })).job, { ...block })
      },
    ),
    { numRuns: 500 },
  )
})

const python = '/usr/bin/python3'
const hasPyYaml = spawnSync(python, ['-c', 'import yaml']).status === 0
const skip =
  hasPyYaml || process.env.CI_NO_SKIP === '1' ? false : `no PyYAML for ${python}: apt-get install python3-yaml`

/** Reads original and result of each case with PyYAML; says per case what is not as it should be. */
const crossRead = `
import base64, json, sys, yaml
def plain(value): return sorted(value.items(), key=repr)
for line in sys.stdin:
    case = json.loads(line)
    original, result = (base64.b64decode(case[name]) for name in ('original', 'result'))
    try:
        read = yaml.safe_load(result)
        hpc, job = read.pop('hpc'), read.pop('job')
        hpc.pop('description')
        if hpc != case['hpc'] or job != case['job']:
            print('ours differ', original, hpc, job)
        if type(job.get('rc', 0)) is not int: print('rc is no int', job)
    except Exception as error:
        print('unreadable', original, result, error)
        continue
    try:
        own = yaml.safe_load(original)
    except Exception:
        continue
    if not isinstance(own, dict) or set(read) == {'description'}:
        continue
    for name in ('hpc', 'job'): own.pop(name, None)
    if repr(plain(own)) != repr(plain(read)):
        print('own keys differ', original, own, read)
print('done')
`

interface Case {
  readonly original: Uint8Array
  readonly blocks: { readonly hpc: object; readonly job: object }
}

function crossReads(cases: readonly Case[]): void {
  const lines = cases.map(({ original, blocks }) =>
    JSON.stringify({
      ...blocks,
      original: Buffer.from(original).toString('base64'),
      result: Buffer.from(spliceBlocks(original, blocks)).toString('base64'),
    }),
  )
  const reply = spawnSync(python, ['-c', crossRead], {
    input: `${lines.join('\n')}\n`,
    maxBuffer: 1e9,
    encoding: 'utf8',
  })
  assert.equal(reply.stdout + reply.stderr, 'done\n')
}

test('P-GW-04: PyYAML reads the tool’s own keys as if we had added nothing, and ours exactly', { skip }, () => {
  const fixed = kept
    .map(([, original]) => original)
    .concat('{"script": "x"}', '{a: 1_000,}', '  a: 1\n', 'sep: =\n', 'a: b\tc\n', 'hpc: 1\nz: 014\n', '')
  const random = fc.sample(document, 3000)
  crossReads([...fixed, ...random].map((text) => ({ original: Buffer.from(text), blocks: { hpc, job } })))
})

test('P-GW-04: PyYAML reads any string of ours as it was', { skip }, () => {
  const nasty = [
    '1_000',
    'yes',
    'on',
    '~',
    '',
    ' ',
    '=',
    '<<',
    '12:30:00',
    '0x1F',
    '2021-01-01',
    '- a',
    'a: b',
    '# c',
    '"',
    "'",
    '\\',
    '%',
    '@',
    '`',
    '...',
    '---',
    '\n...\n',
    '\t',
    '\r',
    '\x7f',
    '\x85',
    '\xa0',
  ]
  const strings = [...nasty, ...fc.sample(fc.string({ unit: 'binary' }), 1000)]
  const blocks = { hpc, job: { rc: 0, list: strings, map: Object.fromEntries(strings.map((text) => [text, text])) } }
  crossReads(['script: x\n', '{script: x}\n', 'hpc: 1\n', '['].map((text) => ({ original: Buffer.from(text), blocks })))
})

test('HB-02: a long description that only we can read is kept whole: a job of it must be delivered', () => {
  const original = Buffer.from(`script: true\n${'k'.repeat(100_000)}: 1\n...\n`)
  assert.ok(readDescription(original, 'x.job').ok)
  const { hpc, original: back } = readSpliced(spliceBlocks(original, { hpc: { id: 'x' } }))
  assert.deepEqual(hpc, { id: 'x' })
  assert.ok(back !== undefined && Buffer.from(back).equals(original))
})
