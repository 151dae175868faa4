/** Real Slurm, on the cluster of the tests: what batching is for, beside a queue job per job. Left out where no cluster can be had. */
import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import type { Bench } from '../bench.ts'
import { alternate, type Row, ratioOfTimes, type Sample, sampleOf, timed } from '../measure.ts'
import { openWire } from '../network.ts'
import { has, root } from '../place.ts'
import { Site, type SlurmSite, until } from '../site.ts'

const script = '#!/bin/sh\ntrue\n'
const gpuLane = 'queue: dl, gres: "gpu:v100:1", memory: 256M'
const jobs = 500

interface Cluster {
  readonly login: SlurmSite['login']
  readonly knownHosts: string
}

function bringUp(): Cluster | undefined {
  if (process.getuid?.() !== 0 || !existsSync('/etc/debian_version')) return undefined
  const up = spawnSync('bash', [join(root, 'test', 'cluster', 'cluster'), 'up'], {
    stdio: ['ignore', 'ignore', 'inherit'],
  })
  if (up.status !== 0) return undefined
  const home = process.env.CLUSTER_HOME ?? '/var/tmp/hpc-batch-test'
  const settings = readFileSync(join(home, 'etc', 'settings'), 'utf8')
  const setting = (name: string, otherwise: string) =>
    new RegExp(`^${name}=(.*)$`, 'm').exec(settings)?.[1] ?? otherwise
  return {
    login: {
      port: Number(setting('SSH_PORT', '2222')),
      user: setting('HPC_USER', 'hpc'),
      keyFile: join(home, 'keys', 'id_ed25519'),
    },
    knownHosts: join(home, 'keys', 'known_hosts'),
  }
}

function asUser(user: string, argv: readonly string[], input?: string): void {
  const become = [`--reuid=${user}`, `--regid=${user}`, '--init-groups', '--reset-env', 'env', '-C', '/']
  const ran = spawnSync('setpriv', [...become, ...argv], { input, stdio: ['pipe', 'ignore', 'inherit'] })
  if (ran.status !== 0) throw new Error(`${argv.join(' ')} ended with ${ran.status}`)
}

let places = 0

async function openSite({ place }: Bench, cluster: Cluster, linger: string): Promise<Site> {
  places += 1
  const workspace = `/home/${cluster.login.user}/bench-${process.pid}-${places}`
  place.atEnd(() => rmSync(workspace, { recursive: true, force: true }))
  const site = new Site(place, {
    wire: await openWire(place, 0),
    linger,
    slurm: { ...cluster, workspace, lane: gpuLane },
  })
  await site.startWatch()
  return site
}

/** From the drop to the last result. */
export async function endToEnd(site: Site, dropAll: () => void, count: number): Promise<number> {
  const before = site.names('.job.finished')
  site.pause()
  dropAll()
  return timed(async () => {
    site.resume()
    await until('all results', () => site.names('.job.finished') === before + count, 300_000, 2)
  })
}

function row(work: string, unit: string, ours: Sample, peer: Sample, peerName: string, goal?: number): Row {
  return { work, unit, ours, peer, peerName, ratio: ratioOfTimes(ours, peer), ...(goal === undefined ? {} : { goal }) }
}

export async function slurm(bench: Bench): Promise<Row[]> {
  const cluster = has('setpriv') ? bringUp() : undefined
  if (cluster === undefined) {
    bench.say('No Slurm here (it needs root on Debian): its rows are left out')
    return []
  }
  const { user } = cluster.login
  const sbatch = (...words: string[]) => asUser(user, ['sbatch', '-Q', '-o', '/dev/null', ...words], script)
  const waiting = async () => timed(() => sbatch('--wait', '-p', 'general'))
  const leaving = await openSite(bench, cluster, '0s')
  await endToEnd(leaving, () => leaving.dropTrue(1), 1)
  const queued = async () => {
    // the runner of the drop before has left the partition
    await until('the partition to be free', () => isFree(user), 60_000, 50)
    return endToEnd(leaving, () => leaving.dropTrue(1), 1)
  }
  const toQueue = await alternate({ ours: queued, sbatch: waiting }, bench.turns * 2)
  await leaving.endWatch()

  const lingering = await openSite(bench, cluster, '10m')
  await endToEnd(lingering, () => lingering.dropTrue(1), 1)
  const soon = await alternate(
    { ours: () => endToEnd(lingering, () => lingering.dropTrue(1), 1), sbatch: waiting },
    bench.turns * 2,
  )

  const each = async () => {
    const few = 20
    const ms = await timed(async () => {
      for (let n = 0; n < few; n++) sbatch('-p', 'dl', '--gres=gpu:v100:1')
      await until('the queue to be empty', () => isFree(user, 'dl'), 120_000, 50)
    })
    return ms / few
  }
  const empty: number[] = []
  const copying: number[] = []
  for (let turn = 0; turn < bench.turns; turn++) {
    empty.push((await endToEnd(lingering, () => lingering.dropTrue(jobs), jobs)) / jobs)
    copying.push((await endToEnd(lingering, () => lingering.dropCopies(jobs), jobs)) / jobs)
  }
  await lingering.endWatch()
  spawnSync('scancel', ['-u', user])
  await until('the partition to be free', () => isFree(user, 'dl'), 60_000, 50)
  const plain = sampleOf([await each(), await each()])
  return [
    row('drop → .finished on Slurm, watch, a runner lingers', 'ms', soon.ours, soon.sbatch, 'sbatch --wait'),
    row(
      'drop → .finished on Slurm, watch, its runner still to be queued',
      'ms',
      toQueue.ours,
      toQueue.sbatch,
      'sbatch --wait',
      1,
    ),
    row(`${jobs} empty jobs on Slurm, one GPU slot`, 'ms/job', sampleOf(empty), plain, 'sbatch per job', 50),
    row(
      `${jobs} jobs on Slurm that copy 20 kB, one GPU slot`,
      'ms/job',
      sampleOf(copying),
      plain,
      'sbatch per job, empty',
    ),
    await queriesADay(bench, cluster),
  ]
}

const countedTicks = 10

/** What slurmctld is asked by a cron of one tick a minute while a job of ours runs there: its own count of such requests. */
async function queriesADay({ place }: Bench, cluster: Cluster): Promise<Row> {
  places += 1
  const workspace = `/home/${cluster.login.user}/bench-${process.pid}-${places}`
  place.atEnd(() => rmSync(workspace, { recursive: true, force: true }))
  const site = new Site(place, { wire: await openWire(place, 0), slurm: { ...cluster, workspace, lane: gpuLane } })
  site.template('long', '#!/bin/sh\nsleep 300\n')
  site.drop('long', 'script: long\n')
  await site.tick()
  const asked = () => {
    const text = spawnSync('sdiag', [], { encoding: 'utf8' }).stdout
    const counts = [...text.matchAll(/REQUEST_JOB_(?:USER_)?INFO\s[^\n]*count:(\d+)/g)]
    return counts.reduce((sum, [, count]) => sum + Number(count), 0)
  }
  const before = asked()
  for (let tick = 0; tick < countedTicks; tick++) await site.tick()
  const ours = sampleOf([((asked() - before) / countedTicks) * 1_440])
  await site.end()
  spawnSync('scancel', ['-u', cluster.login.user])
  const work = 'questions to slurmctld, one tick a minute, a job under way'
  return row(work, 'a day', ours, sampleOf([1_440]), "hpc_batch's way: one squeue a pass", 1)
}

function isFree(user: string, partition?: string): boolean {
  const words = ['-h', '-u', user, ...(partition === undefined ? [] : ['-p', partition])]
  const ran = spawnSync('squeue', words, { encoding: 'utf8' })
  return ran.status === 0 && ran.stdout.trim() === ''
}
