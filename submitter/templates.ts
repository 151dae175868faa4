/** Finding a job's template: `<script>.template` in the configured folders, in their order. */
import { join } from 'node:path'
import { didYouMean } from '../contract/suggest.ts'
import type { Template } from '../contract/template.ts'
import type { Gateway } from './gateway.ts'

const ending = '.template'

export function findTemplate(gateway: Gateway, script: string): Template | { readonly fault: string } {
  for (const dir of foldersOf(gateway)) {
    const path = join(dir, `${script}${ending}`)
    // operators link templates into place: a link is followed here, the folder is theirs
    const real = gateway.files.exists(path) ? gateway.files.os.realpathSync(path) : path
    const text = gateway.files.readText(real)
    if (text !== undefined) return { name: script, text }
  }
  const known = listTemplates(gateway)
  const hint = didYouMean(script, known)
  const there = hint === '' ? `; there are ${known.join(', ') || 'none'}` : hint
  return {
    fault: `"${script}" is not in templates${there}; correct it, or have ${script}${ending} put into ${foldersOf(gateway).join(' or ')}`,
  }
}

/** In a checkout the package's own folder is the one beside the dropbox, too. */
function foldersOf({ config }: Gateway): string[] {
  return [...new Set(config.templates)]
}

export function listTemplates(gateway: Gateway): string[] {
  const names = foldersOf(gateway).flatMap((dir) => gateway.files.list(dir))
  return [...new Set(names.filter((name) => name.endsWith(ending)).map((name) => name.slice(0, -ending.length)))].sort()
}
