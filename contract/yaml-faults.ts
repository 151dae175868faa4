/** What is legal YAML and still not for us: aliases, tags that make objects, keys that are no text, keys given twice. */

import { printable } from './errors.ts'
import type { YamlNode, YamlTree } from './yaml-tree.ts'

export interface YamlFault {
  readonly kind: 'alias' | 'tag' | 'key' | 'duplicate'
  /** The keys that lead there: `args.files[2]`. */
  readonly path: string
  readonly offset: number
  /** The tag, alias or key as written. */
  readonly written: string
}

/** The faults of a document in its order, the search ended after `enough` of them. */
export function findYamlFaults(tree: YamlTree, enough = Number.POSITIVE_INFINITY): YamlFault[] {
  const faults: YamlFault[] = []
  if (tree.redefinesTags) faults.push({ kind: 'tag', path: '', offset: 0, written: '%TAG' })

  function visit(node: YamlNode, path: string): void {
    if (faults.length >= enough) return
    if (!isPlainTag(node)) faults.push({ kind: 'tag', path, offset: node.offset, written: node.tag })
    if (node.kind === 'alias') faults.push({ kind: 'alias', path, offset: node.offset, written: `*${node.anchor}` })
    if (node.kind === 'list') {
      for (const [index, item] of node.items.entries()) visit(item, `${path}[${index}]`)
    }
    if (node.kind === 'map') {
      const seen = new Set<string>()
      for (const { key, value } of node.entries) {
        if (key.kind !== 'text') {
          faults.push({ kind: 'key', path, offset: key.offset, written: '' })
          visit(key, path)
          continue
        }
        const inside = joinKeys(path, key.text)
        if (seen.has(key.text)) faults.push({ kind: 'duplicate', path: inside, offset: key.offset, written: key.text })
        seen.add(key.text)
        if (!isPlainTag(key)) faults.push({ kind: 'tag', path: inside, offset: key.offset, written: key.tag })
        visit(value, inside)
      }
    }
  }

  visit(tree.root, '')
  return faults
}

/** `args` and `level` to `args.level`, fit to be shown. */
export function joinKeys(path: string, key: string): string {
  const shown = printable(key.length > 80 ? `${key.slice(0, 80)}…` : key)
  return path === '' ? shown : `${path}.${shown}`
}

/** Each harmless tag with what may carry it; PyYAML's safe loader and we read them alike. The last five make no text, so only a tool's own keys may have them. */
const plainTags: Readonly<Record<string, (node: YamlNode) => boolean>> = {
  str: (node) => node.kind === 'text',
  int: (node) => node.kind === 'text' && /^[-+]?(0|[1-9]\d*)$/.test(node.text),
  float: (node) => node.kind === 'text' && /^[-+]?\d+(\.\d*)?$/.test(node.text),
  bool: (node) => node.kind === 'text' && /^(true|false|yes|no|on|off)$/i.test(node.text),
  null: (node) => node.kind === 'text' && /^(~|null|)$/.test(node.text),
  map: (node) => node.kind === 'map',
  seq: (node) => node.kind === 'list',
  binary: (node) => node.kind === 'text' && /^[A-Za-z0-9+/]*={0,2}$/.test(node.text.replace(/\s/g, '')),
  timestamp: (node) => node.kind === 'text' && isPossibleTime(node.text),
  set: (node) => node.kind === 'map',
  omap: (node) => node.kind === 'list' && node.items.every((item) => item.kind === 'map' && item.entries.length === 1),
  pairs: (node) => node.kind === 'list' && node.items.every((item) => item.kind === 'map' && item.entries.length === 1),
}

function isPlainTag(node: YamlNode): boolean {
  const name = standardTag(node)
  return name === '' || (name !== undefined && Object.hasOwn(plainTags, name) && plainTags[name]?.(node) === true)
}

/** `str` of `!!str`; empty without a tag; undefined when the tag is nobody's standard. */
export function standardTag(node: YamlNode): string | undefined {
  if (node.tag === '' || node.tag === '!') return ''
  return /^(?:!!|!<tag:yaml\.org,2002:)([a-z]+)>?$/.exec(node.tag)?.[1]
}

/** A date, or a date and time, that exists: PyYAML fails on text that only looks like one (`2021-13-45`). */
export function isPossibleTime(text: string): boolean {
  const match =
    /^(\d{4})-(\d\d?)-(\d\d?)(?:(?:[Tt]|[ \t]+)(\d\d?):(\d\d):(\d\d)(?:\.\d*)?(?:[ \t]*(?:Z|[-+](\d\d?)(?::?(\d\d))?))?)?$/.exec(
      text,
    )
  if (match === null) return false
  const [year, month, day, hour, minute, second, zoneHour, zoneMinute] = match
    .slice(1)
    .map((part) => Number(part ?? 0)) as [number, number, number, number, number, number, number, number]
  if (year < 1 || month < 1 || month > 12 || day < 1) return false
  const leap = (year % 4 === 0 && year % 100 !== 0) || year % 400 === 0
  const days = month === 2 ? (leap ? 29 : 28) : [4, 6, 9, 11].includes(month) ? 30 : 31
  return day <= days && hour < 24 && minute < 60 && second < 60 && zoneHour < 24 && zoneMinute < 60
}
