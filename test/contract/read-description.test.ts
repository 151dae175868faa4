import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { JobDescription } from '../../contract/job-description.ts'
import { parseDescriptionProblems, readDescription } from '../../contract/read-description.ts'

function accepted(text: string | Uint8Array): JobDescription {
  const reading = readDescription(typeof text === 'string' ? Buffer.from(text) : text, 'me.job')
  assert.ok(reading.ok, reading.ok ? '' : parseDescriptionProblems(reading.problems, 'me.job'))
  return reading.description
}

/** Each problem as `key line:column message`. */
function refused(text: string | Uint8Array): string[] {
  const reading = readDescription(typeof text === 'string' ? Buffer.from(text) : text, 'me.job')
  assert.ok(!reading.ok, 'the description was accepted')
  return reading.problems.map(({ key, line, column, message }) => `${key} ${line ?? ''}:${column ?? ''} ${message}`)
}

/** Exactly one problem, and it matches. */
function refusedFor(text: string | Uint8Array, pattern: RegExp): void {
  const problems = refused(text)
  assert.equal(problems.length, 1, problems.join('\n'))
  assert.match(problems[0] ?? '', pattern)
}

test('HB-02: readDescription() reads script, args and both maps, and needs only the script', () => {
  const full = accepted(
    'script: align\nargs: {level: 6}\ninput_map: {audio: /a/in.mp3}\noutput_map: {text: /b/out.txt, log?: /b/log/}\n',
  )
  assert.equal(full.script, 'align')
  assert.deepEqual([...full.args], [['level', '6']])
  assert.deepEqual([...full.inputs], [['audio', '/a/in.mp3']])
  assert.deepEqual(
    [...full.outputs],
    [
      ['text', { path: '/b/out.txt', optional: false }],
      ['log', { path: '/b/log', optional: true }],
    ],
  )
  const bare = accepted('script: x')
  assert.deepEqual(
    [bare.args.size, bare.inputs.size, bare.outputs.size, bare.priority, bare.after, bare.notify, bare.resources],
    [0, 0, 0, 50, [], [], {}],
  )
})

test('HB-02: readDescription() takes script: true as the name "true" and carries unknown keys', () => {
  assert.equal(accepted('script: true\nnote: {a: 1}\nwho: [x, {y: z}]\n').script, 'true')
})

test('HB-02: readDescription() takes args and maps without a value as empty', () => {
  for (const empty of ['', ' ~', ' null', ' {}']) {
    const { args, inputs, outputs } = accepted(`script: x\nargs:${empty}\ninput_map:${empty}\noutput_map:${empty}\n`)
    assert.deepEqual([args.size, inputs.size, outputs.size], [0, 0, 0])
  }
})

test('HB-03: readDescription() keeps args exactly as written', () => {
  const written = [
    '6',
    '6.0',
    '014',
    'yes',
    '1e3',
    '0x1F',
    '12345678901234567890',
    '2021-01-01',
    '1:30',
    '~',
    'null',
    '.5',
    '+1',
  ]
  const { args } = accepted(`script: x\nargs:\n${written.map((text, i) => `  a${i}: ${text}\n`).join('')}`)
  assert.deepEqual([...args.values()], written)
})

test('P-GW-03: readDescription() reads quoted, tagged, block and empty args as text', () => {
  const { args } = accepted(
    'script: x\nargs:\n  a: "q\\n\\x41"\n  b: \'it\'\'s\'\n  c: !!int 6\n  d: !!str 6.0\n  e: |\n    l1\n    l2\n  f: >-\n    l1\n    l2\n  g:\n  h: ""\n',
  )
  assert.deepEqual([...args.values()], ['q\nA', "it's", '6', '6.0', 'l1\nl2\n', 'l1 l2', '', ''])
})

test('HB-03: readDescription() keeps the items of a list, and refuses a mapping among the args', () => {
  assert.deepEqual(accepted('script: x\nargs: {l: [1, 2.0, x y, yes], m: []}').args.get('l'), [
    '1',
    '2.0',
    'x y',
    'yes',
  ])
  refusedFor('script: x\nargs: {m: {n: 1}}', /^args\.m 2:8 must be one value, not a mapping/)
  refusedFor('script: x\nargs: {l: [1, [2]]}', /^args\.l\[1\] 2:15 must be one value, not a list/)
  refusedFor('script: x\nargs: [a]', /^args 2:1 must be a mapping/)
})

test('readDescription() accepts a byte order mark, CRLF, a start and an end of the document', () => {
  const { args } = accepted('\ufeff---\r\nscript: x\r\nargs:\r\n  a: |\r\n    one\r\n    two\r\n...\r\n')
  assert.equal(args.get('a'), 'one\ntwo\n')
})

test('readDescription() ends a block value where the file ends, as PyYAML does', () => {
  assert.equal(accepted('script: x\nargs:\n  a: |\n    one').args.get('a'), 'one')
  assert.equal(accepted('script: x\nargs:\n  a: |\n    one\n').args.get('a'), 'one\n')
})

test('readDescription() reads the optional fields', () => {
  const read = accepted(
    'script: x\nsite: carbonate\ntarget: Lsf\nsize: large\nrequirements: other.gpus > 1\nrank: -1\npriority: 0\nafter: [a, b.job]\nexpiry: 1d12h\nmax_attempts: 5\nnotify: me@example.edu\nresources: {cpus: 4, memory: 1.5G, gpus: 0, nodes: 1, time: 90m}\n',
  )
  assert.deepEqual(
    { ...read, args: 0, inputs: 0, outputs: 0 },
    {
      script: 'x',
      args: 0,
      inputs: 0,
      outputs: 0,
      site: 'carbonate',
      target: 'Lsf',
      size: 'large',
      requirements: 'other.gpus > 1',
      rank: '-1',
      priority: 0,
      after: ['a', 'b.job'],
      expiryMs: 129_600_000,
      maxAttempts: 5,
      notify: ['me@example.edu'],
      resources: { cpus: 4, memoryBytes: 1_610_612_736, gpus: 0, nodes: 1, timeMs: 5_400_000 },
    },
  )
  assert.equal(accepted('script: x\nsite:\npriority: ~\nafter:\nresources:\n').site, undefined)
})

test('readDescription() refuses optional fields that are not what they must be', () => {
  for (const [line, pattern] of [
    ['priority: 101', /^priority .*"101" must be a whole number from 0 to 100/],
    ['priority: 5.0', /^priority /],
    ['priority: [1]', /^priority .*not a list/],
    ['expiry: 8', /^expiry .*with its unit/],
    ['expiry: 0s', /^expiry /],
    ['max_attempts: 0', /^max_attempts /],
    ['after: [a/b]', /^after\[0\] /],
    ['after: me', /^after 2:1 names this job itself/],
    ['after: me.job', /^after 2:1 names this job itself/],
    ['site: "a\\nb"', /^site .*line breaks/],
    ['site: ""', /^site .*is empty/],
    ['notify: [{a: b}]', /^notify\[0\] /],
    ['resources: {memory: 32}', /^resources\.memory .*"32" must be an amount/],
    ['resources: {time: 20}', /^resources\.time /],
    ['resources: {cpu: 1}', /^resources\.cpu .*did you mean "cpus"/],
    ['resources: 4', /^resources .*must be a mapping/],
  ] as const)
    refusedFor(`script: x\n${line}\n`, pattern)
})

test('readDescription() suggests our key for a misspelt one, and leaves others to the tool', () => {
  refusedFor('script: x\nouput_map: {a: /b}\n', /^ouput_map 2:1 is not a key we know \(did you mean "output_map"\?\)/)
  refusedFor('script: x\nouput_map: {a: /b}\noutput_map: {c: /d}\n', /did you mean "output_map"/)
  refusedFor('scrpt: x\n', /^scrpt 1:1 .*did you mean "script"/)
  refusedFor('script: x\nArgs: {}\n', /did you mean "args"/)
  accepted('script: x\ntitle: 1\nuser: me\ndescription: d\nrank: 1\nrack: 2\n')
})

test('readDescription() refuses what we write ourselves, and merge keys', () => {
  refusedFor('script: x\nhpc: {}\n', /^hpc 2:1 .*remove it/)
  refusedFor('script: x\njob: {}\n', /^job 2:1 .*remove it/)
  refusedFor('script: x\n<<: {a: 1}\n', /^<< 2:1 .*merge key/)
})

test('P-HB-26: readDescription() refuses script names that lead elsewhere', () => {
  for (const name of [
    '../../etc/x',
    'a/b',
    '..',
    '.',
    '.hidden',
    '-rf',
    'a b',
    '"a\\nb"',
    '"a\\0b"',
    'é',
    'a;b',
    '"\\ud800"',
  ])
    refusedFor(`script: ${name}\n`, /^script 1:1 /)
  for (const name of ['a', '_a', 'A.b-c_9', '7z']) assert.equal(accepted(`script: ${name}\n`).script, name)
  refusedFor('args: {a: 1}\n', /^script 1:1 is missing/)
  refusedFor('script:\n', /^script 1:1 is missing/)
  refusedFor('script: [a]\n', /^script 1:1 must be one value, not a list/)
})

test('HB-02: readDescription() refuses paths that are not absolute or end in no usable name', () => {
  const long = 'n'.repeat(241)
  for (const path of [
    'rel',
    './x',
    '~/x',
    '""',
    '/',
    '/a/..',
    '/a/.',
    '/a/input',
    '/a/output',
    `/a/${long}`,
    '"/a\\nb"',
    '"/a\\x07"',
    '"/a\\0"',
    '"/\\ud800"',
    '[/a]',
    '',
  ]) {
    refusedFor(`script: x\ninput_map:\n  a: ${path}\n`, /^input_map\.a 3:3 /)
    if (path !== '/') refusedFor(`script: x\noutput_map:\n  a: ${path}\n`, /^output_map\.a 3:3 /)
  }
  refusedFor('script: x\ninput_map: {a: /b/}\n', /ends in "\/" but an input is one file/)
  refusedFor('script: x\noutput_map: {a: /b/output/}\n', /folder of ours/)
})

test('readDescription() keeps odd but possible file names exactly', () => {
  for (const path of [
    '/a/-rf',
    '/a/x y',
    "/a/it's",
    '/a/$HOME',
    '/a/é',
    '/a/😀',
    '/a/b/../c',
    `/a/${'n'.repeat(240)}`,
  ]) {
    const { inputs, outputs } = accepted(`script: x\ninput_map: {a: "${path}"}\noutput_map: {b: "${path}"}\n`)
    assert.equal(inputs.get('a'), path)
    assert.equal(outputs.get('b')?.path, path)
  }
})

test('P-HB-09: readDescription() names both keys of two files with one base name', () => {
  refusedFor('script: x\ninput_map: {a: /a/x, b: /b/x}\n', /^input_map\.b 2:22 .*same file name "x" as "a"/)
  refusedFor('script: x\noutput_map: {a: /a/x, b?: /b/x/}\n', /^output_map\.b\? 2:23 .*same file name "x" as "a"/)
  accepted('script: x\ninput_map: {a: /a/x}\noutput_map: {b: /b/x}\n')
})

test('HB-08: readDescription() refuses a name with two meanings', () => {
  refusedFor(
    'script: x\ninput_map: {a: /a/x}\noutput_map: {a: /b/y}\n',
    /^output_map\.a 3:14 is given in "input_map" too/,
  )
  refusedFor(
    'script: x\ninput_map: {a: /a/x}\noutput_map: {a?: /b/y}\n',
    /^output_map\.a\? 3:14 is given in "input_map" too/,
  )
  refusedFor('script: x\nargs: {a: 1}\ninput_map: {a: /a/x}\n', /^input_map\.a 3:13 is given in "args" too/)
  refusedFor('script: x\noutput_map: {a: /b/y, a?: /b/z}\n', /^output_map\.a\? .*keep one/)
  for (const name of ['workspace', 'scripts', 'containers', 'job_id', 'site', 'lane'])
    refusedFor(`script: x\nargs: {${name}: 1}\n`, /is one of the names every template has/)
  for (const name of ['a-b', '9a', 'a b', 'é', '"a\\nb"', '""', '"a?"'])
    refusedFor(`script: x\nargs: {${name}: 1}\n`, /cannot be a name in a template/)
})

test('readDescription() says line and column of YAML that cannot be read', () => {
  refusedFor('script: x\nargs: {a: [1\n', /^ 3:1 cannot be read as YAML: /)
  refusedFor('script: x\n  args: 1\n', /^ 2:7 cannot be read as YAML: /)
  refusedFor('', /is empty/)
  refusedFor('# nothing\n...\n', /is empty/)
  refusedFor('---\n', /is empty/)
  refusedFor('- a\n', /is not a mapping/)
  refusedFor('just text\n', /is not a mapping/)
  refusedFor('script: x\n---\nscript: y\n', /more than one YAML document/)
  refusedFor('script: x\nscript: y\n', /^script 2:1 is given twice/)
  refusedFor('script: x\nnote: {a: 1, a: 2}\n', /^note\.a 2:14 is given twice/)
  refusedFor('script: x\n? [a]\n: 1\n', / 2:3 has a key that is no plain text/)
})

test('P-MT-05: readDescription() refuses tags that make objects, and aliases', () => {
  for (const tag of [
    '!!python/object:os.system',
    '!!js/function',
    '!x',
    '!!python/name:os',
    '!<tag:example.org,2000:x>',
  ])
    refusedFor(`script: x\nnote: ${tag} a\n`, /^note 2:7 uses the YAML tag/)
  refusedFor('%TAG !! tag:example.org,2000:\n---\nscript: x\n', /uses the YAML tag "%TAG"/)
  refusedFor('script: x\nnote: &a [1]\nmore: *a\n', /^more 3:7 uses the YAML alias "\*a"/)
  refusedFor('script: x\nargs: {a: !!binary aGk=}\n', /^args\.a 2:8 carries the YAML tag/)
  accepted('script: x\nnote: !!binary aGk=\nday: !!timestamp 2021-01-01\nsome: !!set {a, b}\n')
})

test('P-MT-05: readDescription() refuses an alias bomb without expanding it', () => {
  const lines = Array.from({ length: 60 }, (_, i) => `a${i + 1}: &a${i + 1} [${`*a${i}, `.repeat(9)}*a${i}]`)
  const began = performance.now()
  assert.equal(refused(`script: x\na0: &a0 [lol]\n${lines.join('\n')}\n`).length, 100)
  assert.ok(performance.now() - began < 1000)
})

test('readDescription() refuses bytes that are no text and more than 1 MiB of it', () => {
  refusedFor(Buffer.from([...Buffer.from('script: x\nnote: '), 0xff, 0x0a]), /^ 2: is not valid UTF-8/)
  refusedFor(Buffer.from('script: x', 'utf16le'), /^ 1:2 .*NUL/)
  refusedFor('script: x\0', /^ 1:10 .*NUL/)
  refusedFor('script: x # \x1b[2J\n', /^ 1:13 .*\\x1b/)
  refusedFor(`script: x\n# ${'x'.repeat(1024 * 1024)}\n`, /^ : is 1048589 bytes/)
})

test('readDescription() finds all problems at once, in the order of the file', () => {
  const problems = refused('priority: 200\nscript: ../x\ninput_map: {a: rel, b: /c/x, d: /e/x}\nouput_map: {}\n')
  assert.deepEqual(
    problems.map((problem) => problem.split(' ')[0]),
    ['priority', 'script', 'input_map.a', 'input_map.d', 'ouput_map'],
  )
})

test('readDescription() tells of large files full of mistakes in a bounded number of sentences', () => {
  const many = refused(`script: x\ninput_map:\n${Array.from({ length: 50_000 }, (_, i) => `  k${i}: x\n`).join('')}`)
  assert.equal(many.length, 100)
  assert.equal(refused(`script: x\nnote: ${'['.repeat(500_000)}`).length, 1)
  assert.ok(refused(`${'scripu'.repeat(100_000)}: x`).length <= 2)
})

test('readDescription() pollutes no prototype', () => {
  const { args } = accepted('script: x\nargs: {constructor: 2}\n__proto__: {polluted: 1}\n')
  assert.deepEqual([...args], [['constructor', '2']])
  assert.equal(({} as { polluted?: unknown }).polluted, undefined)
})

test('parseDescriptionProblems() is one sentence that names file, key, place and what to do', () => {
  const one = readDescription(Buffer.from('script: x\nouput_map: {}\n'), 'x.job')
  assert.equal(
    one.ok ? '' : parseDescriptionProblems(one.problems, 'x.job'),
    'Cannot accept "x.job": ouput_map (line 2, column 1) is not a key we know (did you mean "output_map"?); correct it, or rename it if it is your own',
  )
  const many = readDescription(
    Buffer.from(`script: x\nargs: {${Array.from({ length: 7 }, (_, i) => `${i}: 1`)}}`),
    'a\nb.job',
  )
  const sentence = many.ok ? '' : parseDescriptionProblems(many.problems, 'a\nb.job')
  assert.match(sentence, /^Cannot accept "a\\x0ab\.job": args\.0 .*; and 2 more problems$/)
  assert.doesNotMatch(sentence, /\n/)
})

const scraps = fc.constantFrom(
  ...[
    'script',
    'args',
    'input_map',
    'output_map',
    'resources',
    'after',
    ': ',
    ':',
    '\n',
    '\n  ',
    '- ',
    '[',
    ']',
    '{',
    '}',
    ', ',
    '/a/b',
    '"',
    "'",
  ],
  ...[
    '\\',
    '&a ',
    '*a',
    '!!str ',
    '!x ',
    '|\n',
    '>-\n',
    '? ',
    '...\n',
    '---\n',
    '%TAG ',
    '\t',
    '\r\n',
    '\ufeff',
    '\u2028',
    '~',
    '1',
    '#',
    '<<',
    '\0',
  ],
)

test('readDescription() throws for no bytes at all', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      readDescription(bytes, 'me.job')
    }),
    { numRuns: 2000 },
  )
  fc.assert(
    fc.property(fc.array(fc.oneof(scraps, fc.string()), { maxLength: 30 }), (parts) => {
      const reading = readDescription(Buffer.from(parts.join('')), 'me.job')
      if (!reading.ok)
        assert.match(parseDescriptionProblems(reading.problems, 'me.job'), /^Cannot accept "me\.job": [^\n]+$/)
    }),
    { numRuns: 5000 },
  )
})

test('HB-03: readDescription() gives back any argument text that was written in double quotes', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme' }), (text) => {
      if (text.includes('\0')) return
      const escaped = JSON.stringify(text).replace(
        /[\u007f-\u00a0\u2028\u2029\ufeff\ufffe\uffff]/g,
        (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`,
      )
      assert.equal(accepted(`script: x\nargs: {a: ${escaped}}`).args.get('a'), text)
    }),
  )
})

test('HB-02: readDescription() refuses __proto__ as a name: as an input it would not be sent', () => {
  for (const map of ['args', 'input_map', 'output_map'])
    refusedFor(`script: x\n${map}: {__proto__: /a/b}\n`, /"__proto__" cannot be a name in a template/)
})
