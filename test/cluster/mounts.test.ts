/** File systems that are not mounted in the middle: an empty folder lies where the dropbox or the workspace was. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdirSync, readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { after, it } from 'node:test'
import { until } from '../support/world.ts'
import { type GatedLab, labWithGate, Told } from './faulty-lab.ts'
import { account, Lab, theCluster } from './lab.ts'

const mounts: { detach: () => void }[] = []
const labs: Lab[] = []

/** A folder that comes and goes: bound to its place from another one. */
class Mount {
  readonly #real: string
  readonly #point: string
  #there = false

  constructor(real: string, point: string) {
    this.#real = real
    this.#point = point
    mkdirSync(real, { recursive: true })
    mkdirSync(point, { recursive: true })
    for (const dir of [real, point]) execFileSync('chown', ['--reference', join(point, '..'), dir])
    mounts.push(this)
    this.attach()
  }

  attach(): void {
    execFileSync('mount', ['--bind', this.#real, this.#point])
    this.#there = true
  }

  /** What is open stays open; names lead into the empty mount point. */
  detach(): void {
    if (this.#there) execFileSync('umount', ['-l', this.#point])
    this.#there = false
  }

  /** What lies in the mount point while nothing is mounted there. */
  inPoint(): string[] {
    assert.ok(!this.#there)
    return readdirSync(this.#point, { recursive: true, encoding: 'utf8' })
  }
}

theCluster('mounts that are gone', { concurrency: 4 }, () => {
  after(async () => {
    for (const place of labs) await place.drained().catch(() => undefined)
    for (const mount of mounts) mount.detach()
    for (const place of labs) await place.end()
  })

  it('P-HB-18: the dropbox is unmounted between passes: nothing is taken from or made in the empty folder, and mounted again all goes on', async () => {
    const place = new Lab()
    labs.push(place)
    const mount = new Mount(join(place.dir, 'real'), place.dropbox)
    const told = new Told(place)
    told.drop('a', 'a', { waits: true })
    await place.tick()
    await told.started('a')
    mount.detach()
    // a tool that does not notice
    place.drop('blind', 'script: "true"\n')
    for (let pass = 1; pass <= 2; pass++) {
      const ran = await place.tick()
      assert.ok(ran.code !== 0, ran.stderr)
      assert.match(ran.stderr, /Cannot serve the dropbox .*its marker .hpc\/uuid is missing/)
      assert.deepEqual(mount.inPoint(), ['blind.job'])
    }
    rmSync(join(place.dropbox, 'blind.job'))
    told.go()
    await place.drained()
    mount.attach()
    await place.finish('a')
    assert.equal(told.starts('a').length, 1)
    await told.judge()
  })

  for (const [n, when, rule] of [
    ['sent', 'while a job is sent', { type: 'published', passes: 'later' }],
    ['brought', 'while a result comes', { type: 'collected', passes: 'later' }],
  ] as const) {
    it(`P-HB-18: the dropbox is unmounted ${when}: the pass makes nothing in the empty folder, no job is lost`, async () => {
      const place: GatedLab = await labWithGate()
      labs.push(place)
      const mount = new Mount(join(place.dir, 'real'), place.dropbox)
      const told = new Told(place)
      told.drop(n)
      const ran = await place.shut(rule).meet(async () => mount.detach())
      assert.ok(ran.code !== 0 || n === 'sent', ran.stderr)
      assert.deepEqual(mount.inPoint(), [], ran.stderr)
      assert.deepEqual((await place.tick()).code === 0, false)
      assert.deepEqual(mount.inPoint(), [])
      mount.attach()
      await place.finish(n)
      assert.equal(told.starts(n).length, 1)
      await told.judge()
    })
  }

  it('P-HB-18: the workspace is unmounted while one job runs and one waits: nothing is made in the empty folder, both are done when it is back', async () => {
    const place = new Lab()
    labs.push(place)
    const mount = new Mount(join(place.folder, 'real'), place.workspace)
    execFileSync('chown', [`${account}:`, join(place.folder, 'real')])
    const told = new Told(place)
    for (const n of ['a', 'b']) told.drop(n, n, { waits: true })
    await place.tick()
    await told.started('a')
    const runners = place.runners()
    mount.detach()
    for (let pass = 1; pass <= 2; pass++) {
      const ran = await place.tick()
      assert.ok(ran.code !== 0, ran.stderr)
      assert.match(ran.stderr, /the workspace \S+ has lost its marker \.hpc-workspace/)
      assert.ok(['a', 'b'].every((n) => place.has(`${n}.job.submitted`)))
    }
    await until('the runner to leave', () => !place.runners().some((pid) => runners.includes(pid)))
    assert.deepEqual(mount.inPoint(), [])
    mount.attach()
    told.go()
    for (const n of ['a', 'b']) await place.finish(n)
    assert.deepEqual([told.ends('a'), told.ends('b'), told.starts('b').length], [1, 1, 1])
    await told.judge()
  })
})
