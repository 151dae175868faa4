/**
 * Places where the shell is not the last to read: words another interpreter takes for program text, and those the shell itself
 * evaluates a second time. A reference to a value is no protection there.
 */
import type { HoleSite } from './shell-lexer.ts'

export interface SecondReader {
  /** Who reads the word, to go before "as a program". */
  readonly reader: string
  readonly as: 'a program' | 'arithmetic' | 'a variable name'
}

const shells = /^(?:[abdkz]?sh|bash|mksh|yash|tcsh|csh|fish|su)$/
const programOptions: readonly (readonly [command: RegExp, option: RegExp])[] = [
  [shells, /^-[a-zA-Z]*c$|^--command$/],
  [/^(?:python|pypy)[0-9.]*$/, /^-[a-zA-Z]*c$/],
  [/^(?:perl|ruby)[0-9.]*$/, /^-[a-zA-Z0-9]*[eE]$/],
  [/^(?:node|nodejs)$/, /^(?:-[a-z]*[ep]|--eval|--print)$/],
  [/^(?:Rscript|R|julia|lua|luajit|octave|mysql|gnuplot)$/, /^(?:-e|-E|--eval|--execute)$/],
  [/^(?:php|matlab)$/, /^(?:-r|-batch)$/],
  [/^psql$/, /^(?:-[a-zA-Z]*c|--command)$/],
  [/^(?:sbatch|qsub)$/, /^--wrap$/],
]
const awk = /^[gmn]?awk$/
const declarations: ReadonlySet<string> = new Set(['declare', 'typeset', 'local', 'export', 'readonly'])

/** Who certainly evaluates the word the hole is in. `rest` is the text after the hole. */
export function secondReader(site: HoleSite, rest: string): SecondReader | undefined {
  const words = site.words.map(bare)
  if (isHere(site)) return hereReader(words)
  if (site.redirected) return undefined
  return evaluatedByShell(site, words, rest) ?? programOf(site, words)
}

/** Who may well evaluate it: worth a warning, not enough for a refusal. */
export function possibleReader(site: HoleSite): string | undefined {
  const words = site.words.map(bare)
  const names = words.map(baseName)
  const known = names.find((name) => programOptions.some(([command]) => command.test(name)))
  if (isHere(site))
    return known === undefined && !names.includes('ssh')
      ? undefined
      : `the "${known ?? 'ssh'}" that reads this here-document`
  const quoted = /['"]/.test(site.word) && !site.redirected
  if (quoted && names[0] === 'sed') return '"sed"'
  if (quoted && (names[0] === 'parallel' || names[0] === 'watch')) return `"${names[0]}"`
  const noProgram = /^(?:[a-z]*grep|head|tail|cut|wc|sort|uniq|tar)$/
  if (quoted && /^-[a-z]*c$/.test(words.at(-1) ?? '') && !noProgram.test(names[0] ?? ''))
    return `"${names[0]} ${words.at(-1)}"`
  return undefined
}

function isHere(site: HoleSite): boolean {
  const inner = site.enclosures.findLast((kind) => kind === 'commands' || kind.startsWith('here-document'))
  return inner !== 'commands'
}

/** A here-document is program text when its command is an interpreter with no program of its own. */
function hereReader(words: readonly string[]): SecondReader | undefined {
  if (afterSsh(words) === words.length) return program('the remote shell of "ssh"')
  const at = words.findLastIndex((word) => interpreter(word) !== undefined)
  const own = words.slice(at + 1).find((word) => !word.startsWith('-'))
  return at === -1 || own !== undefined ? undefined : program(`"${baseName(words[at] ?? '')}"`)
}

function evaluatedByShell(site: HoleSite, words: readonly string[], rest: string): SecondReader | undefined {
  const [head = '', ...args] = words.slice(words.findIndex((word) => !/^(?:builtin|command|\$.*)$/.test(word)))
  const previous = args.at(-1) ?? ''
  if (head === 'eval') return program('"eval"')
  if (head === 'let') return { reader: '"let"', as: 'arithmetic' }
  if (head === '[[' && !words.includes(']]')) {
    const end = rest.search(/\s\]\]/)
    const condition = `${words.join(' ')} ${end === -1 ? '' : rest.slice(0, end)} `
    if (/\s-(?:eq|ne|lt|le|gt|ge)\s/.test(condition)) return { reader: '"[["', as: 'arithmetic' }
  }
  if (declarations.has(head)) {
    if (args.some((word) => /^-[a-zA-Z]*i/.test(word))) return { reader: `"${head} -i"`, as: 'arithmetic' }
    if (!site.word.includes('=')) return { reader: `"${head}"`, as: 'a variable name' }
  }
  const namesVariable =
    head === 'unset' ||
    (head === 'read' && !/^-[a-zA-Z]*[dinNptu]$/.test(previous)) ||
    (head === 'printf' && previous === '-v') ||
    ((head === 'test' || head === '[' || head === '[[') && (previous === '-v' || previous === '-R'))
  return namesVariable ? { reader: `"${head}"`, as: 'a variable name' } : undefined
}

function programOf(site: HoleSite, words: readonly string[]): SecondReader | undefined {
  const names = words.map(baseName)
  if (names[0] === 'trap' && words.length === 1) return program('"trap"')
  const remote = afterSsh(words)
  if (remote !== undefined && words.length >= remote) return program('the remote shell of "ssh"')
  if (isAwkProgram(words, names, site.word)) return program('"awk"')
  const at = words.findLastIndex((word) => interpreter(word) !== undefined)
  const options = interpreter(words[at] ?? '')
  const between = words.slice(at + 1)
  const direct = between.every((word, index) => /^[-+]/.test(word) || /^[-+][oO]$/.test(between[index - 1] ?? ''))
  if (options === undefined || !(direct || names[at] === 'su' || names[at] === 'sbatch')) return undefined
  const attached = /^(-[a-zA-Z]*|--[a-z]+)(?:=?['"]|=)/.exec(site.word)?.[1]
  const option = [words.at(-1), attached].find((word) => word !== undefined && options.test(word))
  return option === undefined ? undefined : program(`"${names[at]} ${option}"`)
}

/** The program is the first argument that is neither an option nor an option's value. */
function isAwkProgram(words: readonly string[], names: readonly string[], word: string): boolean {
  const at = names.findLastIndex((name) => awk.test(name))
  if (at === -1 || word.startsWith('-')) return false
  for (let i = at + 1; i < words.length; i++) {
    const argument = words[i] ?? ''
    if (argument === '-F' || argument === '-v') i++
    else if (argument === '--' && i === words.length - 1) return true
    else if (!argument.startsWith('-') || argument === '-f' || argument === '--file') return false
  }
  return !/^-[Fv]$/.test(words.at(-1) ?? '')
}

/** How many words there are up to and with the host of `ssh … host`: what follows goes to a shell there. */
function afterSsh(words: readonly string[]): number | undefined {
  const at = words.findLastIndex((word) => baseName(word) === 'ssh')
  if (at === -1) return undefined
  for (let i = at + 1; i < words.length; i++) {
    if (/^-[A-Za-z0-9]*[BbcDEeFIiJLlmOoPpQRSWw]$/.test(words[i] ?? '')) i++
    else if (!words[i]?.startsWith('-')) return i + 1
  }
  return undefined
}

function interpreter(word: string): RegExp | undefined {
  return programOptions.find(([command]) => command.test(baseName(word)))?.[1]
}

function program(reader: string): SecondReader {
  return { reader, as: 'a program' }
}

function bare(word: string): string {
  return word.replace(/['"\\]/g, '')
}

function baseName(word: string): string {
  return word.slice(word.lastIndexOf('/') + 1)
}
