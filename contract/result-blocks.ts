/** Our `hpc:` and `job:` blocks as YAML text that PyYAML and js-yaml read back exactly. */

import { dump } from 'js-yaml'

export type Blocks = Readonly<Record<string, unknown>>

/** Block style: one key per line, every string in double quotes on one line, so that any indentation may be put before the lines. */
export function renderBlocks(blocks: Blocks): string {
  return dump(plainValue(blocks), { forceQuotes: true, quoteStyle: 'double', lineWidth: -1, noRefs: true })
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
