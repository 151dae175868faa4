/** Readers for the single values of a description: each takes a place, returns the value, or says what is wrong there and returns undefined. */

import { quoted } from './errors.ts'
import { parseDurationMs, parseMemoryBytes } from './units.ts'
import { joinKeys, standardTag } from './yaml-faults.ts'
import type { YamlNode } from './yaml-tree.ts'

/** A value, the keys that lead to it, and where to say what is wrong with it. */
export interface Spot {
  readonly path: string
  /** Where its key (or list item) begins. */
  readonly offset: number
  readonly node: YamlNode
  say(message: string): void
  inside(key: string, offset: number, node: YamlNode): Spot
}

export function spotAt(
  path: string,
  offset: number,
  node: YamlNode,
  report: (path: string, offset: number, message: string) => void,
): Spot {
  return {
    path,
    offset,
    node,
    say: (message) => report(path, offset, message),
    inside: (key, at, child) => spotAt(key.startsWith('[') ? `${path}${key}` : joinKeys(path, key), at, child, report),
  }
}

/** Nothing there: `key:`, `key: ~`, `key: null`. */
export function isEmpty(node: YamlNode): boolean {
  return node.kind === 'text' && node.plain && /^(~|null|Null|NULL|)$/.test(node.text)
}

/** File names on the systems we know end at 255 bytes; 240 leaves room for the suffixes that we add. */
export const maxNameBytes = 240

/** Text a program can be handed: no NUL, and nothing that has no UTF-8 (half a surrogate pair, from a `"\ud800"`). */
export function isPassable(text: string): boolean {
  return !/\0|[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/.test(text)
}

export function hasControls(text: string): boolean {
  return /[\u0000-\u001f\u007f-\u009f\u2028\u2029]/.test(text)
}

/** The text exactly as written. */
export function readText(spot: Spot): string | undefined {
  const tag = standardTag(spot.node)
  if (spot.node.kind === 'alias' || tag === undefined) return undefined // already said by findYamlFaults
  if (spot.node.kind !== 'text') {
    spot.say(`must be one value, not a ${spot.node.kind === 'list' ? 'list' : 'mapping'}`)
    return undefined
  }
  if (!['', 'str', 'int', 'float', 'bool', 'null'].includes(tag)) {
    spot.say(`carries the YAML tag ${quoted(spot.node.tag)}; write plain text`)
    return undefined
  }
  if (!isPassable(spot.node.text)) {
    spot.say('contains a NUL or half a character; remove it')
    return undefined
  }
  return spot.node.text
}

/** One line of visible text; `lines` allows line breaks and tabs (expressions). */
export function readLine(spot: Spot, lines = false): string | undefined {
  const text = readText(spot)
  if (text === undefined) return undefined
  if (text.trim() === '') spot.say('is empty; give it a value or remove the key')
  else if (hasControls(lines ? text.replace(/[\t\n\r]/g, ' ') : text))
    spot.say(`${quoted(text)} contains line breaks or control characters; remove them`)
  else return text
  return undefined
}

/** One name or a list of names. */
export function readNames(spot: Spot, readName: (spot: Spot) => string | undefined): string[] {
  const { node } = spot
  const items = node.kind === 'list' ? node.items.map((item, i) => spot.inside(`[${i}]`, item.offset, item)) : [spot]
  return items.flatMap((item) => readName(item) ?? [])
}

export function readWhole(spot: Spot, least: number, most: number): number | undefined {
  const text = readText(spot)
  if (text === undefined) return undefined
  const value = /^\d{1,10}$/.test(text) ? Number(text) : undefined
  if (value !== undefined && value >= least && value <= most) return value
  spot.say(`${quoted(text)} must be a whole number from ${least} to ${most}`)
  return undefined
}

export function readDuration(spot: Spot): number | undefined {
  const text = readText(spot)
  if (text === undefined) return undefined
  const ms = parseDurationMs(text)
  if (ms !== undefined && ms > 0) return ms
  spot.say(`${quoted(text)} must be a time with its unit, such as 90m, 8h or 1d12h`)
  return undefined
}

export function readMemory(spot: Spot): number | undefined {
  const text = readText(spot)
  if (text === undefined) return undefined
  const bytes = parseMemoryBytes(text)
  if (bytes !== undefined && bytes > 0) return bytes
  spot.say(`${quoted(text)} must be an amount with its unit, such as 32G or 512M`)
  return undefined
}

/** The script's name becomes a file name in the templates folder, so it can lead nowhere else. */
export function readScriptName(spot: Spot): string | undefined {
  const text = readText(spot)
  if (text === undefined) return undefined
  if (/^(?![.-])[A-Za-z0-9._-]{1,200}$/.test(text)) return text
  spot.say(
    text === ''
      ? 'is empty; name a template'
      : `${quoted(text)} must be the plain name of a template: letters, digits, ".", "_" and "-", not starting with "." or "-"`,
  )
  return undefined
}

/** The name of another job: its file in the dropbox, with or without `.job`. */
export function readJobName(spot: Spot): string | undefined {
  const text = readLine(spot)
  if (text === undefined) return undefined
  if (!text.includes('/') && !text.startsWith('.') && Buffer.byteLength(text) <= maxNameBytes) return text
  spot.say(
    `${quoted(text)} must be the name of a job in the dropbox: no "/", no leading ".", at most ${maxNameBytes} bytes`,
  )
  return undefined
}
