/** Jobs that come late, come again, share a destination, are cancelled, or are still being written. */
import assert from 'node:assert/strict'
import {
  appendFileSync,
  chownSync,
  existsSync,
  readFileSync,
  rmSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { list, type Result, until, World } from '../support/world.ts'

const world = new World()
after(async () => {
  writeFileSync(join(world.dir, 'go'), '')
  await world.end()
})

world.template(
  'hold',
  `#!/bin/sh\necho <<who>> >>${world.dir}/started\nwhile [ ! -e ${world.dir}/go ]; do sleep 0.05; done\necho <<who>> >output/<<to>>\n`,
)
const started = () =>
  existsSync(join(world.dir, 'started')) ? readFileSync(join(world.dir, 'started'), 'utf8').trim().split('\n') : []
const hold = (who: string, to = world.out(who)) =>
  world.drop(who, `script: hold\nargs: {who: ${who}}\noutput_map: {to: ${to}}\n`)
const release = () => writeFileSync(join(world.dir, 'go'), '')

let firstRunner: string
const runnerOf = (name: string): string =>
  / in (\S+):/.exec(world.finished(name).job.history.find((event: Result) => event.state === 'running').note)?.[1] ??
  assert.fail(`no runner in the history of ${name}`)

async function waiting(): Promise<Record<string, string>> {
  const ran = await world.tick('--json')
  assert.equal(ran.code, 0, ran.stderr)
  const { waiting } = JSON.parse(ran.stdout) as { waiting: { name: string; why: string }[] }
  return Object.fromEntries(waiting.map(({ name, why }) => [name, why]))
}

async function finishAll(): Promise<void> {
  release()
  for (let pass = 0; pass < 6; pass += 1) {
    await world.drained()
    await world.tick()
    if (!list(world.dropbox).some((name) => /\.job(\.submitted)?$/.test(name))) return
  }
  assert.fail(`still there: ${list(world.dropbox).join(' ')}`)
}

test('HB-23 P-HB-07: a job dropped while the runner runs is drained by the same runner', async () => {
  hold('early')
  assert.equal((await world.tick()).code, 0)
  await until('the first job to start', () => started().includes('early'))
  hold('late')
  assert.equal((await world.tick()).code, 0)
  assert.equal(world.runners().length, 1)
})

test('P-HB-12 HB-12: a job dropped again under its name waits its turn, visibly; both results come', async () => {
  hold('early', world.out('again'))
  assert.match((await waiting()).early ?? '', /a job of this name is under way/)
  const first = world.submitted('early').hpc.id as string
  hold('shares', world.out('late'))
  assert.match((await waiting()).shares ?? '', /job "late" is to deliver to one of its outputs first/)
  assert.ok(world.has('shares.job.submitted'), 'it is accepted')
  release()
  await until('the first result', async () => {
    await world.tick()
    return world.has('early.job.finished')
  })
  assert.ok(world.has('early.job'), 'the second one waits until the first result is taken away')
  assert.match((await waiting()).early ?? '', /has not been taken away/)
  assert.equal(world.finished('early').hpc.id, first)
  firstRunner = runnerOf('early')
  rmSync(join(world.dropbox, 'early.job.finished'))
  await finishAll()
  assert.notEqual(world.finished('early').hpc.id, first)
  assert.equal(readFileSync(world.out('again'), 'utf8'), 'early\n')
})

test('HB-23: early and late ran in one runner; a shared destination has the later result', () => {
  assert.equal(runnerOf('late'), firstRunner)
  assert.equal(world.finished('late').job.status, 'ok')
  assert.equal(readFileSync(world.out('late'), 'utf8'), 'shares\n')
  assert.deepEqual(world.jobsLeft(), [])
})

test('P-HB-11: a file that grows is not taken; one that stands still, ends in a newline and is closed is', async () => {
  const path = join(world.dropbox, 'slow.job')
  writeFileSync(path, 'script: tr')
  const feed = setInterval(() => appendFileSync(path, '#'), 60)
  try {
    assert.match((await waiting()).slow ?? '', /it may still be written/)
    assert.ok(existsSync(path))
  } finally {
    clearInterval(feed)
  }
  truncateSync(path, 0)
  appendFileSync(path, 'script: true\n')
  await world.tick()
  assert.equal(existsSync(path), false, 'one pass is enough when nothing changes meanwhile')
  await finishAll()
  assert.equal(world.finished('slow').job.status, 'ok')
})

test('P-HB-11: without a final newline a file is taken after ten quiet seconds, and is an error when it cannot be read', async () => {
  writeFileSync(join(world.dropbox, 'cut.job'), 'script: true\nargs: {a: ')
  writeFileSync(join(world.dropbox, 'bare.job'), 'script: true')
  writeFileSync(join(world.dropbox, 'nothing.job'), '')
  const begin = Date.now()
  assert.deepEqual(Object.keys(await waiting()).sort(), ['bare', 'cut', 'nothing'])
  await until('both to be taken', async () => {
    await world.tick()
    return !existsSync(join(world.dropbox, 'cut.job')) && !existsSync(join(world.dropbox, 'bare.job'))
  })
  assert.ok(Date.now() - begin > 9_000)
  assert.match(world.finished('cut').job.message, /line 2/)
  assert.match(world.finished('nothing').job.message, /is empty/)
  await finishAll()
  assert.equal(world.finished('bare').job.status, 'ok')
})

test('HB-30: cancel files: with the job, waiting behind another, queued, running; old and foreign ones do nothing', async () => {
  rmSync(join(world.dir, 'go'))
  const cancel = (name: string) => writeFileSync(join(world.dropbox, `${name}.job.cancel`), '')
  hold('runs')
  await world.tick()
  await until('it to run', () => started().includes('runs'))
  hold('queued')
  hold('behind', world.out('queued'))
  await world.tick()
  hold('unread')
  cancel('unread')
  cancel('nobody')
  hold('old')
  cancel('old')
  utimesSync(join(world.dropbox, 'old.job.cancel'), 1, 1)
  for (const name of ['runs', 'queued', 'behind']) cancel(name)
  if (process.getuid?.() === 0) {
    hold('foreign')
    await world.tick()
    cancel('foreign')
    chownSync(join(world.dropbox, 'foreign.job.cancel'), 65534, 65534)
  }
  await until('all that were cancelled to end', async () => {
    await world.tick()
    return ['runs', 'queued', 'behind', 'unread'].every((name) => world.has(`${name}.job.finished`))
  })
  for (const name of ['runs', 'queued', 'behind', 'unread']) {
    const { job } = world.finished(name)
    assert.deepEqual([job.state, job.status], ['cancelled', 'error'], name)
    assert.match(job.message, /cancelled/)
    assert.equal(existsSync(world.out(name)), false)
  }
  assert.deepEqual(
    started().filter((who) => ['queued', 'behind', 'unread'].includes(who)),
    [],
  )
  await finishAll()
  assert.equal(world.finished('old').job.status, 'ok')
  if (process.getuid?.() === 0) assert.equal(world.finished('foreign').job.status, 'ok')
  assert.deepEqual(
    list(world.dropbox).filter((name) => name.endsWith('.cancel')),
    [],
  )
  assert.deepEqual(list(join(world.dir, 'state', 'reserved')), [], 'no reservation stays')
  assert.deepEqual(world.jobsLeft(), [])
})
