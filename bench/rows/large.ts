/** One large file there and one back, digested at both ends, against scp, which digests nothing. */
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { startCuttingProxy } from '../../test/support/cutting-proxy.ts'
import { through } from '../../test/support/ssh-site.ts'
import { type Sshd, startSshd } from '../../test/support/sshd.ts'
import type { Bench } from '../bench.ts'
import { type Row, ratioOfRates, ratioOfTimes, sampleOf, timed } from '../measure.ts'
import { openWire, type Wire } from '../network.ts'
import type { Place } from '../place.ts'
import { randomLike, runRunner, Site, until } from '../site.ts'
import { keptSite, openGate, Peers } from './staging.ts'

const megabytes = 512
/** The file, and what both ends work with. */
const warmMegabytes = 2 * megabytes
/** Looking costs CPU, of which there are two cores for all. */
const lookEveryMs = 10
/** Of an upload that was cut at 80 %, in percent; starting over it would be 80. */
const mostAgain = 25

export async function large({ place, turns, rtts }: Bench): Promise<Row[]> {
  const rows: Row[] = []
  for (const rtt of rtts) rows.push(...(await atDistance(place, await openWire(place, rtt), turns)))
  rows.push(await cutOff(place, turns))
  return rows
}

/** At no distance against scp, over a distance against TCP with nothing on it. */
async function atDistance(place: Place, wire: Wire, turns: number): Promise<Row[]> {
  const sshd = await startSshd({ address: wire.address, within: wire.far, hostKeys: ['ed25519'] })
  place.atEnd(() => sshd.stop())
  const peer = wire.rttMs === 0 ? await scpPeer(place, wire, sshd) : await tcpPeer(place, wire)
  const site = await keptSite(place, wire, sshd)
  const input = join(site.dir, 'in', 'large')
  const rates = { up: [] as number[], down: [] as number[], peerUp: [] as number[], peerDown: [] as number[] }
  const rate = (ms: number) => (megabytes * 1048.576) / ms
  for (let turn = 0; turn < turns; turn++) {
    // a new content each time: nothing is known of it, and the site does not have it
    rmSync(input, { force: true })
    writeLarge(input, turn)
    const output = join(site.dir, 'out', `large-${turn}`)
    site.pause()
    place.warmMemory(warmMegabytes)
    site.drop(`large-${turn}`, `script: copy\ninput_map: {from: ${input}}\noutput_map: {to: ${output}}\n`)
    const before = site.queued()
    rates.up.push(
      rate(
        await timed(async () => {
          site.resume()
          await until('the upload', () => site.queued() === before + 1 && site.pending() === 0, 120_000, lookEveryMs)
        }),
      ),
    )
    // beside nothing else: it is copied when nobody waits any more
    await until('the site to keep it', () => site.kept() === turn + 1)
    place.warmMemory(warmMegabytes)
    rates.peerUp.push(rate(peer.up(input)))
    site.pause()
    openGate(site)
    await runRunner(site.workspace, site.lane())
    const expected = site.names('.job.finished') + site.done()
    place.warmMemory(warmMegabytes)
    rates.down.push(
      rate(
        await timed(async () => {
          site.resume()
          await until('the result', () => site.names('.job.finished') === expected, 120_000, lookEveryMs)
        }),
      ),
    )
    if (statSync(output).size !== megabytes * 1024 * 1024) throw new Error('the output is not whole')
    place.warmMemory(warmMegabytes)
    rates.peerDown.push(rate(peer.down()))
    rmSync(output)
  }
  await site.end()
  rmSync(input)
  const row = (work: string, ours: number[], theirs: number[]): Row => ({
    work: `${work}, RTT ${wire.rttMs} ms`,
    unit: 'MB/s',
    ours: sampleOf(ours),
    peer: sampleOf(theirs),
    peerName: peer.name,
    ratio: ratioOfRates(sampleOf(ours), sampleOf(theirs)),
    goal: peer.goal,
  })
  return [
    row(`one ${megabytes} MB input up`, rates.up, rates.peerUp),
    row(`one ${megabytes} MB output down`, rates.down, rates.peerDown),
  ]
}

export function writeLarge(path: string, seed: number, count = megabytes): void {
  const block = randomLike(1024 * 1024, 7 + seed)
  writeFileSync(path, '')
  for (let i = 0; i < count; i++) writeFileSync(path, block, { flag: 'a' })
}

/** Milliseconds for as many bytes. */
interface Peer {
  readonly name: string
  readonly goal: number
  up(input: string): number
  down(): number
}

async function scpPeer(place: Place, wire: Wire, sshd: Sshd): Promise<Peer> {
  const peers = new Peers(place, wire, sshd)
  await peers.warmUp()
  const folder = place.folder('scp')
  return {
    name: 'scp -c aes128-gcm, kept connection',
    goal: 0.75,
    up: (input) => peers.scp(input, join(folder, 'there'), 'up'),
    down: () => peers.scp(join(folder, 'there'), join(folder, 'here'), 'down'),
  }
}

async function tcpPeer(place: Place, wire: Wire): Promise<Peer> {
  const program = join(import.meta.dirname, '..', 'peers', 'bare-tcp.mjs')
  const [server, ...serverArgs] = wire.far([process.execPath, program, 'serve', wire.address])
  const serving = spawn(server, serverArgs, { stdio: ['ignore', 'pipe', 'inherit'] })
  place.atEnd(() => serving.kill('SIGKILL'))
  const [port] = (await once(serving.stdout, 'data')) as [Buffer]
  const run = (way: 'up' | 'down') => {
    const words = [way, wire.address, String(port).trim(), String(megabytes * 1024 * 1024)]
    const [client, ...args] = wire.near([process.execPath, program, ...words])
    const ran = spawnSync(client, args, { encoding: 'utf8' })
    if (ran.status !== 0) throw new Error(ran.stderr)
    return Number(ran.stdout)
  }
  return { name: 'bare TCP', goal: 0.9, up: () => run('up'), down: () => run('down') }
}

/** An upload whose connection is cut at 80 %: how much of it crosses the wire twice. */
async function cutOff(place: Place, turns: number): Promise<Row> {
  const wire = await openWire(place, 0)
  const sshd = await startSshd({ hostKeys: ['ed25519'] })
  place.atEnd(() => sshd.stop())
  const proxy = await startCuttingProxy(sshd.port)
  place.atEnd(() => proxy.stop())
  const site = new Site(place, { wire, sshd: through(sshd, proxy.port), held: true })
  site.template('read', '#!/bin/bash\nwc -c <<workspace>>/input/<<from>>\n')
  site.dropTrue(1)
  await site.tick()
  const input = join(site.dir, 'in', 'large')
  const bytes = megabytes * 1024 * 1024
  const again: number[] = []
  for (let turn = 0; turn < turns; turn++) {
    rmSync(input, { force: true })
    writeLarge(input, turn)
    const before = site.queued()
    site.drop(`cut-${turn}`, `script: read\ninput_map: {from: ${input}}\n`)
    proxy.cutAfter('up', 0.8 * bytes)
    await site.tick().catch(() => undefined)
    if (proxy.cuts !== turn + 1) throw new Error('nothing was cut')
    const first = proxy.passed.up
    proxy.cutAfter('up')
    await site.tick()
    if (site.queued() !== before + 1) throw new Error('the upload did not go on')
    again.push((100 * (first + proxy.passed.up - bytes)) / bytes)
  }
  await site.end()
  const ours = sampleOf(again)
  const peer = sampleOf([80])
  return {
    work: `one ${megabytes} MB input up, cut at 80 %`,
    unit: '% sent again',
    ours,
    peer,
    peerName: 'starting over',
    ratio: ratioOfTimes(ours, peer),
    goal: 80 / mostAgain,
  }
}
