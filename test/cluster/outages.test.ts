/** The cluster's own daemons fail: nothing is lost, nothing is done twice, and all goes on by itself afterwards. One test at a time. */
import assert from 'node:assert/strict'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, it } from 'node:test'
import { makeKey, publicKeyOf } from '../support/sshd.ts'
import { list, run, until } from '../support/world.ts'
import { asAccount, asRoot, cluster, daemon, gate, Lab, type LabOptions, port, theCluster } from './lab.ts'

let place: Lab

/** A lab in which sbatch stops at a gate: it writes `at`, and goes on when `go` is there. */
function labWithGateAt(at: 'before' | 'after', options: LabOptions = {}): { at: string; go: string } {
  place = new Lab(options)
  writeFileSync(place.configFile, place.config({ ...options, site: `node: ${place.nodeWithOwnTools()}` }))
  const paths = { at: join(place.folder, 'at'), go: join(place.folder, 'go') }
  const wait = `: >${paths.at}; until [ -e ${paths.go} ]; do sleep 0.05; done`
  place.program(
    'sbatch',
    at === 'before'
      ? `#!/bin/sh\n${wait}\nexec /usr/bin/sbatch "$@"\n`
      : `#!/bin/sh\nsaid=$(/usr/bin/sbatch "$@") || exit\n${wait}\necho "$said"\n`,
  )
  return paths
}

async function goOn(at: string, go: string, act: () => Promise<void>): Promise<void> {
  await until('sbatch to be called', () => existsSync(at))
  await act()
  writeFileSync(go, '')
}

theCluster('a cluster that fails', {}, () => {
  afterEach(async () => {
    await cluster('up')
    await place.end()
  })

  it('HB-15: a host key that has changed ends the pass, names the host key, and the dropbox keeps its jobs', async () => {
    place = new Lab()
    const text = `script: "true"\n...\n`
    place.drop('a', text)
    const known = join(place.dir, 'known_hosts')
    writeFileSync(known, `[127.0.0.1]:${port} ${publicKeyOf(makeKey(join(place.dir, 'other')))}\n`)
    const trusted = place.config({})
    writeFileSync(place.configFile, trusted.replace(/known_hosts: [^,]*/, `known_hosts: ${known}`))
    const ran = await place.tick()
    assert.ok(ran.code !== 0 && ran.code !== null, `${ran.code}`)
    assert.match(ran.stderr, /host key/i)
    assert.deepEqual(
      list(place.dropbox).filter((name) => !name.startsWith('.')),
      ['a.job.submitted'],
    )
    assert.ok(readFileSync(join(place.dropbox, 'a.job.submitted'), 'utf8').startsWith('script: "true"\n'))
    assert.deepEqual(list(place.folder), ['bin'], 'nothing reached the site')
    writeFileSync(place.configFile, trusted)
    await place.finish('a')
    assert.equal(place.finished('a').job.status, 'ok')
  })

  it('HB-32: with its sshd stopped the pass ends with 75 and keeps the job; with sshd back it goes on', async () => {
    place = new Lab()
    await cluster('kill', 'sshd')
    place.drop('a', 'script: "true"\n')
    const ran = await place.tick()
    assert.equal(ran.code, 75, ran.stderr)
    assert.equal(ran.stderr.trim().split('\n').length, 1, ran.stderr)
    assert.match(ran.stderr, /127\.0\.0\.1/)
    assert.ok(place.has('a.job.submitted'))
    await cluster('up')
    await place.finish('a')
    assert.equal(place.finished('a').job.status, 'ok')
  })

  it('P-HB-18: without a controller jobs are still staged and collected, nothing is submitted, and later all goes on', async () => {
    place = new Lab()
    place.drop('a', 'script: "true"\n')
    await place.tick()
    await place.drained()
    await cluster('kill', 'slurmctld')
    place.drop('b', 'script: "true"\n')
    const [site] = (await place.look()).sites
    assert.deepEqual(
      [site.published, site.delivered, site.lanes[0].action],
      [1, [{ name: 'a', status: 'ok' }], 'waiting'],
    )
    assert.match(site.lanes[0].trouble, /Unable to contact slurm controller/)
    assert.equal(place.submissions(), 1)
    await cluster('up')
    await place.finish('b')
    assert.equal(place.finished('b').job.status, 'ok')
  })

  it('P-HB-19: an sbatch that times out and yet created its allocation is settled later; there is no second runner', async () => {
    const { at, go } = labWithGateAt('before')
    const dir = gate(place)
    place.drop('a', 'script: gated\n')
    const looking = place.look()
    const controller = daemon('slurmctld')
    try {
      await goOn(at, go, async () => {
        process.kill(controller, 'SIGSTOP')
      })
      const [lane] = (await looking).sites[0].lanes
      assert.equal(lane.action, 'ambiguous', JSON.stringify(lane))
      assert.match(lane.trouble, /may have taken the runner: sbatch exited with 1, .*timed out/)
    } finally {
      process.kill(controller, 'SIGCONT')
    }
    await until('the job to run', () => list(dir).includes('started'))
    const { id } = await place.allocation('RUNNING')
    const [later] = (await place.look()).sites[0].lanes
    assert.deepEqual([later.action, later.trouble], ['none', undefined])
    assert.deepEqual(
      later.allocations.map(({ nativeId }: { nativeId: string }) => nativeId),
      [id],
    )
    writeFileSync(join(dir, 'go'), '')
    await place.finish('a')
    assert.equal(place.finished('a').job.attempts, 1)
    assert.equal((await place.allocations()).length, 1)
  })

  it('P-HB-19: a controller killed right after it accepted may forget the allocation and give its id to another', async () => {
    const { at, go } = labWithGateAt('after', { scheduler: '{type: slurm, options: ["--begin=now+2"]}' })
    place.drop('a', 'script: "true"\n')
    const looking = place.look()
    let foreign = ''
    await goOn(at, go, async () => {
      await cluster('kill', 'slurmctld')
      await cluster('up')
      const other = await asAccount(['sbatch', '--parsable', '-o', '/dev/null', '--wrap', 'sleep 300'])
      foreign = other.stdout.trim()
    })
    const [lane] = (await looking).sites[0].lanes
    assert.equal(lane.action, 'submitted')
    assert.match(foreign, /^\d+$/)
    await place.finish('a')
    const { job } = place.finished('a')
    assert.deepEqual([job.status, job.attempts], ['ok', 1])
    // whoever has that id now was neither taken for ours nor touched
    const state = await asRoot('squeue', '-h', '-j', foreign, '-o', '%T')
    assert.match(state, /^(RUNNING|PENDING)\n$/)
    await asRoot('scancel', foreign)
  })

  it('P-HB-18: without munge squeue hangs until our own time-out, no answer counts, and later the lane goes on', async () => {
    place = new Lab()
    const dir = gate(place)
    place.drop('a', 'script: gated\n')
    await place.tick()
    await until('the job to run', () => list(dir).includes('started'))
    await cluster('kill', 'munged')
    place.drop('b', 'script: gated\n')
    const [lane] = (await place.look()).sites[0].lanes
    assert.equal(lane.action, 'waiting')
    assert.match(
      lane.trouble,
      /the scheduler did not answer: squeue (did not answer in time|.*(munge|authentication))/i,
    )
    await cluster('up')
    writeFileSync(join(dir, 'go'), '')
    await place.finish('b')
    assert.equal((await place.allocations()).length, 1)
    assert.equal(place.runnersOf('b')[0], place.runnersOf('a')[0])
  })

  it('P-HB-18: a partition that is down keeps its allocation waiting, with the reason; up again, it starts', async () => {
    place = new Lab()
    await asRoot('scontrol', 'update', 'partitionname=general', 'state=down')
    try {
      place.drop('a', 'script: "true"\n')
      assert.equal((await place.look()).sites[0].lanes[0].action, 'submitted')
      let allocation: { reason?: string; hint?: string } = {}
      await until('the reason', async () => {
        const [lane] = (await place.look()).sites[0].lanes
        assert.equal(lane.action, 'none')
        allocation = lane.allocations[0]
        return allocation.reason === 'PartitionDown'
      })
      assert.match(allocation.hint ?? '', /the site has set partition general down/)
      assert.match(await place.status(), /PartitionDown/)
    } finally {
      await asRoot('scontrol', 'update', 'partitionname=general', 'state=up')
    }
    await place.finish('a')
    assert.equal((await place.allocations()).length, 1)
  })

  it('P-HB-21: a node that goes down takes its runner with it; another runner finishes the job', async () => {
    place = new Lab()
    const dir = gate(place)
    place.drop('a', 'script: gated\n')
    await place.tick()
    const { id } = await place.allocation('RUNNING')
    await until('the job to run', () => list(dir).includes('started'))
    await asRoot('scontrol', 'update', 'nodename=cpu001', 'state=down', 'reason=test')
    await until('the allocation to end', async () => (await place.allocations())[0]?.state === 'NODE_FAIL')
    // in the books it has ended before its processes have: the script must not come to its own end meanwhile
    const scripts = `${place.workspace}/control/`
    await until('its script to be gone', async () => (await run(['pgrep', '-f', scripts])).code === 1)
    await cluster('up')
    writeFileSync(join(dir, 'go'), '')
    await place.finish('a')
    const { job } = place.finished('a')
    assert.equal(job.status, 'ok', JSON.stringify(job))
    const runners = place.runnersOf('a')
    assert.match(runners[0] ?? '', new RegExp(`~${id}\\.0\\.`))
    assert.equal(new Set(runners).size, 2, runners.join(' '))
  })

  it('HB-32: connections that are cut while files travel lose nothing', async () => {
    place = new Lab()
    const big = Buffer.alloc(64 * 1024 * 1024, 'x')
    place.dropCopy('a', place.input('big', big))
    const ticking = place.tick()
    await until('the upload', () => list(join(place.workspace, 'staging')).length > 0)
    await cluster('drop')
    const ran = await ticking
    assert.equal(ran.code, 75, ran.stderr)
    await place.finish('a')
    assert.ok(readFileSync(place.out('a')).equals(big))
    assert.deepEqual(place.jobsLeft(), [])
  })
})
