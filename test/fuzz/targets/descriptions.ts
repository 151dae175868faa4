/** What tools drop, and what we write for them: the description reader and the files it is spliced into. */
import assert from 'node:assert/strict'
import { endsDocument, endsInNewline } from '../../../contract/document-end.ts'
import { parseDescriptionProblems, readDescription } from '../../../contract/read-description.ts'
import { readSpliced, spliceBlocks } from '../../../contract/result-file.ts'
import { binaries, descriptions } from '../../hostile/descriptions.ts'
import { shown, type Target } from '../target.ts'

const place = { dir: '/d', dropbox: '/d/dropbox', input: '/d/in/in.txt', out: (name: string) => `/d/out/${name}` }
/** Of the hostile ones the small: what is wrong with the others is their size. */
const hostile = Object.values(descriptions(place))
  .map(([text]) => text)
  .filter((text) => text.length < 2_000)
const bytesOf = Object.values(binaries)
  .map(([bytes]) => bytes)
  .filter((bytes) => bytes.length < 2_000)

const real = `script: kaldi
args:
  model: "5.10"
  words: [a, 'b c', "d\\te"]
  beam: 014
input_map: {from: /srv/media/a.wav}
output_map:
  to: /srv/media/a.json
  log?: /srv/media/a.log
resources: {cpus: 2, memory: 1.5G, gpus: 1, nodes: 1, time: 1h30m}
site: carbonate
priority: 3
after: [other]
expiry: 2d
max_attempts: 5
notify: [ops]
...
`
const words = [
  ...'script args input_map output_map site target size requirements rank resources cpus memory gpus nodes time priority'.split(
    ' ',
  ),
  ...'after expiry max_attempts notify hpc job description bytes at sha256 base64 as_text true false null'.split(' '),
  ...[
    '...',
    '---',
    '%YAML 1.1',
    '!!str ',
    '!x ',
    '&a ',
    '*a',
    '<<: ',
    '? ',
    '- ',
    ': ',
    '|\n ',
    '>-\n ',
    '{',
    '}',
    '[',
    ']',
  ],
  ...['"', "'", '#', '\n', '\r\n', '\t', '\ufeff', '\u2028', '\u0085', '__proto__', 'constructor', '0o7', '.inf', '~'],
]
const hpc = { id: 'vm-00000000-0000-4000-8000-000000000000', name: 'x', history: [{ state: 'submitted', at: 'now' }] }
const job = { status: 'ok', message: 'processed OK', stdout: '...\n---\n', stderr: '', rc: 0 }

export const description: Target = {
  name: 'description',
  seeds: [real, ...hostile, ...bytesOf],
  words,
  run: (bytes) => {
    const reading = readDescription(bytes, 'x.job')
    if (reading.ok) return ''
    assert.ok(reading.problems.length > 0)
    return shown(parseDescriptionProblems(reading.problems, 'x.job'))
  },
}

/** The result holds the tool's own bytes, and our blocks as they were given, whatever the description is. */
export const result: Target = {
  name: 'result',
  seeds: [real, ...hostile, ...bytesOf],
  words,
  run: (bytes) => {
    const before = readDescription(bytes, 'x.job')
    for (const blocks of [{ hpc }, { hpc, job }]) {
      const written = spliceBlocks(bytes, blocks)
      const read = readSpliced(written)
      assert.deepEqual({ hpc: stripped(read.hpc), job: read.job }, { hpc, job: (blocks as { job?: object }).job })
      if (before.ok) assert.ok(read.original !== undefined && Buffer.from(bytes).equals(read.original), 'bytes differ')
      if (before.ok && endsDocument(bytes)) assert.ok(endsDocument(written), 'the document’s end is not the last line')
    }
    endsInNewline(bytes)
    return before.ok ? '' : 'no description'
  },
}

/** Without what we add to it about the description. */
function stripped(block: unknown): unknown {
  const { description: _, ...rest } = block as { description?: unknown }
  return rest
}

/** `.submitted` and `.finished` as they lie in a folder that others write: read, or nothing known of them. */
export const spliced: Target = {
  name: 'spliced',
  seeds: [real, ...hostile.slice(0, 40)].flatMap((text) => [
    spliceBlocks(Buffer.from(text), { hpc }),
    spliceBlocks(Buffer.from(text), { hpc, job }),
  ]),
  words,
  run: (bytes) => {
    const { original } = readSpliced(bytes)
    assert.ok(original === undefined || original.length <= bytes.length + 4)
    return ''
  },
}
