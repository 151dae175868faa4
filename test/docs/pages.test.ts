/** What the pages show is true: links lead somewhere, examples are read, and the messages of the README's table are the code's own words. */
import assert from 'node:assert/strict'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { test } from 'node:test'
import { readDescription } from '../../contract/read-description.ts'
import { templateWarnings } from '../../contract/template.ts'
import { parseConfig } from '../../submitter/config.ts'
import { root } from './feature-table.ts'

const read = (path: string): string => readFileSync(join(root, path), 'utf8')
const docs = readdirSync(join(root, 'docs')).filter((name) => name.endsWith('.md'))
const pages = ['README.md', 'CHANGELOG.md', 'clients/python/README.md', ...docs.map((name) => `docs/${name}`)]

/** The code blocks of one language. */
function blocks(page: string, language: string): string[] {
  return [...read(page).matchAll(/^```(\w*)\n(.*?)^```$/gms)]
    .filter(([, found]) => found === language)
    .map(([, , text]) => text ?? '')
}

/** As GitHub names a heading. */
function anchors(page: string): string[] {
  return [...read(page).matchAll(/^#+ (.*)$/gm)].map(([, heading]) =>
    (heading ?? '')
      .toLowerCase()
      .replace(/[^\p{L}\p{N} _-]/gu, '')
      .replaceAll(' ', '-'),
  )
}

test('links within the pages lead to a file that is there, and to a heading that is in it', () => {
  const broken = pages.flatMap((page) =>
    [...read(page).matchAll(/\]\(([^)\s]+)\)/g)]
      .map(([, target]) => target ?? '')
      .filter((target) => !/^https?:/.test(target))
      .filter((target) => {
        const [path = '', anchor] = target.split('#')
        const file = path === '' ? page : join(dirname(page), path)
        if (!existsSync(join(root, file))) return true
        return anchor !== undefined && !anchors(file).includes(anchor)
      })
      .map((target) => `${page}: ${target}`),
  )
  assert.deepEqual(broken, [])
})

test('every test that the pages of promises and rules name is there', () => {
  const missing = ['docs/security.md', 'docs/reliability.md'].flatMap((page) =>
    [...read(page).matchAll(/`((?:test|bench)\/[^`\s]*)`/g)]
      .map(([, path]) => path ?? '')
      .filter((path) => !existsSync(join(root, path)))
      .map((path) => `${page}: ${path}`),
  )
  assert.deepEqual(missing, [])
})

test('the job descriptions shown are descriptions', () => {
  const shown = ['README.md', 'docs/dropbox.md'].flatMap((page) =>
    blocks(page, 'yaml').filter((text) => text.startsWith('script: ') && text.endsWith('...\n')),
  )
  assert.equal(shown.length, 2)
  for (const text of shown) {
    const reading = readDescription(Buffer.from(text), 'shown.job')
    assert.ok(reading.ok, JSON.stringify(reading))
  }
})

test('the config shown in the README is a config', () => {
  const [text = ''] = blocks('README.md', 'yaml').filter((block) => block.startsWith('dropbox: '))
  const { config, warnings } = parseConfig(text, { file: 'shown.yml', mode: 0o600, dir: '/etc', home: '/home/amp' })
  assert.deepEqual(Object.keys(config.sites), ['carbonate'])
  assert.deepEqual(warnings, [])
})

test('the templates shown in the README are templates without warnings', () => {
  const shown = blocks('README.md', 'bash').filter((text) => text.startsWith('#!'))
  assert.equal(shown.length, 2)
  for (const text of shown) assert.deepEqual(templateWarnings({ name: 'shown', text }), [])
})

test('every message in the README’s table of symptoms is in the code', () => {
  const folders = ['contract', 'scheduler', 'system', 'spool', 'submitter', 'queuer', 'runner']
  const code = folders
    .flatMap((folder) =>
      readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
        .filter((name) => name.endsWith('.ts'))
        .map((name) => read(`${folder}/${name}`)),
    )
    .join('\n')
    .replaceAll("\\'", "'")
  const table = read('README.md').split('| symptom | it means | do |')[1] ?? ''
  const symptoms = [...table.matchAll(/^\| (.*?) \|/gm)].flatMap(([, cell]) =>
    [...(cell ?? '').matchAll(/`([^`]+)`/g)].map(([, text]) => text ?? ''),
  )
  assert.ok(symptoms.length >= 30)
  // what stands between the places where values are put in
  const fragments = symptoms.flatMap((symptom) => symptom.split(/…|"|\bN\b|\d+/).map((part) => part.trim()))
  const unknown = fragments.filter((part) => part.replace(/[^a-z]/gi, '').length >= 8 && !code.includes(part))
  assert.deepEqual(unknown, [])
})
