/** Values that would be code somewhere: whatever a value is, the program receives it byte for byte, wherever the template puts it. */

/** `hurt` is a file that none of them may make. */
export const values: readonly string[] = [
  '$(touch hurt)',
  '`touch hurt`',
  '"; touch hurt; "',
  "'; touch hurt; '",
  "'\\''; touch hurt #",
  '; touch hurt',
  '| touch hurt',
  '&& touch hurt',
  '& touch hurt &',
  '\ntouch hurt\n',
  '\r\ntouch hurt\r\n',
  '\nEOF\ntouch hurt\n',
  'EOF',
  '>hurt',
  '<(touch hurt)',
  '${x:=$(touch hurt)}',
  '$((x[$(touch hurt)]))',
  'a[$(touch hurt)]',
  "$'\\x60touch hurt\\x60'",
  '*',
  '~root',
  '{a,b}',
  '!!',
  '-rf /',
  '--',
  '-',
  '',
  ' ',
  '\t\n ',
  '\\',
  'x\\',
  "'",
  '"',
  "''\"\"'",
  '#x',
  '%s%n',
  '<<level>>',
  '<<#if a>>x<</if>>',
  '{{constructor}}',
  '{{#with this}}{{lookup . "constructor"}}{{/with}}',
  '$& $1 $`',
  '_v1',
  '$_v1',
  'IFS=x',
  '() { :; }; touch hurt',
  'LD_PRELOAD=/tmp/x.so',
  '\u001b[31m\u001b]0;owned\u0007',
  '\u202egpj.exe',
  '\u0000'.replace('\u0000', '\u0001'),
  '\u{1f4a9}\u0301\u200d',
  'x'.repeat(100_000),
  '(((((((((((((((((((((((((((((('.repeat(300),
  ' ; touch hurt'.repeat(5_000),
]

/** Contexts of a template, each printing the value and a NUL; `$(…)` with a dot, for it drops line ends. */
export function valueTemplate(count: number): string {
  const lines = Array.from({ length: count }, (_, n) =>
    [
      `p <<v${n}>> "<<v${n}>>" '<<v${n}>>'`,
      `x=<<v${n}>>; p "$x"`,
      `p "$(printf %s. <<v${n}>>)"`,
      `cat <<END_OF_IT\n<<v${n}>>\nEND_OF_IT`,
      "printf '\\0'",
      n < 50 ? `p "$HPC_ARG_v${n}"` : `p <<v${n}>>`,
      `for each in <<v${n}>>; do p "$each"; done`,
      `case <<v${n}>> in "<<v${n}>>") p same;; *) p other;; esac`,
    ].join('\n'),
  )
  return `#!/bin/bash\np() { printf '%s\\0' "$@"; }\n{\n${lines.join('\n')}\n} >output/<<to>>\n`
}

/** What that template is to print. */
export function printedValues(): string {
  return values
    .map((value) => [value, value, value, value, `${value}.`, `${value}\n`, value, value, 'same', ''].join('\0'))
    .join('')
}

const x = '$(touch hurt)'

/** Templates in which a value would be code, or that are broken themselves: each is refused with its line. */
export const templates: Readonly<Record<string, readonly [string, RegExp]>> = {
  'in a quoted here-document': ["cat <<'EOF'\n<<x>>\nEOF\n", /quoted delimiter/],
  'in backticks': ['echo `echo <<x>>`\n', /backticks/],
  'in a comment': ['# <<x>>\ntrue\n', /comment/],
  'in ${…}': ['echo ${y:-<<x>>}\n', /\$\{…\}/],
  'as the name in ${…}': ['echo ${<<x>>}\n', /\$\{…\}/],
  'after $': ['echo $<<x>>\n', /after "\$"/],
  'after a backslash': ['echo \\<<x>>\n', /after "\\"/],
  'in arithmetic': ['echo $((<<x>> + 1))\n', /arithmetic/],
  'in a let': ['let "a = <<x>>"\n', /arithmetic|let/],
  'as a subscript': ['a[<<x>>]=1\n', /subscript|arithmetic/],
  'in eval': ['eval "echo <<x>>"\n', /eval/],
  'in sh -c': ['sh -c "echo <<x>>"\n', /sh|-c/],
  'in bash -lc': ["bash -lc 'echo <<x>>'\n", /bash|-c/],
  'as a program of awk': ['awk \'{ print "<<x>>" }\'\n', /awk/],
  'as a program of python': ['python3 -c "print(\'<<x>>\')"\n', /python/],
  'for another machine': ['ssh host "echo <<x>>"\n', /ssh/],
  'in a trap': ['trap "rm <<x>>" EXIT\n', /trap/],
  'as the delimiter of a here-document': ['cat << <<x>>\n<<x>>\nEOF\n', /delimiter/],
  'in a script for python': ['#!/usr/bin/env python3\nprint("<<x>>")\n', /no POSIX shell|safe|plain|python/],
  'in a script for perl': ['#!/usr/bin/perl\nprint "<<x>>";\n', /plain|perl|shell/],
  'in its first line': ['#!/bin/sh <<x>>\ntrue\n', /first line|#!|comment/],
  'after a tilde': ['echo ~<<x>>\n', /after "~"/],
  'a name nobody gave': ['echo <<password>>\n', /"password" has no value/],
  'a name of JavaScript': ['echo <<constructor>> <<__proto__>>\n', /has no value/],
  'a section never closed': ['<<#if x>>echo\n', /section|<<#if|closed/],
  'a section closed twice': ['<<#if x>>echo<</if>><</if>>\n', /<<\/if>>|section|closes/],
  'a section that leaves a quote open': ['<<#if x>>echo "<</if>>\n', /quot/],
  'sections without end': [`${'<<#if x>>'.repeat(5000)}echo\n`, /section|deep|<<#if|closed/],
  'a helper of Handlebars': ['<<#with x>>echo<</with>>\n', /with/],
  'a lookup of Handlebars': ['<<#lookup x>>echo<</lookup>>\n', /lookup/],
}

export const templateValue = x
