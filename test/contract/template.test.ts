/** Values and their names, settings and warnings of templates, and the form of what we say about them. */
import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { describeError, HpcError } from '../../contract/errors.ts'
import {
  argEnvironment,
  bindValues,
  renderTemplate,
  templateTimeMs,
  templateWarnings,
  type ValueSources,
} from '../../contract/template.ts'
import { bound, render } from './vectors/vector.ts'

const none: ValueSources = {
  hpcEnv: new Map(),
  args: new Map(),
  builtIns: new Map(),
  inputs: new Map(),
  outputs: new Map(),
}

describe('bindValues()', () => {
  it('HB-08, HB-09: takes every source, and an argument wins over hpc_env', () => {
    const values = bindValues({
      hpcEnv: new Map([
        ['data', '/site/data'],
        ['account', 'a1'],
        ['scripts', '/s'],
      ]),
      args: new Map<string, string | string[]>([
        ['account', 'a2'],
        ['files', ['a', 'b']],
      ]),
      builtIns: new Map([
        ['scripts', '/expanded/s'],
        ['workspace', '/w'],
      ]),
      inputs: new Map([['input', 'foo.mp3']]),
      outputs: new Map([['json', 'foo.json']]),
    })
    assert.deepEqual(Object.fromEntries(values), {
      data: { value: '/site/data', origin: 'hpc_env.data' },
      account: { value: 'a2', origin: 'args.account' },
      files: { value: ['a', 'b'], origin: 'args.files' },
      scripts: { value: '/expanded/s', origin: 'built-in' },
      workspace: { value: '/w', origin: 'built-in' },
      input: { value: 'foo.mp3', origin: 'input_map.input' },
      json: { value: 'foo.json', origin: 'output_map.json' },
    })
  })

  const key = new Map([['k', 'v']])
  const doubles: readonly (readonly [string, Partial<ValueSources>, string])[] = [
    ['an argument and a built-in', { args: key, builtIns: key }, 'args.k and built-in'],
    ['hpc_env and a built-in', { hpcEnv: key, builtIns: key }, 'hpc_env.k and built-in'],
    ['an argument and an input', { args: key, inputs: key }, 'args.k and input_map.k'],
    ['hpc_env and an input', { hpcEnv: key, inputs: key }, 'hpc_env.k and input_map.k'],
    ['a built-in and an output', { builtIns: key, outputs: key }, 'built-in and output_map.k'],
    ['an input and an output', { inputs: key, outputs: key }, 'input_map.k and output_map.k'],
  ]
  for (const [name, sources, both] of doubles) {
    it(`HB-08: refuses a name that is both ${name}`, () => {
      assert.throws(
        () => bindValues({ ...none, ...sources }),
        (error) =>
          error instanceof HpcError &&
          error.code === 'description' &&
          error.message === `Cannot tell what "k" stands for: it is both ${both}` &&
          error.hint !== undefined,
      )
    })
  }

  it('HB-09: refuses scripts as an argument, although hpc_env sets it', () => {
    const scripts = new Map([['scripts', '/s']])
    assert.throws(
      () => bindValues({ ...none, hpcEnv: scripts, builtIns: scripts, args: scripts }),
      /args\.scripts and built-in/,
    )
  })

  it('refuses what no script can contain', () => {
    assert.throws(() => bindValues({ ...none, args: new Map([['k', 'a\0']]) }), /"k" \(args\.k\): it contains a NUL/)
    assert.throws(() => bindValues({ ...none, args: new Map([['k', ['a', '\ud800']]]) }), /"k" \(args\.k\): .*Unicode/)
  })
})

describe('argEnvironment()', () => {
  it('P-HB-25: has every value as it is, lists with blanks', () => {
    const values = bound({ input: "-n $(touch x)'.mp3", files: ['a b', 'c'], none: [] })
    assert.deepEqual(argEnvironment(values), {
      HPC_ARG_input: "-n $(touch x)'.mp3",
      HPC_ARG_files: 'a b c',
      HPC_ARG_none: '',
    })
  })
})

describe('templateTimeMs()', () => {
  const cases: readonly (readonly [string, number | undefined])[] = [
    ['# hpc: time=20m\necho\n', 1_200_000],
    ['#!/bin/bash\n# hpc: time=1h30m\n', 5_400_000],
    ['#!/bin/bash\n#hpc:time=90s', 90_000],
    ['#!/bin/bash\n\n# hpc: time=20m\n', undefined],
    ['# a comment\n# hpc: time=20m\n', undefined],
    ['echo # hpc: time=20m\n', undefined],
    ['', undefined],
  ]
  for (const [text, timeMs] of cases) {
    it(`reads ${JSON.stringify(text)}`, () => assert.equal(templateTimeMs(text), timeMs))
  }
  for (const text of [
    '# hpc: time=20\n',
    '#!/bin/sh\n# hpc: time=<<t>>\n',
    '# hpc: tmie=1m',
    '# hpc:',
    '# hpc: time=0s',
  ]) {
    it(`refuses ${JSON.stringify(text)}`, () => {
      assert.throws(
        () => templateTimeMs(text),
        (error) => error instanceof HpcError && error.code === 'description' && /gives no time/.test(error.message),
      )
    })
  }
})

describe('templateWarnings()', () => {
  const warned: readonly (readonly [string, RegExp])[] = [
    [`bash -c 'argv <<x>>'`, /"bash -c" reads <<x>> as a program/],
    ['srun -n 1 singularity exec --nv img.sif bash -e -o pipefail -c "argv <<x>>"', /"bash -c" reads/],
    ['eval "argv <<x>>"', /"eval" reads/],
    ['$run eval argv <<x>>', /"eval" reads/],
    ['a=1 command eval argv <<x>>', /"eval" reads/],
    [`awk -F , -v y=1 '$1 == "<<x>>"' f`, /"awk" reads/],
    ['ssh -p 22 -oBatchMode=yes user@host cd <<x>>', /"ssh" reads/],
    ['ssh host <<EOF\ncd <<x>>\nEOF', /"ssh" reads/],
    [`python3 -u -c 'print("<<x>>")'`, /"python3 -c" reads/],
    [`Rscript -e 'f("<<x>>")'`, /"Rscript -e" reads/],
    [`perl -pe's/a/<<x>>/'`, /"perl -pe" reads/],
    ['su user -c "argv <<x>>"', /"su -c" reads/],
    ['sbatch --wrap="argv <<x>>"', /"sbatch --wrap" reads/],
    ['trap "rm <<x>>" EXIT', /"trap" reads/],
    ['/usr/bin/bash <<EOF\nargv <<x>>\nEOF', /"bash" reads/],
    ['let a=<<x>>', /"let" reads <<x>> as arithmetic/],
    ['[[ $a == 1 && $b -lt <<x>> ]]', /"\[\[" reads <<x>> as arithmetic/],
    ['sed "s/a/<<x>>/" f', /"sed" may read <<x>>/],
    ['parallel "argv {} <<x>>" ::: a', /"parallel" may read/],
    ['myshell -c "argv <<x>>"', /"myshell -c" may read/],
    ['ssh host cat <<EOF\n<<x>>\nEOF', /"ssh" that reads this here-document may read/],
  ]
  for (const [text, message] of warned) {
    it(`warns of ${JSON.stringify(text)}`, () => {
      const [warning, ...more] = templateWarnings({ name: 'tool', text: `#!/bin/bash\n${text}\n` })
      assert.match(warning?.message ?? 'no warning', message)
      assert.equal(warning?.line, 1 + text.slice(0, text.indexOf('<<x>>')).split('\n').length)
      assert.deepEqual(more, [])
    })
  }

  const fine = [
    'argv <<x>> "<<x>>"',
    `bash -c 'argv "$1"' _ <<x>>`,
    'bash script.sh -c <<x>>',
    'python3 tool.py -c <<x>> -e "<<x>>"',
    'awk -v y=<<x>> -f prog.awk <<x>>',
    `awk '{print}' <<x>>`,
    'grep -c "<<x>>" f',
    'head -c "<<x>>" f',
    'ssh <<x>> hostname',
    "ssh host 'cat >f' <<< <<x>>",
    'eval "$a" > <<x>>',
    'cat <<EOF >f\n<<x>>\nEOF',
    'export a=<<x>> b="<<x>>"',
    '[[ $a == <<x>> ]]',
    '[ "$a" -eq <<x>> ]',
    'printf "%s" <<x>>',
    'read -r -p "<<x>>" line',
    'bash -c "argv <<&x>>"',
  ]
  for (const text of fine) {
    it(`says nothing about ${JSON.stringify(text)}`, () => {
      assert.deepEqual(templateWarnings({ name: 'tool', text: `${text}\n` }), [])
    })
  }

  it('says nothing about scripts for other interpreters', () => {
    assert.deepEqual(templateWarnings({ name: 'tool', text: '#!/usr/bin/python3\nlet("<<x>>\n' }), [])
  })

  it('throws what rendering would throw', () => {
    assert.throws(
      () => templateWarnings({ name: 'tool', text: '<<#if x>>"<</if>>"\n' }),
      /tool\.template:1: the section "x"/,
    )
  })
})

describe('renderTemplate()', () => {
  it('HB-07: says which line, which value, why, and what to do', () => {
    const text = '#!/bin/bash\n\n# <<level>>\n'
    assert.throws(
      () => render(text, { level: 'a b' }),
      (error) =>
        describeError(error) ===
        'Cannot render templates/tool.template:3: "level" (args.level) is "a b", but only plain text may stand here: nothing is expanded ' +
          'in a comment; the program can read it from "$HPC_ARG_level"; letters, digits and _@%+=:,./- are plain',
    )
  })

  it('P-HB-04: is done in no time with values that name each other', () => {
    const started = performance.now()
    assert.match(render('argv <<a>> <<b>>\n', { a: '<<b>><<a>>', b: '<<a>>' }), /_v1='<<b>><<a>>'/)
    assert.ok(performance.now() - started < 2000)
  })

  it('binds a value once, however often it is used', () => {
    const script = render('argv <<a>> <<b>> <<a>>\n', { a: 'x y', b: 'x y' })
    assert.equal(script, `_v1='x y'\nargv "\${_v1}" "\${_v1}" "\${_v1}"\n`)
  })

  it('HB-07: leaves the templates we ship as they are, but for plain values', () => {
    const folder = join(import.meta.dirname, '../../templates')
    const names = readdirSync(folder).filter((name) => name.endsWith('.template'))
    assert.ok(names.length > 0)
    for (const name of names) {
      const text = readFileSync(join(folder, name), 'utf8')
      const used = [...text.matchAll(/<<(?:#\w+ )?(\w+)>>/g)].map((match) => match[1] ?? '')
      const values = bound(Object.fromEntries(used.map((key) => [key, `/plain/${key}-1.txt`])))
      const plain = text.replace(/<<[#/][^>]*>>/g, '').replace(/<<(\w+)>>/g, '/plain/$1-1.txt')
      assert.equal(renderTemplate({ name, text }, values), plain)
      assert.deepEqual(templateWarnings({ name, text }), [])
    }
  })

  it('reads a long script in time that grows with its length', () => {
    const line = 'echo "$(date)" # it\'s\n'
    const text = `#!/bin/bash\n${line.repeat(40_000)}${'argv "<<x>>" <<x>>\n'.repeat(100)}`
    const started = performance.now()
    assert.ok(render(text, { x: 'a b' }).length > text.length)
    assert.ok(performance.now() - started < 10_000)
  })
})
