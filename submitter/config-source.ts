/** A config file as it was written: plain text, lists and mappings, and where each key stands. */
import { constructFromEvents, EVENT_ID, FAILSAFE_SCHEMA, getScalarValue, parseEvents, YAMLException } from 'js-yaml'

/** Plain text, lists and mappings as written: what a YAML or ini file is before the schema reads it. */
export type Tree = string | readonly Tree[] | { readonly [key: string]: Tree }

/** A file read: what it says, and where each key of it stands. */
export interface Source {
  readonly tree: Tree
  /** By the JSON of the key’s path: its line, and in an ini its name there. */
  readonly places: ReadonlyMap<string, Place>
  readonly warnings: readonly string[]
  /** Why it could not be read at all; the rest means nothing then. */
  readonly problems: readonly { readonly line?: number; readonly message: string }[]
}
export interface Place {
  readonly line?: number
  readonly name?: string
}

export const placeKey = (path: readonly string[]) => JSON.stringify(path)

/** The line of each key, walked in the order of the events; what the file says is taken by js-yaml itself. */
export function placesOf(events: ReturnType<typeof parseEvents>, source: string): Source['places'] {
  const lineStarts = [0]
  for (let at = source.indexOf('\n'); at >= 0; at = source.indexOf('\n', at + 1)) lineStarts.push(at + 1)
  const lineAt = (offset: number) => {
    let [low, high] = [0, lineStarts.length]
    while (high - low > 1) {
      const middle = (low + high) >> 1
      if ((lineStarts[middle] ?? 0) <= offset) low = middle
      else high = middle
    }
    return low + 1
  }
  const places = new Map<string, { readonly line: number }>()
  let next = 1 // 0 is the document
  const walk = (path: readonly string[]) => {
    const event = events[next++]
    if (event?.type !== EVENT_ID.SEQUENCE && event?.type !== EVENT_ID.MAPPING) return
    for (let index = 0; events[next] !== undefined && events[next]?.type !== EVENT_ID.POP; index++) {
      const first = events[next]
      if (event.type === EVENT_ID.SEQUENCE) {
        walk([...path, String(index)])
        continue
      }
      next++
      if (first?.type !== EVENT_ID.SCALAR) return // a list or mapping as a key; js-yaml has refused it already
      const key = [...path, getScalarValue(source, first)]
      places.set(placeKey(key), { line: lineAt(first.valueStart) })
      walk(key)
    }
    next++
  }
  walk([])
  return places
}

export function readYaml(text: string): Source {
  const broken = (message: string, line?: number): Source => {
    return {
      tree: '',
      places: new Map(),
      warnings: [],
      problems: [line === undefined ? { message } : { message, line }],
    }
  }
  try {
    const events = parseEvents(text, { maxDepth: 20 })
    const tag = events.find((event) => 'tagStart' in event && event.tagStart >= 0)
    if (tag !== undefined && 'tagStart' in tag)
      return broken('expected plain YAML, found a tag', text.slice(0, tag.tagStart).split('\n').length)
    const documents = constructFromEvents(events, { source: text, schema: FAILSAFE_SCHEMA, maxAliases: 0 })
    if (documents.length === 0) return broken('expected a configuration, found an empty file')
    if (documents.length > 1) return broken('expected one YAML document, found more')
    return { tree: documents[0] as Tree, places: placesOf(events, text), warnings: [], problems: [] }
  } catch (error) {
    if (!(error instanceof YAMLException)) throw error
    // Never its own message: that one quotes the lines around, and a passphrase with them.
    const reason = /aliases exceeded/.test(error.reason) ? 'expected plain YAML, found an alias' : error.reason
    return broken(reason, error.mark === undefined ? undefined : error.mark.line + 1)
  }
}

export function at(tree: unknown, ...path: readonly string[]): unknown {
  let node = tree
  for (const key of path) {
    if (typeof node !== 'object' || node === null || !Object.hasOwn(node, key)) return undefined
    node = (node as Record<string, unknown>)[key]
  }
  return node === '' ? undefined : node
}
export const keysAt = (tree: unknown, ...path: readonly string[]): string[] => {
  const node = at(tree, ...path)
  return typeof node === 'object' && node !== null && !Array.isArray(node) ? Object.keys(node) : []
}
