/** Where PyYAML (YAML 1.1, the readers of our results) fails on text that js-yaml (YAML 1.2) reads: such text must be written anew. */

import { EVENT_ID, SCALAR_STYLE } from 'js-yaml'
import { isPossibleTime } from './yaml-faults.ts'
import type { YamlNode, YamlTree } from './yaml-tree.ts'

/** Keys longer than this are no "simple keys" to PyYAML (1024 with quotes and escapes). */
const longKey = 1000

/** True when PyYAML would fail on the whole file although it is good YAML 1.2. */
export function failsInPyYaml(tree: YamlTree): boolean {
  return hasStrayTab(tree) || hasFailingNode(tree.root, false, findAnchors(tree.root, new Map()))
}

type Anchors = Map<string, YamlNode>

function findAnchors(node: YamlNode, anchors: Anchors): Anchors {
  if (node.kind === 'alias') return anchors
  if (node.anchor !== '') anchors.set(node.anchor, node)
  if (node.kind === 'list') for (const item of node.items) findAnchors(item, anchors)
  if (node.kind === 'map') for (const { value } of node.entries) findAnchors(value, anchors)
  return anchors
}

function hasFailingNode(node: YamlNode, inFlow: boolean, anchors: Anchors): boolean {
  // `?x` and `:x` may not begin plain text inside `{}` or `[]`.
  if (node.kind === 'text') return node.plain && (failsPlain(node.text) || (inFlow && /^[?:]/.test(node.text)))
  if (node.kind === 'list') return node.items.some((item) => hasFailingNode(item, inFlow || node.flow, anchors))
  if (node.kind === 'alias') return false
  return node.entries.some(({ key, value }) => {
    if (hasFailingNode(value, inFlow || node.flow, anchors)) return true
    if (key.kind !== 'text') return true
    return key.text.length > longKey || (key.plain && failsAsKey(key.text, value, inFlow || node.flow, anchors))
  })
}

function failsAsKey(key: string, value: YamlNode, inFlow: boolean, anchors: Anchors): boolean {
  if (inFlow && /^[?:]/.test(key)) return true
  if (key === '<<') return !isMergeable(value, anchors)
  return key !== '=' && failsPlain(key)
}

/** `<<: ` wants a mapping or a list of them. */
function isMergeable(value: YamlNode, anchors: Anchors): boolean {
  const isMap = (node: YamlNode): boolean => (node.kind === 'alias' ? anchors.get(node.anchor) : node)?.kind === 'map'
  return value.kind === 'list' ? value.items.every(isMap) : isMap(value)
}

/**
 * Plain text that PyYAML cannot make a value of: `=` and `<<` stand for types it has no value for, `0x_` and `2021-13-45` look like a number
 * and a date without being one, and a tab ends plain text.
 */
export function failsPlain(text: string): boolean {
  if (text === '=' || text === '<<' || text.includes('\t') || /^[-+]?0[bx]_+$/.test(text)) return true
  return looksLikeTime(text) && !isPossibleTime(text)
}

/** PyYAML's own pattern for what it will try to build a date from. */
function looksLikeTime(text: string): boolean {
  return /^(?:\d{4}-\d\d-\d\d|\d{4}-\d\d?-\d\d?(?:[Tt]|[ \t]+)\d\d?:\d\d:\d\d(?:\.\d*)?(?:[ \t]*(?:Z|[-+]\d\d?(?::\d\d)?))?)$/.test(
    text,
  )
}

/** A tab between tokens, or inside plain text: only quoted text, blocks and comments may have one. */
function hasStrayTab({ source, events }: YamlTree): boolean {
  if (!source.includes('\t')) return false
  let bare = ''
  let from = 0
  for (const event of events) {
    if (event.type !== EVENT_ID.SCALAR || event.style === SCALAR_STYLE.PLAIN || event.valueStart < 0) continue
    bare += `${source.slice(from, event.valueStart)}x`
    from = event.valueEnd
  }
  bare += source.slice(from)
  return bare.replace(/(^|[ \n\r])#[^\n\r]*/g, '$1').includes('\t')
}
