/** One large input that the site has already, against sending it: the time, and the bytes that leave this machine, counted by a proxy. */
import { copyFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { startCuttingProxy } from '../../test/support/cutting-proxy.ts'
import { through } from '../../test/support/ssh-site.ts'
import { startSshd } from '../../test/support/sshd.ts'
import type { Bench } from '../bench.ts'
import { type Row, ratioOfTimes, sampleOf, timed } from '../measure.ts'
import { openWire } from '../network.ts'
import { until } from '../site.ts'
import { writeLarge } from './large.ts'
import { keptSite } from './staging.ts'

const megabytes = 256

export async function store({ place, turns }: Bench): Promise<Row[]> {
  const wire = await openWire(place, 0)
  const sshd = await startSshd({ hostKeys: ['ed25519'] })
  place.atEnd(() => sshd.stop())
  const proxy = await startCuttingProxy(sshd.port)
  place.atEnd(() => proxy.stop())
  const site = await keptSite(place, wire, through(sshd, proxy.port))
  /** Milliseconds and bytes until a job with that input waits at the site. */
  const send = async (name: string, input: string) => {
    site.pause()
    site.drop(name, `script: copy\ninput_map: {from: ${input}}\noutput_map: {to: ${join(site.dir, 'out', name)}}\n`)
    const before = site.queued()
    proxy.cutAfter('up')
    const ms = await timed(async () => {
      site.resume()
      await until('the upload', () => site.queued() === before + 1 && site.pending() === 0)
    })
    return { ms, bytes: proxy.passed.up }
  }
  const first: { ms: number; bytes: number }[] = []
  const again: { ms: number; bytes: number }[] = []
  for (let turn = 0; turn < turns; turn++) {
    const [input, other] = ['first', 'again'].map((name) => join(site.dir, 'in', `${name}-${turn}`)) as [string, string]
    writeLarge(input, turn, megabytes)
    first.push(await send(`first-${turn}`, input))
    await until('the site to keep it', () => site.kept() === turn + 1)
    // another file, of which this machine knows nothing but that it is as long
    copyFileSync(input, other)
    again.push(await send(`again-${turn}`, other))
    for (const path of [input, other]) rmSync(path)
  }
  await site.end()
  const row = (unit: string, of: (one: { ms: number; bytes: number }) => number): Row => {
    const [ours, peer] = [sampleOf(again.map(of)), sampleOf(first.map(of))]
    const work = `one ${megabytes} MB input the site has already, RTT 0 ms`
    return { work, unit, ours, peer, peerName: 'sending it', ratio: ratioOfTimes(ours, peer) }
  }
  return [row('ms', ({ ms }) => ms), row('kB sent', ({ bytes }) => bytes / 1000)]
}
