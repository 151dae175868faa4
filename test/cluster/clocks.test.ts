/**
 * A clock that is an hour off: libfaketime under hpc-submitter, or under hpc_queuer, hpc_runner and all they start. File times stay those of
 * the file system, and the forward-only clocks are true, as on real machines.
 */
import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, it } from 'node:test'
import type { Ran } from '../support/world.ts'
import { Told } from './faulty-lab.ts'
import { Lab, theCluster } from './lab.ts'

const hour = 3600
const library = '/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1'
const shifted = (seconds: number) => ({
  LD_PRELOAD: library,
  FAKETIME: `${seconds < 0 ? '-' : '+'}${Math.abs(seconds)}`,
  DONT_FAKE_MONOTONIC: '1',
  NO_FAKE_STAT: '1',
})

/** A gateway whose calendar is off. */
class ShiftedGateway extends Lab {
  seconds = 0
  override cli(args: readonly string[]): Promise<Ran> {
    return super.cli(args, { env: { ...process.env, ...shifted(this.seconds) } })
  }
}

const labs: Lab[] = []

/** The site's programs see a calendar that is off, and so does the end that the scheduler tells them: it is the site's clock, too. */
function shiftSite(place: Lab, seconds: number): void {
  const settings = Object.entries(shifted(seconds)).map(([name, value]) => `${name}=${value}`)
  // what an allocation takes over from where it was submitted would keep libfaketime from starting there
  const plain = Object.keys(shifted(0)).flatMap((name) => ['-u', name])
  place.program('sbatch', `#!/bin/sh\nexec env -u FAKETIME_SHARED ${plain.join(' ')} /usr/bin/sbatch "$@"\n`)
  const node = place.program(
    'node',
    `#!/bin/sh
case $1 in */hpc_runner) [ -z "$SLURM_JOB_END_TIME" ] || export SLURM_JOB_END_TIME=$((SLURM_JOB_END_TIME + ${seconds})) ;; esac
export PATH=${place.folder}/bin:$PATH ${settings.join(' ')}
exec ${process.execPath} "$@"
`,
  )
  writeFileSync(
    place.configFile,
    place.config({ lane: '{queue: general, memory: 256M, time: 10m, margin: 1m}', site: `node: ${node}` }),
  )
}

theCluster('clocks an hour apart', { concurrency: 4 }, () => {
  after(async () => {
    for (const place of labs) await place.end()
  })

  for (const [side, words, seconds] of [
    ['gateway', 'ahead', hour],
    ['gateway', 'behind', -hour],
    ['site', 'ahead', hour],
    ['site', 'behind', -hour],
  ] as const) {
    it(`P-HB-30 P-HB-21: the ${side}’s clock an hour ${words}: jobs of known time are run, a late one joins, one is cancelled, nothing expires`, async () => {
      const place = side === 'gateway' ? new ShiftedGateway() : new Lab()
      labs.push(place)
      if (place instanceof ShiftedGateway) place.seconds = seconds
      else shiftSite(place, seconds)
      const told = new Told(place)
      told.drop('a', 'a', { waits: true, more: 'resources: {time: 5m}\nexpiry: 10m\n' })
      const stopped = { status: 'error', state: 'cancelled', rc: -15, outputs: { [place.out('c')]: null } } as const
      told.drop('c', 'c', { waits: true, end: { ...stopped, message: /cancel/ } })
      await place.tick()
      await told.started('a')
      told.drop('late', 'late', { more: 'resources: {time: 5m}\nexpiry: 10m\n' })
      await place.tick()
      told.go('a')
      await told.started('c')
      const history = JSON.stringify((await place.look()).sites)
      assert.doesNotMatch(history, /expir|dead/)
      writeFileSync(join(place.dropbox, 'c.job.cancel'), '')
      for (const n of ['a', 'c', 'late']) await place.finish(n)
      assert.equal((await place.allocations()).length, 1)
      for (const n of told.jobs.keys()) assert.equal(told.starts(n).length, 1, n)
      const times = place.finished('late').job.history.map(({ at }: { at: string }) => Date.parse(at))
      const span = Math.max(...times) - Math.min(...times)
      assert.ok(span > 0.9 * hour * 1000, `the clocks were not apart: ${span} ms`)
      await told.judge({ clocksApart: true })
    })
  }
})
