/** A YAML text as a tree of what was written: scalars stay text, nothing is resolved or expanded, every key knows its place. */

import {
  COLLECTION_STYLE,
  EVENT_ID,
  type Event,
  getScalarValue,
  parseEvents,
  SCALAR_STYLE,
  type ScalarEvent,
  YAMLException,
} from 'js-yaml'
import { printable } from './errors.ts'
import type { Problem } from './job-description.ts'

interface NodeBase {
  /** Offset in the source of the node's first character. */
  readonly offset: number
  /** The tag as spelt (`!!str`, `!x`); empty when there is none. */
  readonly tag: string
  /** The anchor's name, empty when there is none. */
  readonly anchor: string
}

export interface YamlText extends NodeBase {
  readonly kind: 'text'
  readonly text: string
  /** Written without quotes and not as a block, so a reader may take it for a number, a date, null … */
  readonly plain: boolean
}

export interface YamlList extends NodeBase {
  readonly kind: 'list'
  readonly flow: boolean
  readonly items: readonly YamlNode[]
}

export interface YamlEntry {
  readonly key: YamlNode
  readonly value: YamlNode
  /** Where the value's events lie, for whoever wants it constructed. */
  readonly events: readonly [from: number, to: number]
}

export interface YamlMap extends NodeBase {
  readonly kind: 'map'
  readonly flow: boolean
  readonly entries: readonly YamlEntry[]
}

export interface YamlAlias extends NodeBase {
  readonly kind: 'alias'
}

export type YamlNode = YamlText | YamlList | YamlMap | YamlAlias

export interface YamlTree {
  readonly source: string
  readonly events: readonly Event[]
  readonly root: YamlNode
  /** The document ends with `...`. */
  readonly explicitEnd: boolean
  /** `%TAG` was used: tags do not mean what they look like. */
  readonly redefinesTags: boolean
}

export type YamlReading =
  | { readonly ok: true; readonly tree: YamlTree }
  | { readonly ok: false; readonly problem: Problem }

/** What is read of a dropped file. */
export const maxYamlBytes = 1024 * 1024

/** What PyYAML refuses anywhere in a file, comments included; js-yaml looks at scalars only. */
const unprintable =
  /[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\ud800-\udfff]|[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/

/** The last reading of each buffer: a description is read once to be judged and once more when our blocks are added to it. */
const readings = new WeakMap<Uint8Array, YamlReading>()

/** As `readYamlTree`, for bytes that nobody changes meanwhile: a second call for the same buffer costs nothing. */
export function readYamlTreeOnce(bytes: Uint8Array): YamlReading {
  const known = readings.get(bytes) ?? readYamlTree(bytes)
  readings.set(bytes, known)
  return known
}

/** One YAML document in at most 1 MiB (or `maxBytes`) of UTF-8 (a byte order mark and CRLF are fine), or the first reason why it is not. */
export function readYamlTree(bytes: Uint8Array, maxBytes = maxYamlBytes): YamlReading {
  if (bytes.length > maxBytes)
    return broken(`is ${bytes.length} bytes of YAML; at most ${maxBytes} are read, make it shorter`)
  const source = decodeUtf8(bytes)
  if (source === undefined) {
    const line = firstUndecodableLine(bytes)
    return { ok: false, problem: { key: '', line, message: 'is not valid UTF-8 here; save the file as UTF-8' } }
  }
  const odd = unprintable.exec(source)
  if (odd !== null) {
    const shown = odd[0] === '\0' ? 'a NUL byte' : `the character ${printable(odd[0])}`
    return broken(`contains ${shown}, which YAML does not allow; remove it`, placeIn(source)(odd.index))
  }
  try {
    return grow(source, parseEvents(source, {}))
  } catch (error) {
    if (!(error instanceof YAMLException)) return broken(`cannot be read as YAML: ${String(error)}`)
    const mark = error.mark
    return broken(
      `cannot be read as YAML: ${printable(error.reason)}; correct it there`,
      mark === undefined ? undefined : { line: mark.line + 1, column: mark.column + 1 },
    )
  }
}

function broken(message: string, place: { line?: number; column?: number } = {}): YamlReading {
  return { ok: false, problem: { key: '', ...place, message } }
}

/** The text of valid UTF-8, a byte order mark kept so that offsets stay true; undefined for anything else. */
export function decodeUtf8(bytes: Uint8Array): string | undefined {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch {
    return undefined
  }
}

/** No multi-byte sequence contains a line feed, so lines can be judged one by one. */
function firstUndecodableLine(bytes: Uint8Array): number {
  let start = 0
  for (let line = 1; ; line++) {
    const end = bytes.indexOf(0x0a, start)
    if (end === -1 || decodeUtf8(bytes.subarray(start, end)) === undefined) return line
    start = end + 1
  }
}

/** Line and column (from 1) of any offset; the lines are counted once. */
export function placeIn(source: string): (offset: number) => { line: number; column: number } {
  const starts = [source.startsWith('\ufeff') ? 1 : 0]
  for (const found of source.matchAll(/\r\n|\n|\r/g)) starts.push(found.index + found[0].length)
  return (offset) => {
    let low = 0
    let high = starts.length
    while (high - low > 1) {
      const middle = (low + high) >> 1
      if ((starts[middle] ?? 0) <= offset) low = middle
      else high = middle
    }
    return { line: low + 1, column: Math.max(0, offset - (starts[low] ?? 0)) + 1 }
  }
}

function grow(source: string, events: readonly Event[]): YamlReading {
  const documents = events.filter((event) => event.type === EVENT_ID.DOCUMENT)
  const [document] = documents
  if (document === undefined) return broken('is empty; a description needs at least "script:"')
  if (documents.length > 1) return broken('holds more than one YAML document; write one description per file')
  let at = 1
  let near = 0

  function next(): YamlNode {
    const event = events[at++]
    if (event === undefined) throw new Error('the event stream ended early')
    switch (event.type) {
      case EVENT_ID.SCALAR: {
        near = offsetOf(source, event, near)
        return {
          ...properties(event),
          kind: 'text',
          text: textOf(source, event),
          plain: event.style === SCALAR_STYLE.PLAIN,
        }
      }
      case EVENT_ID.ALIAS:
        near = event.anchorStart - 1
        return {
          kind: 'alias',
          offset: near,
          tag: '',
          anchor: source.slice(event.anchorStart, event.anchorEnd),
        }
      case EVENT_ID.SEQUENCE: {
        near = event.start
        const base = properties(event)
        const items: YamlNode[] = []
        while (events[at]?.type !== EVENT_ID.POP) items.push(next())
        at++
        return { ...base, kind: 'list', flow: event.style === COLLECTION_STYLE.FLOW, items }
      }
      case EVENT_ID.MAPPING: {
        near = event.start
        const base = properties(event)
        const entries: YamlEntry[] = []
        while (events[at]?.type !== EVENT_ID.POP) {
          const key = next()
          const from = at
          const value = next()
          entries.push({ key, value, events: [from, at] })
        }
        at++
        return { ...base, kind: 'map', flow: event.style === COLLECTION_STYLE.FLOW, entries }
      }
      default:
        throw new Error('an event of the wrong kind')
    }
  }

  function properties(event: { anchorStart: number; anchorEnd: number; tagStart: number; tagEnd: number }): NodeBase {
    return {
      offset: near,
      tag: event.tagStart < 0 ? '' : source.slice(event.tagStart, event.tagEnd),
      anchor: event.anchorStart < 0 ? '' : source.slice(event.anchorStart, event.anchorEnd),
    }
  }

  const root = next()
  const redefinesTags = document.directives.some((directive) => directive.kind === 'tag')
  return { ok: true, tree: { source, events, root, explicitEnd: document.explicitEnd, redefinesTags } }
}

/** An empty scalar has no place of its own: it is near what came before it. */
function offsetOf(source: string, event: ScalarEvent, near: number): number {
  if (event.tagStart >= 0) return event.tagStart
  if (event.anchorStart >= 0) return event.anchorStart - 1
  if (event.valueStart < 0) return near
  const quotedBefore = /["']/.test(source[event.valueStart - 1] ?? '') && event.style !== SCALAR_STYLE.PLAIN
  return quotedBefore ? event.valueStart - 1 : event.valueStart
}

/** js-yaml 5.5 ends a block scalar with a line feed even where the file ends without one; the YAML rule and PyYAML do not. */
function textOf(source: string, event: ScalarEvent): string {
  const text = getScalarValue(source, event)
  const block = event.style === SCALAR_STYLE.LITERAL_BLOCK || event.style === SCALAR_STYLE.FOLDED_BLOCK
  if (!block || event.valueEnd < source.length || !text.endsWith('\n')) return text
  return /[\r\n][ \t]*$/.test(source) ? text : text.slice(0, -1)
}
