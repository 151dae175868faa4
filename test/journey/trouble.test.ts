/** What is lost, wiped, unmounted, forged or out of reach: no job is lost by it, none runs twice, and each ends in one result. */
import assert from 'node:assert/strict'
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { list, type Ran, until, World } from '../support/world.ts'

const world = new World()
const runs = join(world.dir, 'runs')
world.template('count', `#!/bin/sh\necho <<who>> >>${runs}\ncat input/* >output/<<to>>\n`)
after(() => world.end())

const ran = () => (existsSync(runs) ? readFileSync(runs, 'utf8').trim().split('\n').sort() : [])
const count = (who: string, more = '') =>
  world.drop(
    who,
    `script: count\nargs: {who: ${who}}\ninput_map: {from: ${world.input(who)}}\noutput_map: {to: ${world.out(who)}}\n${more}`,
  )

async function ticksUntil(what: string, condition: () => boolean): Promise<Ran> {
  let last: Ran | undefined
  await until(what, async () => {
    last = await world.tick()
    if (condition()) return true
    // failing time is what passes between tries; after five quick ones a site would be given a rest
    await new Promise((resolve) => setTimeout(resolve, 400))
    return condition()
  })
  return last ?? assert.fail()
}

test('P-HB-17: losing the state loses no job and runs none twice, though its input is gone by then', async () => {
  count('kept')
  assert.equal((await world.tick()).code, 0)
  await world.drained()
  rmSync(join(world.dir, 'state'), { recursive: true })
  rmSync(join(world.dir, 'in', 'kept'))
  await ticksUntil('the job to be delivered', () => world.has('kept.job.finished'))
  assert.equal(world.finished('kept').job.status, 'ok')
  assert.equal(readFileSync(world.out('kept'), 'utf8'), 'kept')
  assert.deepEqual(ran(), ['kept'])
  assert.deepEqual(world.jobsLeft(), [])
})

test('HB-30: a job that could not be sent yet and has lost its input ends with that reason', async () => {
  // the site is out of reach: its workspace has another owner's mark
  renameSync(world.workspace, `${world.workspace}.away`)
  mkdirSync(world.workspace)
  count('lone')
  const first = await world.tick()
  assert.equal(first.code, 75, first.stderr)
  assert.match(first.stderr, /lost its marker/)
  assert.ok(world.has('lone.job.submitted'))
  rmSync(join(world.dir, 'in', 'lone'))
  await world.tick()
  assert.ok(world.has('lone.job.submitted'), 'only the site knows whether it has the job')
  rmSync(world.workspace, { recursive: true })
  renameSync(`${world.workspace}.away`, world.workspace)
  await ticksUntil('its end', () => world.has('lone.job.finished'))
  assert.match(world.finished('lone').job.message, /input_map\.from .*"[^"]*lone" does not exist/)
  assert.deepEqual(ran(), ['kept'])
})

test('HB-32: while a site is out of reach ticks end with 75 and say why; jobs wait; expired ones end, and are withdrawn there', async () => {
  count('sent', 'expiry: 1s\n')
  assert.equal((await world.tick()).code, 0)
  await world.drained()
  renameSync(world.workspace, `${world.workspace}.away`)
  count('patient', 'expiry: 1d\n')
  count('hasty', 'expiry: 1s\n')
  const last = await ticksUntil(
    'both to expire',
    () => world.has('sent.job.finished') && world.has('hasty.job.finished'),
  )
  assert.equal(last.code, 75, last.stderr)
  for (const name of ['sent', 'hasty']) {
    const { job } = world.finished(name)
    assert.deepEqual([job.state, job.status], ['aborted', 'error'])
    assert.match(job.message, /site "here" did not answer until the job's expiry of 1s ran out .*drop it again/)
  }
  assert.ok(world.has('patient.job.submitted'))
  renameSync(`${world.workspace}.away`, world.workspace)
  const state = join(world.dir, 'state', 'sites', 'here.json')
  writeFileSync(state, readFileSync(state, 'utf8').replace(/"failures":\d+/, '"failures":1'))
  await ticksUntil('the patient one', () => world.has('patient.job.finished'))
  assert.equal(world.finished('patient').job.status, 'ok')
  assert.deepEqual(ran(), ['kept', 'patient', 'sent'])
  assert.deepEqual(world.jobsLeft(), [], 'what expired was withdrawn from the site')
  assert.equal(existsSync(world.out('sent')), false)
})

test('HB-30: a job whose site left the config before it could be sent goes to another one, or ends with the reason', async () => {
  const config = readFileSync(world.configFile, 'utf8')
  renameSync(world.workspace, `${world.workspace}.away`)
  count('moves')
  world.drop('bound', 'script: true\nsite: here\n')
  await world.tick()
  assert.ok(world.has('moves.job.submitted') && world.has('bound.job.submitted'))
  renameSync(`${world.workspace}.away`, world.workspace)
  writeFileSync(world.configFile, config.replace('  here:', '  there:'))
  await ticksUntil('both to end', () => world.has('moves.job.finished') && world.has('bound.job.finished'))
  writeFileSync(world.configFile, config)
  const { hpc, job } = world.finished('moves')
  assert.deepEqual([job.status, hpc.site, job.site], ['ok', 'there', 'there'])
  assert.match(world.finished('bound').job.message, /"here" is no site of the config/)
  assert.deepEqual(
    ran().filter((who) => who === 'moves'),
    ['moves'],
  )
})

test('P-HB-17: a workspace that was wiped: its jobs end when they expire, then it is made anew', async () => {
  rmSync(world.workspace, { recursive: true })
  count('wiped', 'expiry: 1s\n')
  await ticksUntil('it to be given up', () => world.has('wiped.job.finished'))
  assert.equal(world.finished('wiped').job.state, 'aborted')
  count('after')
  await ticksUntil('a job in the new workspace', () => world.has('after.job.finished'))
  assert.equal(world.finished('after').job.status, 'ok')
})

test('P-HB-12: a .submitted that is not ours gains nothing: it is a .job of its owner', async () => {
  count('real')
  assert.equal((await world.tick()).code, 0)
  await world.drained()
  const text = readFileSync(join(world.dropbox, 'real.job.submitted'), 'utf8')
  await ticksUntil('the real one', () => world.has('real.job.finished'))
  // another name inside, then one that others may write
  writeFileSync(join(world.dropbox, 'fake.job.submitted'), text)
  writeFileSync(join(world.dropbox, 'open.job.submitted'), text.replaceAll('real', 'open'))
  chmodSync(join(world.dropbox, 'open.job.submitted'), 0o666)
  writeFileSync(join(world.dropbox, 'plain.job.submitted'), 'script: true\n...\n')
  mkdirSync(join(world.dropbox, 'dir.job.submitted'))
  // the audit that finds them comes every 15 minutes: the last one was so long ago
  const state = join(world.dir, 'state', 'sites', 'here.json')
  const told = JSON.parse(readFileSync(state, 'utf8')) as { lastAudit: { bootId: string; ms: number } }
  told.lastAudit.ms -= 900_000
  writeFileSync(state, JSON.stringify(told))
  await ticksUntil('all to end', () =>
    ['fake', 'open', 'plain', 'dir'].every((name) => world.has(`${name}.job.finished`)),
  )
  for (const name of ['fake', 'open']) assert.match(world.finished(name).job.message, /hpc .*is written by us/)
  assert.equal(world.finished('plain').job.status, 'ok')
  assert.match(world.finished('dir').job.message, /no regular file/)
  assert.deepEqual(
    ran().filter((who) => who === 'real' || who === 'open'),
    ['real'],
  )
})

test('HB-14: a dropbox whose marker is gone, or is another one, is left alone and said', async () => {
  const uuid = join(world.dropbox, '.hpc', 'uuid')
  const before = readFileSync(uuid, 'utf8')
  world.drop('untouched', 'script: true\n')
  rmSync(uuid)
  const gone = await world.tick()
  assert.equal(gone.code, 75, gone.stderr)
  assert.match(gone.stderr, /marker \.hpc\/uuid is missing.*it may not be mounted/)
  writeFileSync(uuid, '00000000-0000-4000-8000-000000000000\n')
  const other = await world.tick()
  assert.equal(other.code, 78, other.stderr)
  assert.match(other.stderr, /it is another folder than the one served before/)
  assert.ok(world.has('untouched.job'))
  writeFileSync(uuid, before)
  await ticksUntil('it to be served again', () => world.has('untouched.job.finished'))
  assert.deepEqual(
    list(world.dropbox).filter((name) => name.endsWith('.submitted')),
    [],
  )
})

test('promise 1: what passes that died left in the state folder goes', async () => {
  const state = join(world.dir, 'state')
  const leave = (path: string) => {
    writeFileSync(join(state, path), '{"id": "gone", "name": "gone"}')
    utimesSync(join(state, path), 1, 1)
  }
  for (const path of ['.0123456789ab.1', 'sites/.0123456789ab.2', 'reserved/.0123456789ab.3', 'reserved/gone'])
    leave(path)
  // without another job to make it look
  await world.tick()
  const left = readdirSync(state, { recursive: true, encoding: 'utf8' })
  assert.deepEqual(
    left.filter((path) => /(^|\/)\.|gone/.test(path)),
    [],
  )
})
