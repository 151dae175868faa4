/** File systems that fill up in the middle: the workspace, the gateway's state folder, the dropbox, an output folder. Each a small tmpfs. */
import assert from 'node:assert/strict'
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { join } from 'node:path'
import { after, it } from 'node:test'
import { list, until } from '../support/world.ts'
import { labWithGate, Told } from './faulty-lab.ts'
import { account, asRoot, Lab, theCluster } from './lab.ts'

const MiB = 1024 * 1024
const labs: Lab[] = []
const mounted: string[] = []

/** A tmpfs of that size at a folder; `owner` is an account's name. */
async function smallDisk(dir: string, size: number, owner = 'root'): Promise<void> {
  mkdirSync(dir, { recursive: true })
  const id = (await asRoot('id', '-u', owner)).trim()
  await asRoot('mount', '-t', 'tmpfs', '-o', `size=${size},uid=${id},gid=${id},mode=755`, 'tmpfs', dir)
  mounted.push(dir)
}

/** Fills it to the last byte, and gives what makes room again. */
function fill(dir: string, name = '.filler'): () => void {
  const path = join(dir, name)
  const fd = openSync(path, 'w')
  for (const size of [MiB, 4096, 1]) {
    try {
      for (;;) writeSync(fd, Buffer.alloc(size))
    } catch (error) {
      assert.equal((error as NodeJS.ErrnoException).code, 'ENOSPC')
    }
  }
  closeSync(fd)
  return () => rmSync(path)
}

theCluster('disks that are full', { concurrency: 4 }, () => {
  after(async () => {
    for (const place of labs) await place.drained().catch(() => undefined)
    for (const dir of mounted) await asRoot('umount', '-l', dir)
    for (const place of labs) await place.end()
  })

  it('P-HB-29 P-HB-18: a workspace that fills up while files are sent, while a runner waits, and while a job runs: jobs wait with the reason, and no finished script is lost', async () => {
    const place = await labWithGate()
    labs.push(place)
    const told = new Told(place)
    await smallDisk(place.workspace, 100 * MiB, account)
    let free = () => {}

    // in the middle of an upload
    told.drop('sent', 'x'.repeat(9 * MiB))
    const ran = await place.shut({ type: 'part', passes: 'later', fromOffset: 4 * MiB }).meet(async () => {
      free = fill(place.workspace)
    })
    assert.ok(place.has('sent.job.submitted'), ran.stderr)
    assert.deepEqual(list(join(place.workspace, 'control')), [], 'a job was published from half its input')

    // while it is full, and while there is less than jobs and runners need to write
    told.drop('later')
    const { waiting } = await place.look()
    for (const { name, why } of waiting) assert.match(why, /the site has too little space/, name)
    assert.deepEqual(waiting.map(({ name }: { name: string }) => name).sort(), ['later', 'sent'])
    const freeMore = fill(place.workspace, '.more')
    const full = await place.tick()
    assert.equal(full.code, 75, full.stderr)
    assert.match(full.stderr, /cannot be written: ENOSPC.*make room there/)
    for (const act of [free, freeMore]) act()
    for (const n of ['sent', 'later']) await place.finish(n)

    // between a script's start and its end
    told.drop('runs', 'runs', { waits: true })
    await place.tick()
    await told.started('runs')
    await until('its output', () => told.starts('runs').length === 1)
    free = fill(place.workspace)
    told.go('runs')
    await until('the end of the script', () => told.ends('runs') === 1)
    await place.drained()
    await place.tick()
    free()
    await place.finish('runs')
    assert.deepEqual([told.starts('runs').length, place.finished('runs').job.attempts], [1, 1])
    await told.judge()
  })

  it('P-HB-18: a state folder that fills up: nothing is accepted or delivered by halves, and all goes on with room', async () => {
    const place = new Lab()
    labs.push(place)
    const told = new Told(place)
    const state = join(place.dir, 'state')
    await smallDisk(state, MiB)
    told.drop('a')
    await place.tick()
    await place.drained()
    const free = fill(state)
    told.drop('b')
    const ran = await place.tick()
    assert.ok(ran.code !== 0, `${ran.code} ${ran.stderr}`)
    assert.match(ran.stderr, /ENOSPC|no space left/i)
    // a line may still fit into the log's last page: then what it vouches for may come
    assert.ok(!place.has('b.job.finished'))
    free()
    for (const n of ['a', 'b']) await place.finish(n)
    for (const n of ['a', 'b']) assert.equal(told.starts(n).length, 1)
    await told.judge()
  })

  it('P-HB-18: a dropbox that fills up: the bytes of each description survive, and all goes on with room', async () => {
    const place = new Lab()
    labs.push(place)
    await smallDisk(place.dropbox, MiB)
    const told = new Told(place)
    told.drop('a')
    await place.tick()
    await place.drained()
    told.drop('b')
    const free = fill(place.dropbox)
    const ran = await place.tick()
    assert.ok(ran.code !== 0, `${ran.code} ${ran.stderr}`)
    assert.match(ran.stderr, /ENOSPC|no space left/i)
    const b = readdirSync(place.dropbox).find((name) => name.startsWith('b.job')) ?? ''
    assert.match(readFileSync(join(place.dropbox, b), 'utf8'), /^script: told\nargs: \{n: b\}/)
    assert.ok(!place.has('a.job.finished'))
    free()
    for (const n of ['a', 'b']) await place.finish(n)
    for (const n of ['a', 'b']) assert.equal(told.starts(n).length, 1)
    await told.judge()
  })

  it('P-HB-29 P-HB-18: an output folder that fills up while a result comes: what lay there stays, nothing is begun again, and the result comes with room', async () => {
    const place = await labWithGate()
    labs.push(place)
    const told = new Told(place)
    const folder = join(place.dir, 'out', 'small')
    await smallDisk(folder, MiB)
    const out = join(folder, 'a')
    writeFileSync(out, 'before')
    told.drop('a', 'y'.repeat(MiB / 2), { out })
    await place.tick()
    await place.drained()
    let free = () => {}
    const filledMeanwhile = await place.shut({ type: 'piece', passes: 'later', fromOffset: 1 }).meet(async () => {
      free = fill(folder)
    })
    told.drop('b')
    for (const ran of [filledMeanwhile, await place.tick()]) {
      assert.equal(ran.code, 75, ran.stderr)
      assert.match(
        ran.stderr,
        /the result of "a\.job" cannot be delivered yet: .*(ENOSPC|no space left|too little space)/i,
      )
      assert.equal(readFileSync(out, 'utf8'), 'before')
      assert.deepEqual(readdirSync(folder).sort(), ['.filler', 'a'])
    }
    await place.drained()
    await place.tick()
    assert.ok(existsSync(place.out('b')) && place.has('b.job.finished'), 'another job waits for it')
    free()
    await place.finish('a')
    assert.equal(told.starts('a').length, 1)
    await told.judge()
  })
})
