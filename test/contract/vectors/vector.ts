/** One case of rendering: a template, its values, and what a program in the finished script receives, or why there is none. */
import type { ArgValue } from '../../../contract/job-description.ts'
import { type BoundValue, renderTemplate } from '../../../contract/template.ts'

export interface Vector {
  readonly name: string
  readonly template: string
  readonly values: Readonly<Record<string, ArgValue>>
  /** The arguments of the programs `argv`, or the lines of `stdin`, in order. */
  readonly receives?: readonly string[]
  /** What the error says, with its line. */
  readonly refused?: RegExp
  /** The finished script, byte for byte. */
  readonly script?: string
  /** Written for any POSIX shell: run by `sh` as well. */
  readonly posix?: true
}

export function render(template: string, values: Readonly<Record<string, ArgValue>>): string {
  return renderTemplate({ name: 'tool', text: template }, bound(values))
}

export function bound(values: Readonly<Record<string, ArgValue>>): Map<string, BoundValue> {
  return new Map(Object.entries(values).map(([name, value]) => [name, { value, origin: `args.${name}` }]))
}

/** Everything shells, `sed`, `String.replace` and template engines are known to trip over, here-document delimiters included. */
export const hostile = [
  `-n it's "quoted" $HOME \${PATH} $(touch pwned) \`touch pwned\` $((1+1)) $'\\n' \\1 \\\\ $& $\` $1 %s`,
  '* ? ~ [a] {a,b} # ; | & && || < > >> << ( ) ! = ^',
  'EOF',
  '\tEOF',
  `<<x>> <<&x>> <<!x>> <<#if x>> <</if>> {{x}} {{{x}}} ); touch pwned; esac fi done`,
  'é ☃ 😀 \u0001\u007f\u001b[31m \r',
  '',
].join('\n')
