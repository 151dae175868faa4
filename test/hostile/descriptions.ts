/** Job files meant to break in, hang or confuse, each with its end: the sentence it is refused with, or that it runs and does no harm. */

export type Ending = RegExp | 'ok'

export interface Place {
  readonly dir: string
  readonly dropbox: string
  /** A readable file. */
  readonly input: string
  out(name: string): string
}

const y = JSON.stringify
const many = (count: number, line: (n: number) => string) => Array.from({ length: count }, (_, n) => line(n)).join('')
const nested = (depth: number, open: string, close: string) => open.repeat(depth) + close.repeat(depth)

const bomb = `script: true\na: &a [x, x, x, x, x, x, x, x, x]\n${[...'bcdefghi']
  .map((name, n) => `${name}: &${name} [${Array(9).fill(`*${'abcdefgh'[n]}`).join(', ')}]`)
  .join('\n')}\n`

const notYaml = /cannot be read as YAML/
const alias = /aliases are not supported/
const tag = /YAML tag .*not allowed/
const templateName = /must be the plain name of a template/
const cannotBeName = /cannot be a name in a template/
const controls = /contains line breaks or control characters/
const oneValue = /must be one value, not a/

/** Text of the file, to which the document's end is added. */
export function descriptions({ dir, dropbox, input, out }: Place): Readonly<Record<string, readonly [string, Ending]>> {
  const reads = (path: string) => `script: true\ninput_map: {from: ${y(path)}}\n`
  const writes = (path: string) => `script: nothing\noutput_map: {"to?": ${y(path)}}\n`
  return {
    // documents that grow, recurse, or make objects
    'a bomb of aliases': [bomb, alias],
    'an alias that contains itself': ['script: true\na: &a [*a]\n', alias],
    'an alias as a key': ['script: true\nx: &x 1\n*x : 2\n', alias],
    'an alias for the script': ['x: &x true\nscript: *x\n', alias],
    'an alias that was never defined': ['script: *nothing\n', /unidentified alias|aliases are not supported/],
    'ten thousand lists in each other': [`script: true\na: ${nested(10_000, '[', ']')}\n`, notYaml],
    'ten thousand mappings in each other': [`script: true\na: ${nested(10_000, '{a: ', '}')}\n`, notYaml],
    'a hundred thousand levels of indent': [
      `script: true\na:\n${many(900, (n) => `${' '.repeat(n + 1)}a:\n`)}`,
      notYaml,
    ],
    'lists never closed': [`script: true\na: ${'['.repeat(50_000)}\n`, notYaml],
    'a key of half a megabyte': [`script: true\n${'k'.repeat(524_288)}: 1\n`, 'ok'],
    'a complex key of half a megabyte': [`script: true\n? ${'k'.repeat(524_288)}\n: 1\n`, 'ok'],
    'a hundred thousand keys': [`script: true\nm:\n${many(80_000, (n) => ` k${n}: 1\n`)}`, 'ok'],
    'a hundred thousand times one key': [
      `script: true\nm:\n${many(80_000, () => ' k: 1\n')}`,
      /is given twice.*and \d+ more/,
    ],
    'sixty thousand arguments': [`script: true\nargs:\n${many(60_000, (n) => ` k${n}: x\n`)}`, 'ok'],
    'a hundred thousand bad arguments': [
      `script: true\nargs:\n${many(80_000, (n) => ` "-${n}": x\n`)}`,
      /and 95 more problems/,
    ],
    'a hundred thousand items': [`script: true\nargs: {a: [${many(80_000, () => 'x, ')}x]}\n`, 'ok'],
    'a line of a megabyte': [`script: true\nx: ${'y'.repeat(1_000_000)}\n`, 'ok'],
    'a value of a megabyte': [`script: true\nargs: {a: ${'y'.repeat(1_000_000)}}\n`, 'ok'],
    'more than a megabyte': [`script: true\nx: ${'y'.repeat(1_048_576)}\n`, /a description has at most 1048576/],
    'a Python object': ["script: !!python/object/apply:os.system ['touch hurt']\n", tag],
    'a JavaScript function': ['script: true\nx: !!js/function "function () { process.exit() }"\n', tag],
    'a JavaScript regexp': ['script: true\nx: !!js/regexp /(a+)+$/\n', tag],
    'a tag of its own': ['script: !exec touch hurt\n', tag],
    'a tag by its address': ['script: true\nx: !<tag:yaml.org,2002:python/name:os.system> y\n', tag],
    'a tag of which the meaning was changed': ['%TAG !! tag:evil,2026:\n---\nscript: true\nx: !!str y\n', tag],
    'binary as the script': ['script: !!binary dHJ1ZQ==\n', /YAML tag/],
    'a set as args': ['script: true\nargs: !!set {a}\n', 'ok'],
    'a merge key': ['base: {script: true}\n<<: {script: true}\n', /merge key/],
    'a merge key in args': ['script: true\nargs: {<<: {a: 1}}\n', cannotBeName],
    'two documents': ['script: true\n---\nscript: false\n', /more than one YAML document/],
    'a second document after the end': ['script: true\n...\n---\nscript: false\n', /more than one YAML document/],
    'a directive of another YAML': ['%YAML 9.9\n---\nscript: true\n', /YAML/],
    'a list': ['- script: true\n', /is not a mapping/],
    'only text': ['script true\n', /is not a mapping/],
    'only a comment': ['# script: true\n', /is empty/],
    'a key that is a mapping': ['script: true\n? {a: 1}\n: 2\n', /key that is no plain text/],
    'a key that is a list': ['script: true\nargs: {[a, b]: 1}\n', /key that is no plain text/],
    'the script twice': ['script: true\nscript: false\n', /script .*is given twice/],
    // names that mean something to JavaScript
    '__proto__ as a key': ['script: true\n__proto__: {script: false}\n', 'ok'],
    '__proto__ for the script': ['__proto__: {script: true}\n', /script .*is missing/],
    '__proto__ in args': ['script: true\nargs: {__proto__: x}\n', cannotBeName],
    'constructor in args': [
      'script: true\nargs: {constructor: x, prototype: y, toString: z, hasOwnProperty: w}\n',
      'ok',
    ],
    '__proto__ as an output': [`script: nothing\noutput_map: {"__proto__?": ${out('proto')}}\n`, cannotBeName],
    '__proto__ as an input': [`script: true\ninput_map: {__proto__: ${input}}\n`, cannotBeName],
    'constructor as an input': [`script: true\ninput_map: {constructor: ${input}}\n`, 'ok'],
    'constructor as the script': ['script: constructor\n', /"constructor" is not in templates/],
    '__proto__ as the script': ['script: __proto__\n', /"__proto__" is not in templates/],
    'constructor as the site': ['script: true\nsite: constructor\n', /"constructor" is no site of the config/],
    '__proto__ as the target': ['script: true\ntarget: __proto__\n', /"__proto__"/],
    '__proto__ as a resource': ['script: true\nresources: {__proto__: 1}\n', /"?__proto__.*is no resource/],
    'constructor as a resource': ['script: true\nresources: {constructor: 1}\n', /constructor.*is no resource/],
    'constructor as a key': ['script: true\nconstructor: {prototype: {polluted: yes}}\n', 'ok'],
    // scripts that lead elsewhere
    'a script above the templates': ['script: ../../../etc/passwd\n', templateName],
    'a script with a path': ['script: /bin/sh\n', templateName],
    'a script beside the templates': ['script: ../in/evil\n', templateName],
    'a script with a backslash': ['script: ..\\..\\x\n', templateName],
    'a script with its ending': ['script: true.template\n', /"true.template" is not in templates/],
    'a script with a NUL': ['script: "true\\0.sh"\n', /NUL/],
    'a script with a blank': ['script: "true -x"\n', templateName],
    'a script like an option': ['script: --help\n', templateName],
    'a hidden script': ['script: .true\n', templateName],
    'a script with shell in it': ['script: $(touch hurt)\n', templateName],
    'a script with an escape': ['script: "\\e]0;owned\\a"\n', templateName],
    'a script of 5000 letters': [`script: ${'x'.repeat(5000)}\n`, templateName],
    'a script that is a list': ['script: [true]\n', oneValue],
    'no script': ['args: {a: b}\n', /script .*is missing/],
    'an empty script': ['script: ""\n', /is empty; name a template/],
    // names in templates
    'an argument like an option': ['script: true\nargs: {--rcfile: x}\n', cannotBeName],
    'an argument with a line break': ['script: true\nargs: {"a\\nLD_PRELOAD": x}\n', cannotBeName],
    'an argument with "="': ['script: true\nargs: {"a=b": x}\n', cannotBeName],
    'an argument that is a function of bash': ['script: true\nargs: {"a%%": "() { touch hurt; }"}\n', cannotBeName],
    'an argument without a name': ['script: true\nargs: {"": x}\n', cannotBeName],
    'an argument of 300 letters': [`script: true\nargs: {${'a'.repeat(300)}: x}\n`, cannotBeName],
    'an argument in another alphabet': ['script: true\nargs: {аrg: x}\n', cannotBeName],
    'the workspace as an argument': ['script: true\nargs: {workspace: /}\n', /names every template has/],
    'the job id as an argument': ['script: true\nargs: {job_id: other}\n', /names every template has/],
    'a mapping as an argument': ['script: true\nargs: {a: {b: c}}\n', oneValue],
    'an argument with a NUL': ['script: true\nargs: {a: "x\\0y"}\n', /NUL or half a character/],
    'half a surrogate': ['script: true\nargs: {a: "\\uD800"}\n', /NUL or half a character|YAML/],
    'the other half': ['script: true\nargs: {a: "x\\uDFFFy"}\n', /NUL or half a character|YAML/],
    // inputs that are none
    'an input above': [reads('/../../etc/../etc'), /is a folder/],
    'an input that is relative': [reads('../../etc/passwd'), /is not an absolute path/],
    'an input in the home': [reads('~/.ssh/id_rsa'), /is not an absolute path/],
    'an input by address': [reads('file:///etc/passwd'), /is not an absolute path/],
    'an input with a NUL': [`script: true\ninput_map: {from: "/etc/passwd\\0.txt"}\n`, /NUL/],
    'an input with a line break': [`script: true\ninput_map: {from: "/etc/pass\\nwd"}\n`, controls],
    'an input with an escape': [`script: true\ninput_map: {from: "/etc/\\e[2Jpasswd"}\n`, controls],
    'an input that is a device': [reads('/dev/zero'), /no regular file/],
    'an input that is the terminal': [reads('/dev/tty'), /no regular file|cannot be opened/],
    'an input that is a pipe': [reads(`${dir}/in/fifo`), /no regular file/],
    'an input that is a socket': [reads(`${dir}/in/socket`), /no regular file/],
    'an input that links to itself': [reads(`${dir}/in/loop`), /leads in a circle/],
    'an input that ends in a slash': [reads(`${input}/`), /ends in "\/" but an input is one file/],
    'an input that ends in dots': [reads(`${dir}/in/..`), /does not end in a file name/],
    'an input below a file': [reads(`${input}/x`), /does not exist/],
    'an input of a path too long': [reads(`/${'x/'.repeat(2100)}x`), /is longer than 4095 bytes/],
    'an input of a name too long': [reads(`/${'x'.repeat(300)}`), /a name of more than 240 bytes/],
    'an input called output': [reads(`${dir}/in/output`), /a folder of ours on HPC/],
    'an empty input': ['script: true\ninput_map: {from: ""}\n', /is not an absolute path/],
    'an input without a path': ['script: true\ninput_map: {from: }\n', /has no path/],
    'a list of inputs': ['script: true\ninput_map: [/etc/passwd]\n', /must be a mapping/],
    'a file whose size is no size': [reads('/proc/self/environ'), /changes while it is read|no regular file/],
    'two inputs of one name': [
      `script: true\ninput_map: {a: ${input}, b: ${dir}/in/../in/${input.split('/').at(-1)}}\n`,
      /same file name/,
    ],
    // outputs where none may go
    'an output onto another job': [writes(`${dropbox}/victim.job`), /among the gateway's own files/],
    'an output onto a result': [writes(`${dropbox}/victim.job.finished`), /among the gateway's own files/],
    'an output onto a request to cancel': [writes(`${dropbox}/victim.job.cancel`), /among the gateway's own files/],
    'an output into the lock folder': [writes(`${dropbox}/.hpc/uuid`), /among the gateway's own files/],
    'an output into the state': [writes(`${dir}/state/log.jsonl`), /among the gateway's own files/],
    'an output into the state by a detour': [writes(`${dir}/out/../state/x`), /among the gateway's own files/],
    'an output into the state by a link': [writes(`${dir}/in/to-state/x`), /among the gateway's own files/],
    'an output onto a device': [writes('/dev/null'), /is there and is a link or special file/],
    'an output onto a link': [writes(`${dir}/in/loop`), /is there and is a link or special file/],
    'an output onto a pipe': [writes(`${dir}/in/fifo`), /is there and is a link or special file/],
    'an output as a folder that is none': [writes(`${input}/x`), /is no folder/],
    'an output in a folder that is not there': [writes(`${dir}/none/x`), /does not exist; create it first/],
    'an output that is the root': [writes('/'), /does not end in a file name/],
    'an output with a line break': [`script: nothing\noutput_map: {to: "${dir}/out/a\\nb"}\n`, controls],
    'an output called input': [writes(`${dir}/out/input`), /a folder of ours on HPC/],
    'an output in procfs': [
      writes('/proc/self/x'),
      /not writable|own files|too little space|cannot be|does not exist|may not/,
    ],
    'one output twice': [`script: nothing\noutput_map: {"a?": ${out('t')}, b: ${out('t')}}\n`, /same file name/],
    'one output with and without "?"': [
      `script: nothing\noutput_map: {a: ${out('q1')}, "a?": ${out('q2')}}\n`,
      /both as "a" and as "a\?"/,
    ],
    'an input as an output': [
      `script: true\ninput_map: {a: ${input}}\noutput_map: {a: ${out('x')}}\n`,
      /is given in "input_map" too/,
    ],
    // fields with their own rules
    'a priority of infinity': ['script: true\npriority: .inf\n', /must be a whole number/],
    'a priority of minus one': ['script: true\npriority: -1\n', /must be a whole number/],
    'a priority in octal': ['script: true\npriority: 0o7\n', /must be a whole number/],
    'a priority of 10^30': [`script: true\npriority: 1${'0'.repeat(30)}\n`, /must be a whole number/],
    'a time of 10^300 days': [`script: true\nresources: {time: 1${'0'.repeat(300)}d}\n`, /must be a time|fit no lane/],
    'a negative time': ['script: true\nresources: {time: -1h}\n', /must be a time/],
    'memory of no size': ['script: true\nresources: {memory: NaNG}\n', /must be an amount/],
    'a million nodes': ['script: true\nresources: {nodes: 1000000}\n', /fit no lane/],
    'an expiry of nothing': ['script: true\nexpiry: 0s\n', /must be a time/],
    'a million attempts': ['script: true\nmax_attempts: 1000000\n', /must be a whole number from 1 to 1000/],
    'after a path': ['script: true\nafter: ../x\n', /must be the name of a job/],
    'a site with a line break': ['script: true\nsite: "here\\nevil"\n', controls],
    'a site with a mark of direction': ['script: true\nsite: "\\u202eereh"\n', /"\\u202eereh" is no site/],
    'a forged hpc block': ['script: true\nhpc: {id: x, name: y}\n', /is written by us/],
    'a forged job block': ['script: true\njob: {status: ok}\n', /is written by us/],
    'a forged block in quotes': ['script: true\n"hpc": {}\n', /is written by us/],
    'a key one letter off': ['scirpt: true\n', /did you mean "script"/],
  }
}

/** Files that are no text. */
export const binaries: Readonly<Record<string, readonly [Buffer, RegExp]>> = {
  'a NUL': [Buffer.from('script: true\n\0\n...\n'), /contains a NUL byte/],
  'nothing but NUL': [Buffer.concat([Buffer.alloc(100_000), Buffer.from('\n...\n')]), /contains a NUL byte/],
  'UTF-16': [
    Buffer.concat([Buffer.from('\ufeffscript: true\n', 'utf16le'), Buffer.from('\n...\n')]),
    /is not valid UTF-8/,
  ],
  'a wrong byte': [
    Buffer.from([...Buffer.from('script: tr'), 0xff, ...Buffer.from('ue\n...\n')]),
    /is not valid UTF-8/,
  ],
  'an overlong slash': [
    Buffer.from([...Buffer.from('script: ..'), 0xc0, 0xaf, ...Buffer.from('x\n...\n')]),
    /is not valid UTF-8/,
  ],
  'a surrogate in UTF-8': [
    Buffer.from([...Buffer.from('script: '), 0xed, 0xa0, 0x80, ...Buffer.from('\n...\n')]),
    /is not valid UTF-8/,
  ],
  'a bell': [Buffer.from('script: true\nx: \x07\n...\n'), /contains the character \\x07/],
  'an escape of a terminal': [Buffer.from('script: true\nx: \x1b]0;owned\x07\n...\n'), /contains the character \\x1b/],
  'a program': [
    Buffer.concat([Buffer.from('\x7fELF\x02\x01\x01'), Buffer.alloc(64), Buffer.from('\n...\n')]),
    /YAML|UTF-8|NUL/,
  ],
}

const s = 'script: true\n...\n'

/** Names of job files, each with a good description in it: they run, and are shown without harm. */
export const names: readonly string[] = [
  '-rf',
  '--help',
  '-',
  '$(touch hurt)',
  '`touch hurt`',
  '; touch hurt',
  "'; touch hurt; '",
  '"',
  '\\',
  '*',
  '?',
  '[a-z]',
  '~root',
  '%s%n%x',
  'a\nb',
  'a\rb',
  'a\tb',
  '\u001b[31mred',
  '\u001b]0;owned\u0007',
  '\u009b2J',
  '\u202eexe.gpj',
  '\u2066\u2069',
  '\u200f',
  '\ufeffbom',
  '<<workspace>>',
  '{{constructor}}',
  '<script>alert(1)<script>',
  '&a',
  '*a',
  '!!js',
  ': ',
  '# x',
  '__proto__',
  'constructor',
  'toString',
  'x.job',
  'x.job.submitted',
  '%2e%2e%2f',
  'CON',
  'null',
  '~',
  'ü',
  'u\u0308',
  'é'.repeat(100),
  'n'.repeat(236),
]

export const goodDescription = s
