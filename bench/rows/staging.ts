/** Many small jobs there and back: whole passes, with YAML, checks, digests and publishing, against one call after another and a bare tar. */
import { execFileSync, spawnSync } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Sshd, startSshd } from '../../test/support/sshd.ts'
import type { Bench } from '../bench.ts'
import { alternate, type Contestant, type Row, ratioOfTimes, type Sample, sampleOf, timed } from '../measure.ts'
import { openWire, type Wire } from '../network.ts'
import { type Place, python, pythonHas } from '../place.ts'
import { randomLike, runRunner, Site, until } from '../site.ts'

const inputBytes = 20_000
const way = join(import.meta.dirname, '..', 'peers', 'hpc_batch_way.py')
/** One at a time over 20 ms a job costs half a second: its rate shows after these few. */
const wayJobs = 10
const wayTurns = 3

interface Goal {
  readonly way: number
  readonly tar?: number
}

const stageGoals: Readonly<Record<string, Goal>> = {
  '200 at 0': { way: 20, tar: 0.65 },
  '200 at 20': { way: 250, tar: 0.65 },
  '200 at 50': { way: 250, tar: 0.65 },
  '1000 at 0': { way: 20, tar: 0.65 },
  '1000 at 20': { way: 500, tar: 0.65 },
}

export async function staging({ place, turns, rtts }: Bench): Promise<Row[]> {
  const rows: Row[] = []
  for (const rtt of rtts) {
    const wire = await openWire(place, rtt)
    const sshd = await startSshd({ address: wire.address, within: wire.far, hostKeys: ['ed25519'] })
    place.atEnd(() => sshd.stop())
    const peers = new Peers(place, wire, sshd)
    await peers.warmUp()
    for (const count of rtt === 50 ? [200] : [200, 1000]) {
      const site = await keptSite(place, wire, sshd)
      const found = await alternate({ ours: stage(site, count), tar: peers.tar(count) }, turns)
      await site.end()
      const way = await peers.way('stage')
      rows.push(
        ...rowsOf(
          `stage in ${count} jobs, RTT ${rtt} ms, kept connection`,
          found,
          way,
          stageGoals[`${count} at ${rtt}`],
        ),
      )
    }
    if (rtt === 50) continue
    rows.push(...(await coldTick(place, wire, sshd, peers, turns)))
    rows.push(...(await stageOut(place, wire, sshd, peers, turns)))
  }
  return rows
}

function rowsOf(
  work: string,
  found: { readonly ours: Sample; readonly tar?: Sample },
  way: Sample | undefined,
  goal: Goal | undefined,
): Row[] {
  const common = { work, unit: 'ms/job', ours: found.ours }
  const rows: Row[] = []
  if (way !== undefined) {
    rows.push({
      ...common,
      peer: way,
      peerName: "hpc_batch's way",
      ratio: ratioOfTimes(found.ours, way),
      ...(goal === undefined ? {} : { goal: goal.way }),
    })
  }
  if (found.tar !== undefined) {
    rows.push({
      ...common,
      peer: found.tar,
      peerName: 'tar | ssh tar x, kept connection',
      ratio: ratioOfTimes(found.ours, found.tar),
      ...(goal?.tar === undefined ? {} : { goal: goal.tar }),
    })
  }
  return rows
}

/** `watch` at work, its programs there and its connection open. */
export async function keptSite(place: Place, wire: Wire, sshd: Sshd): Promise<Site> {
  const site = new Site(place, { wire, sshd, held: true })
  await site.startWatch()
  site.dropTrue(1)
  await until('the first job to be there', () => site.queued() === 1 && site.pending() === 0)
  return site
}

/** From the moment `watch` may look until every job is published and known here to be. */
export function stage(site: Site, count: number): Contestant {
  return async () => {
    site.pause()
    site.dropCopies(count)
    const before = site.queued()
    const confirmed = site.confirmation()
    const ms = await timed(async () => {
      site.resume()
      await until('the jobs to be there', () => confirmed() && site.queued() === before + count)
    })
    return ms / count
  }
}

/** From here on a runner of the site works at once. */
export function openGate(site: Site): void {
  site.endRunners()
  takeGateAway(site)
}

/** Runners that are started from here on need not be let in. */
export function takeGateAway(site: Site): void {
  const edit = `sed -i 's/"preflight":"[^"]*",\\{0,1\\}//' "$1"/lanes/*/shape.json`
  execFileSync('/bin/sh', ['-c', edit, 'sh', site.workspace])
}

/**
 * Twice: bash reads the account's start-up files when sshd starts it, which may take longer than anything of ours and which sftp, the
 * peer's way in, never meets; and once as if there were none.
 */
async function coldTick(place: Place, wire: Wire, sshd: Sshd, peers: Peers, turns: number): Promise<Row[]> {
  const count = 200
  const contestant = async (login: Sshd): Promise<{ tick: Contestant; site: Site }> => {
    const site = new Site(place, { wire, sshd: login, held: true })
    site.dropTrue(1)
    await site.tick()
    const tick = async () => {
      site.dropCopies(count)
      return (await timed(() => site.tick())) / count
    }
    return { tick, site }
  }
  // bash takes itself for one that is started within another, which reads none
  const config = ['SetEnv SHLVL=2']
  const bare = await startSshd({ address: wire.address, within: wire.far, hostKeys: ['ed25519'], config })
  place.atEnd(() => bare.stop())
  const usual = await contestant(sshd)
  const plain = await contestant(bare)
  const { whole, withoutFiles } = await alternate({ whole: usual.tick, withoutFiles: plain.tick }, turns)
  for (const { site } of [usual, plain]) await site.end()
  const goal = wire.rttMs === 20 ? { way: 120 } : undefined
  const way = await peers.way('stage')
  const work = `cold tick process with ${count} jobs, RTT ${wire.rttMs} ms`
  return [
    ...rowsOf(work, { ours: whole }, way, goal),
    ...rowsOf(`${work}, an account without start-up files`, { ours: withoutFiles }, way, goal),
  ]
}

async function stageOut(place: Place, wire: Wire, sshd: Sshd, peers: Peers, turns: number): Promise<Row[]> {
  const count = 200
  const site = await keptSite(place, wire, sshd)
  const values: number[] = []
  for (let turn = -1; turn < turns; turn++) {
    await stage(site, count)()
    site.pause()
    openGate(site)
    await runRunner(site.workspace, site.lane())
    const expected = site.names('.job.finished') + site.done()
    const ms = await timed(async () => {
      site.resume()
      await until('the results', () => site.names('.job.finished') === expected)
    })
    if (turn >= 0) values.push(ms / count)
  }
  await site.end()
  const goal = wire.rttMs === 20 ? { way: 300 } : undefined
  const work = `stage out ${count} results of ${inputBytes / 1000} kB, RTT ${wire.rttMs} ms, kept connection`
  return rowsOf(work, { ours: sampleOf(values) }, await peers.way('collect'), goal)
}

export class Peers {
  readonly #place: Place
  readonly #wire: Wire
  readonly #sshd: Sshd
  readonly #control: string

  constructor(place: Place, wire: Wire, sshd: Sshd) {
    this.#place = place
    this.#wire = wire
    this.#sshd = sshd
    this.#control = join(place.folder('control'), 's')
  }

  #ssh(): string {
    const { port, user, keyFile } = this.#sshd
    const options = `-i ${keyFile} -p ${port} -o UserKnownHostsFile=${this.#sshd.knownHosts()} -o ControlPath=${this.#control} -c aes128-gcm@openssh.com`
    return `ssh ${options} ${user}@${this.#wire.address}`
  }

  #run(line: string): number {
    const [program, ...args] = this.#wire.near(['/bin/sh', '-c', line])
    const start = performance.now()
    const ran = spawnSync(program, args, { stdio: ['ignore', 'ignore', 'inherit'] })
    if (ran.status !== 0) throw new Error(`"${line}" ended with ${ran.status}`)
    return performance.now() - start
  }

  async warmUp(): Promise<void> {
    const [program, ...args] = this.#wire.near(['/bin/sh', '-c', `${this.#ssh()} -o ControlMaster=yes -fN`])
    spawnSync(program, args, { stdio: 'ignore' })
    this.#place.atEnd(() => this.#run(`${this.#ssh()} -O exit 2>/dev/null`))
  }

  /** The same bytes, unpacked by tar at the other end: nothing checked, nothing published. */
  tar(count: number): Contestant {
    return async () => {
      const from = this.#place.folder('tar-from')
      const to = this.#place.folder('tar-to')
      for (let i = 0; i < count; i++) jobFolder(join(from, String(i)), i)
      return this.#run(`tar -C ${from} -cf - . | ${this.#ssh()} tar -C ${to} -xf -`) / count
    }
  }

  /** Milliseconds for one file, over the kept connection. */
  scp(from: string, to: string, way: 'up' | 'down'): number {
    const { port, user, keyFile } = this.#sshd
    const there = (path: string) => `${user}@${this.#wire.address}:${path}`
    const options = `-q -i ${keyFile} -P ${port} -o UserKnownHostsFile=${this.#sshd.knownHosts()} -o ControlPath=${this.#control} -c aes128-gcm@openssh.com`
    return this.#run(`scp ${options} ${way === 'up' ? `${from} ${there(to)}` : `${there(from)} ${to}`}`)
  }

  /** Of one kind, over all turns. */
  readonly jobsOfAWay = wayTurns * wayJobs

  async way(what: 'stage' | 'collect'): Promise<Sample | undefined> {
    if (!pythonHas('paramiko')) return undefined
    const values: number[] = []
    for (let turn = 0; turn < wayTurns; turn++) {
      const local = this.#place.folder('way-local')
      const remote = this.#place.folder('way-remote')
      for (let i = 0; i < wayJobs; i++) {
        jobFolder(join(local, String(i)), i)
        if (what === 'collect') finishedFolder(join(remote, String(i)), i)
      }
      const { port, user, keyFile } = this.#sshd
      const words = [what, this.#wire.address, String(port), user, keyFile, String(wayJobs), local, remote]
      const [program, ...args] = this.#wire.near([python, way, ...words])
      const ran = spawnSync(program, args, { encoding: 'utf8' })
      if (ran.status !== 0) throw new Error(ran.stderr)
      values.push((Number(ran.stdout) * 1000) / wayJobs)
    }
    return sampleOf(values)
  }
}

function jobFolder(dir: string, seed: number): void {
  for (const folder of ['', 'input', 'output']) mkdirSync(join(dir, folder))
  writeFileSync(join(dir, 'input.bin'), randomLike(inputBytes, seed))
  writeFileSync(join(dir, 'job.sh'), '#!/bin/bash\ncp input/a output/b\n')
}

function finishedFolder(dir: string, seed: number): void {
  jobFolder(dir, seed)
  writeFileSync(join(dir, 'output', 'output.bin'), randomLike(inputBytes, seed))
  for (const name of ['stdout.txt', 'stderr.txt']) writeFileSync(join(dir, name), '')
  writeFileSync(join(dir, 'finished.out'), '0\n2026-01-01 00:00:00\n2026-01-01 00:00:01\n')
}
