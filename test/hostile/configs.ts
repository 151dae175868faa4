/** Configs and ini files: of an operator, so not hostile by trade, but nothing in one may pollute, hang, or print a secret. */

const site = (more: string, transport = '{type: local}') =>
  `dropbox: d\nsites:\n  s: {transport: ${transport}, scheduler: {type: local}, hpc_env: {workspace: /w}${more}}\n`
const many = (count: number, line: (n: number) => string) => Array.from({ length: count }, (_, n) => line(n)).join('')
const ssh = (more: string) => site('', `{type: ssh, host: h, user: u, key_file: k, ${more}}`)

/** `ok`: it is read, and means nothing bad. */
export const yamls: Readonly<Record<string, readonly [string, RegExp | 'ok']>> = {
  'a bomb of aliases': ['a: &a [x, x]\nb: &b [*a, *a]\ndropbox: *b\n', /found an alias/],
  'a tag': ['dropbox: !!python/object/apply:os.system [id]\n', /found a tag/],
  'a tag of JavaScript': ['dropbox: !!js/function "function () {}"\n', /found a tag/],
  nothing: ['', /empty file/],
  'two documents': ['dropbox: d\n---\ndropbox: e\n', /one YAML document, found more/],
  'a list': ['- dropbox\n', /expected/],
  'a word': ['dropbox\n', /expected/],
  'deep nesting': [`dropbox: ${'['.repeat(10_000)}\n`, /nest|depth|deep/i],
  'more than a megabyte': [`dropbox: ${'d'.repeat(1_048_576)}\n`, /expected at most/],
  'a hundred megabytes': [`dropbox: ${'d'.repeat(100_000_000)}\n`, /expected at most/],
  'a NUL in a path': ['dropbox: "d\\0e"\nsites: {}\n', /NUL|control|character|expected/],
  '__proto__ at the top': ['dropbox: d\n__proto__: {settle: 1s}\n', /__proto__/],
  '__proto__ as a site': [`dropbox: d\nsites:\n  __proto__: {transport: {type: local}}\n`, /__proto__/],
  '__proto__ in hpc_env': [site('').replace('workspace: /w', 'workspace: /w, __proto__: x'), /__proto__/],
  '__proto__ as a lane': [site(', lanes: {__proto__: {time: 1h}}'), /__proto__/],
  'constructor as a site': [site('').replace('  s:', '  constructor:'), 'ok'],
  'constructor in hpc_env': [site('').replace('workspace: /w', 'workspace: /w, constructor: x'), 'ok'],
  'a site called ../x': [site('').replace('  s:', '  ../x:'), /expected a name/],
  'a site called --help': [site('').replace('  s:', '  --help:'), /expected a name/],
  'a site with an escape': [site('').replace('  s:', '  "\\e[31m":'), /\\x1b/],
  'a lane called ../../x': [site(', lanes: {../../x: {time: 1h}}'), /expected a name of letters/],
  'a lane with shell in it': [site(', lanes: {"$(id)": {time: 1h}}'), /expected a name of letters/],
  'the root as the workspace': [site('').replace('/w', '/'), /expected a folder of its own/],
  'the root by a detour': [site('').replace('/w', '/w/../..//'), /expected a folder of its own/],
  'a workspace with a line break': [site('').replace('/w', '"/w\\nrm"'), /line break|control|expected/],
  'a relative workspace far away': [ssh('x: y').replace('/w', 'w'), /absolute path/],
  'a name templates cannot have': [
    site('').replace('workspace: /w', 'workspace: /w, "a b": x'),
    /name that templates can use/,
  ],
  'a name templates have already': [
    site('').replace('workspace: /w', 'workspace: /w, job_id: x'),
    /a value of their own/,
  ],
  'eighty thousand keys': [`dropbox: d\n${many(60_000, (n) => `k${n}: v\n`)}`, /unknown key/],
  'ten thousand sites': [`dropbox: d\nsites:\n${many(10_000, (n) => `  s${n}: {}\n`)}`, /10000 problems|problems/],
  'a host like an option': [ssh('').replace('host: h', 'host: -oProxyCommand=touch'), /host/],
  'a host with shell in it': [ssh('').replace('host: h', 'host: "$(touch hurt)"'), /host/],
  'a user like an option': [ssh('').replace('user: u', 'user: -l'), /user/],
  'a port of 10^9': [ssh('port: 1000000000'), /port/],
  'two passphrases': [ssh('passphrase: a, passphrase_env: B'), /one passphrase/],
  'a fingerprint that is none': [ssh('host_key: "*"'), /host_key/],
  'a scheduler of JavaScript': [site('').replace('{type: local}, hpc', '{type: constructor}, hpc'), /type/],
  'an unknown key that is long': [`dropbox: d\n${'x'.repeat(1000)}: 1\n`, /unknown key/],
  'a time of no length': ['dropbox: d\nsettle: -1s\n', /settle/],
  'a mode with every right': ['dropbox: d\nfile_mode: "7777777"\n', /file_mode|unknown key/],
}

const ini = (more: string) =>
  `[remote]\nhost = h\nport = 22\nuser = u\nkey_file = k\n[cronjob]\ndropbox = d\n[hpc_env]\nworkspace = /w\n${more}`

export const inis: Readonly<Record<string, readonly [string, RegExp | 'ok']>> = {
  'a value that refers to itself': [ini('a = %(a)s\n'), 'ok'],
  'values that refer to each other': [ini('a = %(b)s%(b)s\nb = %(a)s%(a)s\n'), 'ok'],
  'values that double each other': [
    ini(
      many(26, (n) => `v${n} = ${n === 0 ? 'x'.repeat(64) : `%(v${n - 1})s%(v${n - 1})s%(v${n - 1})s%(v${n - 1})s`}\n`),
    ),
    'ok',
  ],
  'a section twice': [ini('[hpc_env]\nworkspace = /x\n'), /a second time/],
  'a key twice': [ini('workspace = /x\n'), /a second time/],
  'no section': ['host = h\n', /expected a \[section\] first/],
  'a line that is nothing': [ini('nonsense\n'), /expected "key = value"/],
  '__proto__ as a section': [ini('[__proto__]\na = b\n'), 'ok'],
  '__proto__ as a key': [ini('__proto__ = x\n'), 'ok'],
  'constructor as a key': [ini('constructor = x\n'), 'ok'],
  'a section with an escape': [ini('[\u001b[31mx]\na = b\n'), 'ok'],
  'the workspace above itself': [ini('').replace('/w', '/w/../..'), /expected a folder of its own/],
  'a host like an option': [ini('').replace('host = h', 'host = -oProxyCommand=touch'), /host/],
  'a line of megabytes': [ini(`a = ${'x'.repeat(1_048_576)}\n`), /expected at most/],
  'a line of blanks that never ends': [ini(`a${' '.repeat(900_000)}b\n`), /expected "key = value"/],
}
