/**
 * `npm run licences`: writes THIRD-PARTY.md, what the bundles hold that others wrote, with their licences in full, as those ask for. Read
 * from the lock file and from what is installed; a test holds the file to it.
 */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

const root = import.meta.dirname

interface Locked {
  readonly version: string
  readonly dev?: boolean
  readonly optional?: boolean
}

interface Manifest {
  readonly license?: string
  readonly licenses?: readonly { readonly type: string }[]
}

export interface Licensed {
  readonly name: string
  readonly version: string
  readonly licence: string
  readonly text: string
}

function readJson<T>(path: string): T {
  return JSON.parse(readFileSync(path, 'utf8')) as T
}

function licensed(path: string, version: string): Licensed {
  const dir = join(root, path)
  const { license, licenses } = readJson<Manifest>(join(dir, 'package.json'))
  const file = readdirSync(dir).find((name) => /^(licen[cs]e|copying)/i.test(name))
  return {
    name: path.slice(path.lastIndexOf('node_modules/') + 'node_modules/'.length),
    version,
    licence: license ?? licenses?.[0]?.type ?? 'unknown',
    text: file === undefined ? '' : readFileSync(join(dir, file), 'utf8').trim(),
  }
}

/** What is needed at run time and comes on every system, each version once. */
export function runtimePackages(): Licensed[] {
  const { packages } = readJson<{ packages: Record<string, Locked> }>(join(root, 'package-lock.json'))
  const found = Object.entries(packages)
    .filter(([path, { dev, optional }]) => path !== '' && dev !== true && optional !== true)
    .map(([path, { version }]) => licensed(path, version))
  const once = new Map(found.map((one) => [`${one.name} ${one.version}`, one]))
  return [...once.values()].sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0))
}

export function renderThirdParty(): string {
  const packages = runtimePackages()
  const rows = packages.map(({ name, version, licence }) => `| ${name} | ${version} | ${licence} |`)
  const texts = packages.map(({ name, version, text }) => {
    const lines = text.replaceAll('\r', '').split('\n')
    return `## ${name} ${version}\n\n${lines.map((line) => (line.trim() === '' ? '' : `    ${line.trimEnd()}`)).join('\n')}`
  })
  return `# What others wrote

The bundles of hpc-batch hold these packages. Made by \`npm run licences\`.

| package | version | licence |
|---|---|---|
${rows.join('\n')}

${texts.join('\n\n')}
`
}

if (process.argv[1] === import.meta.filename) writeFileSync(join(root, 'THIRD-PARTY.md'), renderThirdParty())
