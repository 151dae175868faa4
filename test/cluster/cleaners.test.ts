/** The site's scratch cleaner takes what it finds old: inputs, keys, outputs, control folders, a whole workspace. */
import assert from 'node:assert/strict'
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, it } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import type { End } from '../judge/evidence.ts'
import { cli, list, type Ran, run, until } from '../support/world.ts'
import { Told } from './faulty-lab.ts'
import { asRoot, Lab, theCluster } from './lab.ts'

const labs: Lab[] = []
function lab(options: ConstructorParameters<typeof Lab>[0] = {}): { place: Lab; told: Told } {
  const place = new Lab(options)
  labs.push(place)
  return { place, told: new Told(place) }
}

/** Allocations that wait until the test lets them begin. */
const held = { scheduler: '{type: slurm, options: ["--begin=now+3600"]}' }

async function begin(place: Lab): Promise<void> {
  const { id } = await place.allocation('PENDING')
  await asRoot('scontrol', 'update', `jobid=${id}`, 'starttime=now')
}

/** A pass of a gateway whose forward-only clock is so far on: what is asked every quarter of an hour is asked now. */
async function tickLater(place: Lab, seconds: number): Promise<Ran> {
  const file = join(place.dir, 'uptime')
  writeFileSync(file, `${Number(readFileSync('/proc/uptime', 'utf8').split(' ')[0]) + seconds} 0\n`)
  const script = 'mount --bind "$1" /proc/uptime; shift; exec "$@"'
  const tick = [process.execPath, cli, 'tick', '--config', place.configFile]
  const ran = await run(['unshare', '--mount', 'sh', '-c', script, 'sh', file, ...tick], { cwd: place.dir })
  // a runner that found nothing, for want of what was taken, is told of
  assert.ok(ran.code === 0 || ran.code === 75, ran.stderr)
  return ran
}

function idOf(place: Lab, n: string): string {
  return place.submitted(n).hpc.id
}

/** The key of a job in that folder of the workspace, taken away. */
function takeKey(place: Lab, folder: string, id: string): void {
  const found = list(join(place.workspace, folder)).flatMap((dir) =>
    list(join(place.workspace, folder, dir))
      .filter((key) => key.endsWith(id))
      .map((key) => join(place.workspace, folder, dir, key)),
  )
  assert.equal(found.length, 1, `${found}`)
  rmSync(found[0]!)
}

function givenUp(place: Lab, n: string, message: RegExp): { end: Partial<End>; job: { mayNotRun: true } } {
  const end = { status: 'error', state: 'aborted', rc: null, message, outputs: { [place.out(n)]: null } } as const
  return { end, job: { mayNotRun: true } }
}

theCluster('a scratch cleaner', { concurrency: 5 }, () => {
  after(async () => {
    for (const place of labs) await place.end()
  })

  it('P-HB-18: it takes an input of a job that waits: its result says so, no script is blamed, and other jobs go on', async () => {
    const { place, told } = lab(held)
    const said = /its input "a" is gone \(cleaned away by the site\?\)/
    const { end, job } = givenUp(place, 'a', said)
    told.drop('a', 'a', { end, job })
    told.drop('b')
    await place.tick()
    rmSync(join(place.workspace, 'jobs', idOf(place, 'a'), 'input', 'a'))
    await begin(place)
    for (const n of ['a', 'b']) await place.finish(n)
    assert.deepEqual(told.starts('a'), [])
    await told.judge()
  })

  it('P-HB-18: it takes the keys of a job that waits and of one that is done: the audit puts both back', async () => {
    const { place, told } = lab(held)
    told.drop('a')
    await place.tick()
    const id = idOf(place, 'a')
    takeKey(place, 'queue', id)
    await begin(place)
    await place.drained()
    assert.deepEqual(told.starts('a'), [])
    await tickLater(place, 1_000)
    await until('a runner', async () => {
      await place.tick()
      return (await place.live()).length === 1
    })
    await begin(place)
    await place.drained()
    takeKey(place, 'done', id)
    await place.tick()
    assert.ok(!place.has('a.job.finished'))
    await tickLater(place, 2_000)
    await place.finish('a')
    assert.equal(told.starts('a').length, 1)
    await told.judge()
  })

  it('P-HB-18: it takes an output before that was fetched: it is asked for until the expiry has run out, and the result says what is missing', async () => {
    const { place, told } = lab()
    const { end, job } = givenUp(place, 'a', /output "a" is no longer there/)
    told.drop('a', 'a', { end, job, more: 'expiry: 1s\n' })
    told.drop('b')
    await place.tick()
    await place.drained()
    rmSync(join(place.workspace, 'jobs', idOf(place, 'a'), 'output', 'a'))
    const ran = await place.tick()
    assert.equal(ran.code, 75, ran.stderr)
    assert.match(ran.stderr, /the result of "a\.job" cannot be delivered yet: output "a" is no longer there/)
    await place.finish('b')
    await place.finish('a')
    assert.equal(told.starts('a').length, 1)
    await told.judge({}, ['a'])
  })

  it('P-HB-18: it takes the control folder of a job that waits: after two denials ten minutes apart it is given up as lost, other jobs go on', async () => {
    const { place, told } = lab(held)
    const { end, job } = givenUp(place, 'a', /has lost this job: .*drop it again/)
    told.drop('a', 'a', { end, job })
    told.drop('b')
    await place.tick()
    const id = idOf(place, 'a')
    for (const folder of ['control', 'jobs']) rmSync(join(place.workspace, folder, id), { recursive: true })
    await begin(place)
    await place.finish('b')
    await tickLater(place, 1_000)
    assert.ok(place.has('a.job.submitted'), 'one denial is enough for it')
    await tickLater(place, 1_700)
    assert.ok(place.has('a.job.finished'))
    await told.judge()
  })

  it('P-HB-18: it takes the whole workspace under a running and a waiting job: they are given up after their expiry, and new jobs get a new workspace', async () => {
    const { place, told } = lab()
    for (const n of ['a', 'b']) {
      const { end, job } = givenUp(
        place,
        n,
        /did not answer until the job's expiry of 2s ran out .*has lost its marker/,
      )
      told.drop(n, n, { waits: true, more: 'expiry: 2s\n', end, job })
    }
    await place.tick()
    await told.started('a')
    const runners = place.runners()
    for (const name of readdirSync(place.workspace)) rmSync(join(place.workspace, name), { recursive: true })
    const ran = await place.tick()
    assert.ok(ran.code !== 0, ran.stderr)
    assert.match(
      ran.stderr,
      /has lost its marker \.hpc-workspace.*if it was wiped, its jobs are given up when their expiry/,
    )
    assert.deepEqual(
      readdirSync(place.workspace).filter((name) => name === '.hpc-workspace'),
      [],
    )
    await until('the runner to see that it has no seat', () => !place.runners().some((pid) => runners.includes(pid)))
    await sleep(2_500)
    await until('the jobs to be given up', async () => {
      await place.tick()
      return ['a', 'b'].every((n) => place.has(`${n}.job.finished`))
    })
    told.drop('c')
    await place.finish('c')
    assert.deepEqual([told.starts('a').length, told.ends('a'), told.starts('b').length], [1, 0, 0])
    await told.judge({}, ['a'])
  })
})
