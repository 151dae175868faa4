/** The tables of docs/configuration.md, made from the schema. */
import * as z from 'zod'
import { type Declared, declare } from './config-keys.ts'
import type { Fields } from './config-values.ts'

const headings: Readonly<Record<keyof Declared, string>> = {
  root: '### Top level',
  paths: '### `paths`',
  owners: '### `owners`',
  ownerLimits: '### `owners.limits`',
  site: '### `sites.NAME`',
  ssh: '### `sites.NAME.transport`, type `ssh`',
  local: '### `sites.NAME.transport`, type `local`',
  scheduler: '### `sites.NAME.scheduler`',
  hpcEnv:
    '### `sites.NAME.hpc_env`\n\nAny other key is a value for templates too: `anything: else` is the text for `<<anything>>`.',
  siteLimits: '### `sites.NAME.limits`',
  laneChoice: '### `sites.NAME.lanes`\n\nEvery other key names a lane.',
  lane: '### `sites.NAME.lanes.NAME`',
}

/** The expected value, the default as it would be written, and whether the key must be given. */
function facts(schema: z.ZodType): { expected: string; fallback?: string; needed: boolean } {
  if (schema instanceof z.ZodOptional) return { ...facts(schema.unwrap() as z.ZodType), needed: false }
  if (schema instanceof z.ZodPrefault) {
    const fallback = schema.def.defaultValue
    const { expected } = facts(schema.def.innerType as z.ZodType)
    return { expected, needed: false, ...(typeof fallback === 'string' ? { fallback } : {}) }
  }
  const expected = schema instanceof z.ZodLiteral ? `"${schema.value}"` : schema.meta()?.expected
  return { expected: String(expected ?? 'a mapping'), needed: true }
}

/** The tables of `docs/configuration.md`: every key of the schema with what is expected, its default and its sentence. */
export function configSchemaDocs(): string {
  const declared = declare({ dir: '/', home: '/' })
  const tables = Object.entries(headings).map(([part, heading]) => {
    const rows = Object.entries(declared[part as keyof Declared] as Fields).map(([key, { schema }]) => {
      const { expected, fallback, needed } = facts(schema)
      const otherwise = fallback === undefined ? (needed ? '**required**' : '') : `\`${fallback}\``
      return `| \`${key}\` | ${expected} | ${otherwise} | ${schema.description ?? ''} |`
    })
    return `${heading}\n\n| key | value | default | meaning |\n|---|---|---|---|\n${rows.join('\n')}\n`
  })
  return tables.join('\n')
}
