/**
 * `.submitted` and `.finished`: the tool's own bytes with our `hpc:` and `job:` blocks added, so that whoever reads the file finds what the
 * tool wrote, exactly, and beside it what we have to say. `hpc.description` tells how to get the original bytes back.
 */

import { createHash } from 'node:crypto'
import {
  COLLECTION_STYLE,
  CORE_SCHEMA,
  constructFromEvents,
  EVENT_ID,
  eventsToAst,
  FAILSAFE_SCHEMA,
  present,
  SCALAR_STYLE,
  visit,
} from 'js-yaml'
import { renderBlocks, renderFlowEntries } from './result-blocks.ts'
import { failsInPyYaml, failsPlain } from './yaml-dialects.ts'
import { findYamlFaults } from './yaml-faults.ts'
import {
  readYamlTree,
  readYamlTreeOnce,
  type YamlEntry,
  type YamlMap,
  type YamlNode,
  type YamlTree,
} from './yaml-tree.ts'

export interface ResultBlocks {
  readonly hpc?: object
  readonly job?: object
}

export interface Spliced {
  /** As it was given to spliceBlocks(); undefined when the file has none, or is no YAML mapping. */
  readonly hpc: unknown
  readonly job: unknown
  /** The description as the tool dropped it, byte for byte; undefined when the file does not hold it (any more). */
  readonly original: Uint8Array | undefined
}

/** How the original is held, under `hpc.description`. All forms say its length. */
type Keeping =
  /** Cut in two at `at`, our blocks between the halves. */
  | { readonly bytes: number; readonly at: number; readonly sha256: string }
  /** The file was written anew; the original is here. */
  | { readonly bytes: number; readonly base64: string }
  /** No YAML mapping: the original is the text under `description:`. */
  | { readonly bytes: number; readonly as_text: true }
  /** Too long for that, or no UTF-8, and no YAML mapping, so that no job can be of it: only its length is left. */
  | { readonly bytes: number }

/** What is read of a result: two streams of 1 MiB, each byte escaped, and the description twice, with room to spare. */
const maxResultBytes = 64 * 1024 * 1024

/** What is kept of a description that is no YAML mapping. */
const maxTextBytes = 64 * 1024

/** Never throws for any original; always a YAML mapping. Give it the *original* description, not one with blocks in it. */
export function spliceBlocks(original: Uint8Array, blocks: ResultBlocks): Uint8Array {
  const reading = readYamlTreeOnce(original)
  const isMap = reading.ok && reading.tree.root.kind === 'map'
  if (reading.ok && reading.tree.root.kind === 'map') {
    const root = reading.tree.root
    const faults = new Set(findYamlFaults(reading.tree).map(({ kind }) => kind))
    // Fit for a safe reader: no objects made by tags, no keys that are not text, no alias without its anchor.
    const safe = !faults.has('tag') && !faults.has('key') && hasAllAnchors(root)
    const whole = safe && !faults.has('duplicate') && !failsInPyYaml(reading.tree) && !root.entries.some(isOurs)
    const spliced = whole ? splice(original, reading.tree, root, blocks) : undefined
    const result = spliced ?? (safe ? redump(original, reading.tree, root, blocks) : undefined)
    if (result !== undefined) return result
  }
  return asText(original, blocks, isMap)
}

/** Every alias names an anchor that is complete before it, and no anchor is given twice (an error to PyYAML). */
function hasAllAnchors(root: YamlNode): boolean {
  const done = new Set<string>()
  function visitNode(node: YamlNode): boolean {
    if (node.kind === 'alias') return done.has(node.anchor)
    const fine =
      node.kind === 'text' ||
      (node.kind === 'list'
        ? node.items.every(visitNode)
        : node.entries.every(({ key, value }) => visitNode(key) && visitNode(value)))
    if (node.anchor === '') return fine
    const again = done.has(node.anchor)
    done.add(node.anchor)
    return fine && !again
  }
  return visitNode(root)
}

/** The first way of adding our blocks that leaves every byte and every meaning of the tool's own; undefined when there is none. */
function splice(original: Uint8Array, tree: YamlTree, root: YamlMap, blocks: ResultBlocks): Uint8Array | undefined {
  const ways = root.flow ? flowWays(tree) : blockWays(tree, root)
  const certain = endsLikeAnyLine(tree, root)
  for (const { at, insert } of ways) {
    const offset = Buffer.byteLength(tree.source.slice(0, at))
    const keeping = { bytes: original.length, at: offset, sha256: digest(original) }
    const text = insert(withKeeping(blocks, keeping))
    const bytes = Buffer.concat([original.subarray(0, offset), Buffer.from(text), original.subarray(offset)])
    if ((certain && at === ways[0]?.at) || keepsEntries(bytes, root.entries, true)) return bytes
  }
  return undefined
}

/**
 * The common file, for which no second reading is needed: a block mapping at the margin that ends in a line end and holds no block
 * scalar. Every construct inside it has ended there, so a key of ours at the margin can only begin an entry of its own; and our text is
 * made by the dumper alone.
 */
function endsLikeAnyLine({ source, events, explicitEnd }: YamlTree, root: YamlMap): boolean {
  const end = explicitEnd ? lastIndexOfEnd(source) : source.length
  if (root.flow || end === undefined || source[end - 1] !== '\n') return false
  if (root.offset > 0 && source[root.offset - 1] !== '\n') return false
  return events.every(
    (event) =>
      event.type !== EVENT_ID.SCALAR ||
      (event.style !== SCALAR_STYLE.LITERAL_BLOCK && event.style !== SCALAR_STYLE.FOLDED_BLOCK),
  )
}

interface Way {
  readonly at: number
  readonly insert: (blocks: ResultBlocks) => string
}

/** After the last line (before `...`), else before the first key: text that ends without a line end may mean something else with one. */
function blockWays({ source, explicitEnd }: YamlTree, root: YamlMap): Way[] {
  const end = explicitEnd ? (lastIndexOfEnd(source) ?? source.length) : source.length
  const lineStart =
    root.offset === 0
      ? 0
      : Math.max(source.lastIndexOf('\n', root.offset - 1), source.lastIndexOf('\r', root.offset - 1)) + 1
  const first = source[lineStart] === '\ufeff' ? lineStart + 1 : lineStart
  const indent = /^ */.exec(source.slice(first))?.[0] ?? ''
  const indented = (blocks: ResultBlocks): string => renderBlocks({ ...blocks }).replace(/^(?=.)/gm, indent)
  const newline = /(^|[\n\r])$/.test(source.slice(0, end)) ? '' : '\n'
  return [
    { at: end, insert: (blocks) => newline + indented(blocks) },
    { at: first, insert: indented },
  ]
}

/** `...` at the start of a line always ends the document, so the last one is the one. */
function lastIndexOfEnd(source: string): number | undefined {
  return [...source.matchAll(/(?<=^|[\n\r])\.\.\.(?=[ \t\n\r]|$)/g)].at(-1)?.index
}

/** Before the closing brace, which is among the last few: only comments may follow it. Each try reads the whole file. */
function flowWays({ source }: YamlTree): Way[] {
  const ways: Way[] = []
  const most = source.length < 65_536 ? 16 : 4
  for (let at = source.lastIndexOf('}'); at > 0 && ways.length < most; at = source.lastIndexOf('}', at - 1)) {
    ways.push({ at, insert: (blocks) => `,\n${renderFlowEntries({ ...blocks })}\n` })
    ways.push({ at, insert: (blocks) => `\n${renderFlowEntries({ ...blocks })}\n` })
  }
  return ways
}

/** Everything the tool wrote, written again in block style: comments go, texts and quoting stay, `hpc` and `job` of the tool's go. */
function redump(original: Uint8Array, tree: YamlTree, root: YamlMap, blocks: ResultBlocks): Uint8Array | undefined {
  const kept = lastOfEach(root.entries)
  const wanted = new Set(kept)
  const [document] = eventsToAst([...tree.events], { source: tree.source, schema: FAILSAFE_SCHEMA })
  if (document?.contents?.kind !== 'mapping') return undefined
  const contents = document.contents
  contents.items = contents.items.filter((_, index) => wanted.has(root.entries[index] as YamlEntry))
  visit([document], (node, { isKey }) => {
    if (node.kind === 'mapping' || node.kind === 'sequence') node.style = COLLECTION_STYLE.BLOCK
    if (node.kind !== 'scalar' || (node.style === SCALAR_STYLE.PLAIN && !failsPlain(node.value))) return
    const isMerge = isKey && node.style === SCALAR_STYLE.PLAIN && node.value === '<<'
    if (!isMerge) node.style = SCALAR_STYLE.DOUBLE_QUOTED
  })
  const plain = { contents, directives: [], explicitStart: contents.tagged || contents.anchor !== undefined }
  const own =
    kept.length === 0 ? '' : present([plain], { schema: FAILSAFE_SCHEMA, lineWidth: -1, quoteStyle: 'double' })
  const keeping = { bytes: original.length, base64: Buffer.from(original).toString('base64') }
  const text = `${own}${renderBlocks({ ...withKeeping(blocks, keeping) })}${tree.explicitEnd ? '...\n' : ''}`
  const bytes = Buffer.from(text)
  return keepsEntries(bytes, kept, false) ? bytes : undefined
}

/** Without `hpc` and `job`; of a key given twice the last one counts, and every merge, as they do for PyYAML. */
function lastOfEach(entries: readonly YamlEntry[]): YamlEntry[] {
  const identity = ({ key }: YamlEntry, index: number) => (key.kind === 'text' && key.text !== '<<' ? key.text : index)
  const last = new Map(entries.map((entry, index) => [identity(entry, index), entry]))
  const wanted = new Set(last.values())
  return entries.filter((entry) => !isOurs(entry) && wanted.has(entry))
}

/** The result for what is no YAML mapping to others: it becomes text, so the reader still gets one. What can be a job is kept whole. */
function asText(original: Uint8Array, blocks: ResultBlocks, keptWhole: boolean): Uint8Array {
  const cut = original.subarray(0, maxTextBytes)
  const text = new TextDecoder('utf-8', { ignoreBOM: true }).decode(cut)
  const whole = Buffer.from(text).equals(original)
  const keeping: Keeping = {
    bytes: original.length,
    ...(whole ? { as_text: true } : keptWhole ? { base64: Buffer.from(original).toString('base64') } : {}),
  }
  return Buffer.from(renderBlocks({ description: text, ...withKeeping(blocks, keeping) }))
}

function withKeeping(blocks: ResultBlocks, description: Keeping): ResultBlocks {
  return { hpc: { ...blocks.hpc, description }, ...(blocks.job === undefined ? {} : { job: blocks.job }) }
}

function digest(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}

function isOurs({ key }: YamlEntry): boolean {
  return key.kind === 'text' && (key.text === 'hpc' || key.text === 'job')
}

/** Read again, the file has the tool's entries as they were, and beside them only ours. */
function keepsEntries(bytes: Uint8Array, entries: readonly YamlEntry[], exactly: boolean): boolean {
  const reading = readYamlTree(bytes, maxResultBytes)
  if (!reading.ok || reading.tree.root.kind !== 'map' || failsInPyYaml(reading.tree)) return false
  if (!hasAllAnchors(reading.tree.root)) return false
  const own = reading.tree.root.entries.filter((entry) => !isOurs(entry))
  return own.length < reading.tree.root.entries.length && sameEntries(own, entries, exactly)
}

function sameEntries(a: readonly YamlEntry[], b: readonly YamlEntry[], exactly: boolean): boolean {
  return (
    a.length === b.length &&
    a.every(({ key, value }, index) => {
      const other = b[index]
      return other !== undefined && sameNode(key, other.key, exactly) && sameNode(value, other.value, exactly)
    })
  )
}

/** `exactly` also asks whether text is quoted; without it, text that PyYAML would fail on may have got quotes. */
function sameNode(a: YamlNode, b: YamlNode, exactly: boolean): boolean {
  if (a.kind !== b.kind || a.tag !== b.tag || a.anchor !== b.anchor) return false
  if (a.kind === 'text' && b.kind === 'text')
    return a.text === b.text && (a.plain === b.plain || (!exactly && failsPlain(b.text)))
  if (a.kind === 'list' && b.kind === 'list') {
    return (
      a.items.length === b.items.length && a.items.every((item, i) => sameNode(item, b.items[i] as YamlNode, exactly))
    )
  }
  return a.kind !== 'map' || b.kind !== 'map' || sameEntries(a.entries, b.entries, exactly)
}

/** Our blocks and the tool's own bytes out of a file that spliceBlocks() made; all undefined for any other file. Never throws. */
export function readSpliced(bytes: Uint8Array): Spliced {
  const reading = readYamlTree(bytes, maxResultBytes)
  if (!reading.ok || reading.tree.root.kind !== 'map') return { hpc: undefined, job: undefined, original: undefined }
  const { tree } = reading
  const root = reading.tree.root
  const hpc = construct(tree, root, 'hpc')
  const job = construct(tree, root, 'job')
  if (typeof hpc !== 'object' || hpc === null || Array.isArray(hpc)) return { hpc, job, original: undefined }
  const { description, ...rest } = hpc as Readonly<Record<string, unknown>>
  return { hpc: rest, job, original: originalOf(bytes, tree, root, description) }
}

/** One top-level value, its events cut out: what the tool wrote around it cannot make this fail. */
function construct(tree: YamlTree, root: YamlMap, name: string): unknown {
  const entries = root.entries.filter(({ key }) => key.kind === 'text' && key.text === name)
  const [entry] = entries
  const [document] = tree.events
  if (entry === undefined || entries.length > 1 || document === undefined) return undefined
  try {
    const events = [document, ...tree.events.slice(...entry.events), { type: EVENT_ID.POP }]
    return constructFromEvents(events, { source: tree.source, schema: CORE_SCHEMA, maxAliases: 0 })[0]
  } catch {
    return undefined
  }
}

function originalOf(bytes: Uint8Array, tree: YamlTree, root: YamlMap, keeping: unknown): Uint8Array | undefined {
  if (typeof keeping !== 'object' || keeping === null) return undefined
  const { bytes: length, at, sha256, base64, as_text: asTextToo } = keeping as Readonly<Record<string, unknown>>
  let original: Uint8Array | undefined
  if (typeof base64 === 'string') original = Buffer.from(base64, 'base64')
  else if (asTextToo === true) {
    const text = construct(tree, root, 'description')
    if (typeof text === 'string') original = Buffer.from(text)
  } else if (isCount(length) && isCount(at) && at <= length && length <= bytes.length) {
    original = Buffer.concat([bytes.subarray(0, at), bytes.subarray(bytes.length - (length - at))])
    if (digest(original) !== sha256) return undefined
  }
  return original?.length === length ? original : undefined
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0
}
