/** Our `hpc:` and `job:` blocks as YAML text that PyYAML and js-yaml read back exactly. */

export type Blocks = Readonly<Record<string, unknown>>

/**
 * Block style: one key per line, every string in double quotes on one line, so that any indentation may be put before the lines. Written
 * here and not by js-yaml's dumper, which looks at every string for the styles it could have: that was a fifth of accepting a job.
 */
export function renderBlocks(blocks: Blocks): string {
  const lines: string[] = []
  writeMap(blocks, '', '', lines)
  return lines.length === 0 ? '{}\n' : `${lines.join('\n')}\n`
}

/** Words that are no text to some reader of YAML, 1.1 ones included, are quoted as keys too. */
function writeKey(key: string): string {
  const plain = /^[A-Za-z_][A-Za-z0-9_.-]*$/.test(key) && !/^(?:y|n|yes|no|on|off|true|false|null|nan|inf)$/i.test(key)
  return plain ? key : quoteJson(wellFormed(key))
}

const longestKey = 120

/** `first` stands before the first line, `indent` before the others: a list's items begin on the line of their dash. */
function writeMap(map: Blocks, first: string, indent: string, lines: string[]): void {
  let before = first
  for (const [key, value] of Object.entries(map)) {
    if (value === undefined) continue
    const name = writeKey(key)
    // a longer key has to be announced
    const long = name.length > longestKey
    if (long) lines.push(`${before}? ${name}`)
    writeValue(long ? `${indent}:` : `${before}${name}:`, value, indent, lines)
    before = indent
  }
}

function writeValue(start: string, value: unknown, indent: string, lines: string[]): void {
  if (Array.isArray(value) && value.length > 0) {
    lines.push(start)
    for (const item of value) {
      if (isFullMap(item)) writeMap(item, `${indent}  - `, `${indent}    `, lines)
      // a list within a list is written as JSON, which is YAML
      else lines.push(`${indent}  - ${writePlain(item)}`)
    }
  } else if (isFullMap(value)) {
    lines.push(start)
    writeMap(value, `${indent}  `, `${indent}  `, lines)
  } else lines.push(`${start} ${writePlain(value)}`)
}

/** A scalar, an empty collection, or a list within a list. */
function writePlain(value: unknown): string {
  return quoteJson(typeof value === 'string' ? wellFormed(value) : plainValue(value ?? null))
}

function isFullMap(value: unknown): value is Blocks {
  if (typeof value !== 'object' || value === null || Array.isArray(value) || value instanceof Date) return false
  return Object.values(value).some((item) => item !== undefined)
}

/** `"hpc": {…},` and so on: entries for the inside of a `{…}`, one per line. */
export function renderFlowEntries(blocks: Blocks): string {
  return Object.entries(plainValue(blocks) as Blocks)
    .map(([key, value]) => `${quoteJson(key)}: ${quoteJson(value)}`)
    .join(',\n')
}

/** JSON is YAML once the characters that YAML does not print are escaped. A float like 1e21 would be text to PyYAML; we have none. */
function quoteJson(value: unknown): string {
  return JSON.stringify(value).replace(
    /[\u007f-\u00a0\u2028\u2029\ufeff\ufffe\uffff]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )
}

/** Only what JSON knows: no undefined, dates as text, no shared objects, and no half characters (no UTF-8 can hold them). */
function plainValue(value: unknown): unknown {
  return JSON.parse(
    JSON.stringify(value, (_, inner: unknown) => {
      if (typeof inner === 'string') return wellFormed(inner)
      if (typeof inner !== 'object' || inner === null || Array.isArray(inner)) return inner
      return Object.fromEntries(Object.entries(inner).map(([key, item]) => [wellFormed(key), item]))
    }),
  )
}

function wellFormed(text: string): string {
  return text.replace(/[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g, '\ufffd')
}
