/** The lexer against bash's own corner cases: what stands in what. Whether it is right is proved by running scripts (template-vectors). */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { readShell } from '../../contract/shell-lexer.ts'

/** `·` is the hole. */
const enclosures: readonly (readonly [string, string])[] = [
  ['echo ·', 'commands'],
  ['echo "·', 'unread'],
  ['echo "·"', 'commands double'],
  ["echo '·'", 'commands single'],
  [`echo "a'·'"`, 'commands double'],
  [`echo '"·"'`, 'commands single'],
  ["echo $'\\'·'", 'commands ansi'],
  [`echo "$'·'"`, 'commands double'],
  ['echo \\"·', 'commands'],
  [`echo \\'·`, 'commands'],
  ['echo # "·', 'commands comment'],
  ['echo a#·', 'commands'],
  ['echo "$(·)"', 'commands double commands'],
  ['echo "$(echo "·")"', 'commands double commands double'],
  ['echo $(case a in a) ·;; esac)', 'commands commands'],
  ['echo $(case a in (esac) ·;; esac) a', 'commands commands'],
  ['echo $(case a in a|esac) ·;; b) ;& c) ;;& *) esac) a', 'commands commands'],
  ['echo $(echo case; ·) a', 'commands commands'],
  ['echo $(if true; then case a in a) ;; esac; fi; ·)', 'commands commands'],
  ['echo $(for i in case; do case $i in a) ;; esac; done; ·)', 'commands commands'],
  ['echo $(f() { case a in a) ;; esac; }; ·)', 'commands commands'],
  ['echo $(a=1 case a in b) ·', 'commands'],
  ['echo ${a:-·}', 'commands parameter'],
  ['echo "${a:-"·"}"', 'commands double parameter double'],
  [`echo "\${a:-'·}"`, 'commands double parameter'],
  [`echo "\${a#'·'}"`, 'commands double parameter single'],
  [`echo "\${a//$'\\''/·}"`, 'commands double parameter'],
  [`echo \${a:-'·'}`, 'commands parameter single'],
  ['echo ${#a} ·', 'commands'],
  ['echo $# ·', 'commands'],
  ['echo $((1 << 2)) ·', 'commands'],
  ['echo $((·))', 'commands arithmetic'],
  ['echo $(( (1) + ·))', 'commands arithmetic'],
  ['echo $((echo a) | ·)', 'commands commands'],
  ['((a = ·))', 'commands arithmetic'],
  ['((echo a); ·)', 'commands commands'],
  ['for ((i = 0; i < ·; i++)); do :; done', 'commands arithmetic'],
  ['for((i = ·;;)); do :; done', 'commands arithmetic'],
  ['!((·))', 'commands arithmetic'],
  ['if true; then(·); fi', 'commands commands'],
  ['f()(·)', 'commands commands'],
  ['echo !(·)', 'commands pattern'],
  ['echo $(case a in b) ;; !(·)) ;; esac)', 'commands commands pattern'],
  ['a[·]=1', 'commands arithmetic'],
  ["a['·']=1", 'commands arithmetic single'],
  ['a=(1 · 2)', 'commands words'],
  ['a=([·]=1)', 'commands words arithmetic'],
  ["echo $(case a in b) ;;\n a['\"']) ·;; esac)", 'commands commands'],
  ['[[ a =~ ^(·|b)$ ]] && echo', 'commands pattern'],
  ['[[ a < b ]] && echo ·', 'commands'],
  ['[[ ( a ) ]] && (·)', 'commands commands'],
  ['echo @(a|·)', 'commands pattern'],
  ['cat <(·)', 'commands commands'],
  ['cat <<E\n·\nE\n', 'commands here-document'],
  ["cat <<'E'\n·\nE\n", 'commands here-document as it is'],
  ['cat <<E\n"·\nE\n', 'commands here-document'],
  ['cat <<E\n$(·)\nE\n', 'commands here-document commands'],
  ['cat <<E; echo "·"\n"\nE\n', 'commands double'],
  ['cat <<E; echo "a\nb"\n\'·\nE\n', 'commands here-document'],
  ['cat <<A <<B\n"\nA\n·\nB\n', 'commands here-document'],
  ['cat <<-E\n\t·\n\tE\n', 'commands here-document'],
  ['cat <<E\n·\n E\nE \nE\n', 'commands here-document'],
  ['cat <<E\na\\\nE\n·\nE\n', 'commands here-document'],
  ["cat <<'E'\na\\\nE\n·", 'commands'],
  ['echo $(cat <<E\n"\nE\n) ·', 'commands'],
  ['cat <<"E F"\n·\nE F\n', 'commands here-document as it is'],
  ['cat <<<·', 'commands'],
  ['echo `echo ·`', 'commands backticks'],
  ['echo `echo \\`a\\` "·`', 'commands backticks'],
  ['echo {·,a} ${b} {', 'commands'],
  ['echo 2>&1 >&2 &>f ·', 'commands'],
  ['if [ a ]; then\n  · # (\nfi', 'commands'],
  ['echo "\\"·\\""', 'commands double'],
  ['echo $"·"', 'commands double'],
  ['echo a\\\n# "\n·', 'unread'],
  ['echo $$"·"', 'commands double'],
  ["echo $$'\\' ·", 'commands'],
  ['echo "$" ·', 'commands'],
]

describe('readShell()', () => {
  for (const [text, expected] of enclosures) {
    it(`reads ${JSON.stringify(text)}`, () => {
      const { holes, problem } = readShell(text.replace('·', '\0'))
      assert.equal(problem === undefined ? holes[0]?.enclosures.join(' ') : 'unread', expected, problem?.message)
    })
  }

  const unreadable: readonly (readonly [string, number, RegExp])[] = [
    ['echo "a', 5, /quotation .* never ends/],
    ['echo $(a', 5, /parenthesis .* never ends/],
    ['echo ${a', 5, /expansion .* never ends/],
    ['echo `a', 5, /backticks .* never end/],
    ['echo )', 5, /closes nothing/],
    ['cat <<E\na\n', 4, /"E" never ends/],
    ['cat <<E', 4, /"E" never begins/],
    ['cat << \n', 4, /no delimiter/],
    ['cat <<\0\n', 4, /delimiter .* must be fixed/],
    ['cat <\0\n', 4, /two ways/],
    ['cat <<E\n"$(\nE\n)"\n', 9, /before the here-document around it/],
    ['cat <<A $(cat <<B\nB\n)\nA\n', 14, /two here-documents/],
    ['echo $[1)]', 5, /brackets/],
  ]
  for (const [text, at, message] of unreadable) {
    it(`cannot read ${JSON.stringify(text)}`, () => {
      const { problem } = readShell(text)
      assert.match(problem?.message ?? 'no problem', message)
      assert.equal(problem?.at, at)
    })
  }

  it('has a state for every character and one for the end', () => {
    const text = '#!/bin/sh\ncat <<A; echo "$(b)" ${c} # d\n\'\nA\ncase e in f) ;; esac\n'
    const { states } = readShell(text)
    assert.equal(states.length, text.length + 1)
    assert.equal(states.at(-1), states[0])
  })

  it('knows the command around a hole', () => {
    const { holes } = readShell('a=1 >f 2>&1 cmd -x "y z" \0; \0 b; if \0; then case a in \0) esac; fi; d={[\0\n')
    assert.deepEqual(
      holes.map(({ at, enclosures, ...known }) => known),
      [
        {
          words: ['cmd', '-x', '"y z"'],
          word: '',
          position: 'argument',
          redirected: false,
          inBraces: false,
          inBrackets: false,
        },
        { words: [], word: '', position: 'command', redirected: false, inBraces: false, inBrackets: false },
        { words: [], word: '', position: 'command', redirected: false, inBraces: false, inBrackets: false },
        { words: [], word: '', position: 'command', redirected: false, inBraces: false, inBrackets: false },
        { words: [], word: 'd={[', position: 'command', redirected: false, inBraces: true, inBrackets: true },
      ],
    )
  })
})
