/**
 * Between check and use: another user swaps names in his own folder while a gateway of root delivers into it. What he reaches with it is
 * nothing that is not his. Needs root; says so where it is not.
 */
import assert from 'node:assert/strict'
import {
  chownSync,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { readDescription } from '../../contract/read-description.ts'
import { deliver } from '../../submitter/deliver.ts'
import { publishSubmitted } from '../../submitter/finish-unsent.ts'
import type { Gateway } from '../../submitter/gateway.ts'
import type { Lock } from '../../submitter/lock.ts'
import { JobReceiver } from '../../submitter/receive-job.ts'
import { Files } from '../../system/files.ts'
import { type Os, realOs } from '../../system/os.ts'
import { testGateway } from '../support/gateway.ts'
import { digest } from '../support/site.ts'
import { resultWith } from './answers.ts'

const options = { skip: process.getuid?.() === 0 ? false : 'only root writes into folders of other users' }
const uid = 12346
const content = Buffer.from('from the job')
const id = 'vm-00000000-0000-4000-8000-000000000000'

interface Scene {
  readonly theirs: string
  readonly secret: string
}
type Call = keyof Os

/** Delivers one output while `swap` acts right before the n-th call of `call` on a path that `which` matches. Gives what went wrong. */
async function delivered(
  kind: 'file' | 'folder',
  at: { readonly call: Call; readonly which: RegExp; readonly nth?: number },
  swap: (scene: Scene) => void,
  judge: (scene: Scene, fault: string | undefined) => void,
  prepare: (scene: Scene) => void = () => undefined,
): Promise<void> {
  const outer = await testGateway(`paths: {inputs: [/], outputs: [/tmp]}\n`)
  try {
    const scene = { theirs: join(outer.dir, 'theirs'), secret: join(outer.dir, 'secret') }
    mkdirSync(scene.theirs)
    chownSync(scene.theirs, uid, uid)
    mkdirSync(join(scene.secret, 'sub'), { recursive: true })
    for (const name of ['o', 'a', 'sub/a']) writeFileSync(join(scene.secret, name), 'precious', { mode: 0o600 })
    prepare(scene)
    let seen = 0
    const wrapped = (...args: unknown[]) => {
      if (at.which.test(String(args[0]))) {
        seen += 1
        if (seen === (at.nth ?? 1)) swap(scene)
      }
      return (realOs[at.call] as (...all: unknown[]) => unknown)(...args)
    }
    const files = new Files({ ...realOs, [at.call]: wrapped } as Os)
    const gateway: Gateway = { ...outer.gateway, files }
    const text = Buffer.from(`script: true\noutput_map: {to: ${join(scene.theirs, 'o')}}\n...\n`)
    const reading = readDescription(text, 'x.job')
    assert.ok(reading.ok)
    const hpc = { id, name: 'x', gateway: 'g', owner: { uid, gid: uid, mode: 0o644 }, history: [] }
    const lock = { check: () => undefined } as unknown as Lock
    publishSubmitted(outer.gateway, lock, text, hpc)
    const receiver = new JobReceiver(gateway, hpc, reading.description)
    const entry = { path: kind === 'file' ? '' : 'a', size: content.length, sha256: digest(content), mode: 0o600 }
    const output = { key: 'to', name: 'o', kind, files: [entry], folders: [] }
    receiver.result({ result: resultWith([output]), publishedAt: '2026-01-01T00:00:00.000Z' })
    receiver.piece({ file: `to/${entry.path}`, offset: 0, last: true }, content)
    let fault = receiver.fault
    if (fault === undefined) {
      assert.ok(receiver.isWhole())
      try {
        deliver(gateway, lock, { hpc, original: text, job: undefined }, receiver)
      } catch (error) {
        fault = String(error)
        receiver.discard()
      }
    }
    assert.ok(seen >= (at.nth ?? 1), 'the swap took place')
    for (const name of ['o', 'a', 'sub/a']) {
      assert.equal(readFileSync(join(scene.secret, name), 'utf8'), 'precious', name)
      assert.deepEqual(
        [statSync(join(scene.secret, name)).uid, statSync(join(scene.secret, name)).mode & 0o777],
        [0, 0o600],
      )
    }
    assert.deepEqual(readdirSync(scene.secret).sort(), ['a', 'o', 'sub'])
    assert.equal(process.geteuid?.(), 0)
    judge(scene, fault)
  } finally {
    outer.end()
  }
}

const toSecret = ({ theirs, secret }: Scene) => {
  renameSync(theirs, `${theirs}.real`)
  symlinkSync(secret, theirs)
}

for (const kind of ['file', 'folder'] as const) {
  test(`HB-05: the folder becomes a link before a ${kind} is written: it goes where it was judged`, options, () =>
    delivered(kind, { call: 'openSync', which: /\/\.vm-.*|\/a$/ }, toSecret, ({ theirs }, fault) => {
      assert.equal(fault, undefined)
      const at = kind === 'file' ? 'o' : 'o/a'
      assert.equal(readFileSync(join(`${theirs}.real`, at), 'utf8'), 'from the job')
      assert.equal(statSync(join(`${theirs}.real`, at)).uid, uid)
    }),
  )

  test(`HB-05: the folder becomes a link before the last rename of a ${kind}`, options, () =>
    delivered(kind, { call: 'renameSync', which: /\/\.vm-[^/]*$/ }, toSecret, ({ theirs }, fault) => {
      assert.equal(fault, undefined)
      assert.ok(existsSync(join(`${theirs}.real`, 'o')))
    }),
  )
}

test('HB-05: the temporary folder becomes a link before its files are given away', options, () =>
  delivered(
    'folder',
    { call: 'openSync', which: /\/a$/, nth: 2 },
    ({ theirs, secret }) => {
      renameSync(join(theirs, `.${id}.0`), join(theirs, 'moved'))
      symlinkSync(secret, join(theirs, `.${id}.0`))
    },
    (_, fault) => assert.match(fault ?? '', /ELOOP|ENOTDIR|replaced/),
  ),
)

test('HB-05: the temporary file becomes another file of root’s: it is not given away', options, () =>
  delivered(
    'file',
    { call: 'openSync', which: /\/\.vm-[^/]*$/, nth: 2 },
    ({ theirs, secret }) => {
      renameSync(join(theirs, `.${id}.0`), join(theirs, 'moved'))
      linkSync(join(secret, 'o'), join(theirs, `.${id}.0`))
    },
    ({ theirs }, fault) => {
      assert.match(fault ?? '', /was replaced by somebody/)
      assert.equal(existsSync(join(theirs, 'o')), false)
    },
  ),
)

test('HB-05: a folder within the old result becomes a link while it is removed', options, () =>
  delivered(
    'folder',
    { call: 'readdirSync', which: /\.old\/sub$/ },
    ({ theirs, secret }) => {
      const [old = ''] = readdirSync(theirs).filter((name) => name.endsWith('.old'))
      renameSync(join(theirs, old, 'sub'), join(theirs, 'moved'))
      symlinkSync(secret, join(theirs, old, 'sub'))
      // what the owner may not enter, he cannot make us remove
      realOs.chmodSync(secret, 0o700)
    },
    () => undefined,
    ({ theirs }) => {
      mkdirSync(join(theirs, 'o', 'sub'), { recursive: true })
      writeFileSync(join(theirs, 'o', 'sub', 'a'), 'old')
      for (const path of ['o', 'o/sub', 'o/sub/a']) chownSync(join(theirs, path), uid, uid)
    },
  ),
)

test('HB-05: a planted tree under our temporary name is removed with its owner’s rights', options, () =>
  delivered(
    'file',
    { call: 'readdirSync', which: /\/\.vm-[^/]*\/d$/ },
    ({ theirs, secret }) => {
      renameSync(join(theirs, `.${id}.0`, 'd'), join(theirs, 'moved'))
      symlinkSync(secret, join(theirs, `.${id}.0`, 'd'))
      realOs.chmodSync(secret, 0o700)
    },
    () => undefined,
    ({ theirs }) => {
      mkdirSync(join(theirs, `.${id}.0`, 'd'), { recursive: true })
      for (const path of [`.${id}.0`, `.${id}.0/d`]) chownSync(join(theirs, path), uid, uid)
      assert.ok(lstatSync(join(theirs, `.${id}.0`, 'd')).isDirectory())
    },
  ),
)
