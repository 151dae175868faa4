/** Template text, and the reading of shell that decides how a value is written into it. */
import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { hole, readShell } from '../../../contract/shell-lexer.ts'
import { renderTemplate, templateTimeMs, templateWarnings } from '../../../contract/template.ts'
import { placeVectors } from '../../contract/vectors/places.ts'
import { syntaxVectors } from '../../contract/vectors/syntax.ts'
import { bound, hostile } from '../../contract/vectors/vector.ts'
import { templates } from '../../hostile/values.ts'
import { root } from '../../support/world.ts'
import { refusalOf, type Target } from '../target.ts'

const shipped = readdirSync(join(root, 'templates')).map((name) => readFileSync(join(root, 'templates', name), 'utf8'))
const vectors = [...placeVectors, ...syntaxVectors].map(({ template }) => template)
const words = [
  ...[
    '<<x>>',
    '<<y>>',
    '<<&x>>',
    '<<!x>>',
    '<<#if x>>',
    '<</if>>',
    '<<#unless y>>',
    '<</unless>>',
    '<<#each l>>',
    '<</each>>',
  ],
  ...[
    '<<l>>',
    '<<EOF\n',
    '<<-EOF\n',
    "<<'E'\n",
    'EOF\n',
    '<<<',
    '"',
    "'",
    "$'",
    '\\',
    '\\\n',
    '`',
    '$(',
    ')',
    '${',
    '}',
    '$((',
    '))',
  ],
  ...[
    '$[',
    ']',
    '((',
    '[[',
    ']]',
    '{{',
    '}}',
    ';',
    ';;',
    '|',
    '&&',
    '>',
    '#',
    '# hpc: time=20m\n',
    '#!/bin/sh\n',
    '#!/usr/bin/env python3\n',
  ],
  ...'case in esac if then else fi for do done while function select eval bash -c awk ssh sed trap let declare ~ * ? ! \t \n'.split(
    ' ',
  ),
]
const plain = bound({ x: 'plain/1.0', y: '7', l: ['a', 'b'] })
const wild = bound({ x: hostile, y: '', l: ["it's", '$(touch pwned)'] })

export const template: Target = {
  name: 'template',
  seeds: [...shipped, ...vectors, ...Object.values(templates).map(([text]) => text)],
  words,
  run: (bytes) => {
    const text = bytes.toString('utf8')
    const at = { name: 't', text }
    const refusal = refusalOf(() => {
      const once = renderTemplate(at, plain)
      assert.equal(renderTemplate(at, plain), once, 'two renderings differ')
      // values of safe characters are rendered as they are, byte for byte
      if (!/<<[#/]|<<!|<<&|=~/.test(text))
        assert.equal(
          once,
          text
            .replace(/<<([xy])>>/g, (_, name: string) => (name === 'x' ? 'plain/1.0' : '7'))
            .replaceAll('<<l>>', 'a b'),
        )
    })
    const second = refusalOf(() => renderTemplate(at, wild))
    const third = refusalOf(() => [templateWarnings(at), templateTimeMs(text)])
    return refusal || second || third
  },
}

/** Every character has its state, every hole is found, or it is said where reading stopped. */
export const shell: Target = {
  name: 'shell',
  seeds: [...shipped, ...vectors].map((text) => text.replace(/<<&?[a-z]+>>/g, hole)),
  words: [...words.map((word) => word.replace(/<<&?[a-z]+>>/g, hole)), hole],
  run: (bytes) => {
    const text = bytes.toString('utf8')
    const { states, holes, problem } = readShell(text)
    const whole = text.split(hole).length - 1
    if (problem === undefined) {
      assert.equal(states.length, text.length + 1)
      assert.equal(holes.length, whole)
      for (const { at } of holes) assert.equal(text[at], hole)
    } else {
      assert.ok(problem.at >= 0 && problem.at <= text.length, `a problem at ${problem.at} of ${text.length}`)
      assert.ok(states.length <= text.length + 1 && holes.length <= whole)
    }
    return problem?.message ?? ''
  },
}
