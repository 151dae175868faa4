/** One large file there and one back, digested at both ends, against scp, which digests nothing. */
import { spawnSync } from 'node:child_process'
import { rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { startSshd } from '../../test/support/sshd.ts'
import type { Bench } from '../bench.ts'
import { type Row, ratioOfRates, sampleOf, timed } from '../measure.ts'
import { openWire, type Wire } from '../network.ts'
import type { Place } from '../place.ts'
import { randomLike, runRunner, until } from '../site.ts'
import { keptSite, openGate, Peers } from './staging.ts'

const megabytes = 512

export async function large({ place, turns, rtts }: Bench): Promise<Row[]> {
  const rows: Row[] = []
  for (const rtt of rtts.filter((each) => each < 50))
    rows.push(...(await atDistance(place, await openWire(place, rtt), turns)))
  return rows
}

async function atDistance(place: Place, wire: Wire, turns: number): Promise<Row[]> {
  const sshd = await startSshd({ address: wire.address, within: wire.far, hostKeys: ['ed25519'] })
  place.atEnd(() => sshd.stop())
  const peers = new Peers(place, wire, sshd)
  await peers.warmUp()
  const site = await keptSite(place, wire, sshd)
  const input = join(site.dir, 'in', 'large')
  const block = randomLike(1024 * 1024, 7)
  writeFileSync(input, '')
  for (let i = 0; i < megabytes; i++) writeFileSync(input, block, { flag: 'a' })
  const folder = place.folder('scp')
  const rates = { up: [] as number[], down: [] as number[], scpUp: [] as number[], scpDown: [] as number[] }
  for (let turn = 0; turn < turns; turn++) {
    const output = join(site.dir, 'out', `large-${turn}`)
    site.pause()
    site.drop(`large-${turn}`, `script: copy\ninput_map: {from: ${input}}\noutput_map: {to: ${output}}\n`)
    const before = site.queued()
    const rate = (ms: number) => (megabytes * 1048.576) / ms
    rates.up.push(
      rate(
        await timed(async () => {
          site.resume()
          await until('the upload', () => site.queued() === before + 1 && site.pending() === 0)
        }),
      ),
    )
    rates.scpUp.push(rate(peers.scp(input, join(folder, 'there'), 'up')))
    site.pause()
    openGate(site)
    await runRunner(site.workspace, site.lane())
    const expected = site.names('.job.finished') + site.done()
    rates.down.push(
      rate(
        await timed(async () => {
          site.resume()
          await until('the result', () => site.names('.job.finished') === expected)
        }),
      ),
    )
    if (statSync(output).size !== megabytes * 1024 * 1024) throw new Error('the output is not whole')
    rates.scpDown.push(rate(peers.scp(join(folder, 'there'), join(folder, 'here'), 'down')))
    for (const path of [output, join(folder, 'there'), join(folder, 'here')]) rmSync(path, { force: true })
  }
  await site.end()
  rmSync(input)
  const row = (work: string, ours: number[], peer: number[]): Row => ({
    work: `${work}, RTT ${wire.rttMs} ms`,
    unit: 'MB/s',
    ours: sampleOf(ours),
    peer: sampleOf(peer),
    peerName: 'scp -c aes128-gcm, kept connection',
    ratio: ratioOfRates(sampleOf(ours), sampleOf(peer)),
    goal: 0.75,
  })
  return [
    row(`one ${megabytes} MB input up`, rates.up, rates.scpUp),
    row(`one ${megabytes} MB output down`, rates.down, rates.scpDown),
  ]
}

/** What an operation costs in calls that reach the file system, counted once, outside of all timing. */
export async function counts({ place, say }: Bench): Promise<Row[]> {
  const { Site } = await import('../site.ts')
  const { publish } = await import('./drain.ts')
  const { cli, runnerProgram } = await import('../place.ts')
  const jobs = 200
  const count = (title: string, argv: readonly string[], prefixJobs: number) => {
    const calls = 'fsync,fdatasync,rename,renameat2,openat,mkdir,rmdir,unlink,symlink,execve,clone,clone3,vfork'
    const out = join(place.folder('strace'), 'counts')
    const ran = spawnSync('strace', ['-c', '-f', '-e', `trace=${calls}`, '-o', out, ...argv], { stdio: 'ignore' })
    if (ran.status !== 0) return say(`${title}: strace does not work here`)
    const lines = spawnSync('cat', [out], { encoding: 'utf8' }).stdout.split('\n')
    const found = lines.flatMap((line) => {
      const words = line.trim().split(/\s+/)
      const name = words.at(-1) ?? ''
      return calls.split(',').includes(name) ? [`${name} ${(Number(words[3]) / prefixJobs).toFixed(1)}`] : []
    })
    say(`${title}: ${found.join(' · ')}`)
  }
  const site = new Site(place, { wire: await openWire(place, 0), held: true })
  site.dropTrue(1)
  await site.tick()
  site.dropCopies(jobs)
  count(
    `calls per job, both ends of a pass with ${jobs} jobs`,
    [process.execPath, cli, 'tick', '-c', site.configFile],
    jobs,
  )
  await site.end()
  const published = await publish(place, jobs)
  const workspace = published.withSlots(1)()
  const words = ['--workspace', workspace, '--lane', published.lane, '--nonce', '0123456789abcdef', '--native-id', '1']
  count(`calls per job, draining ${jobs} jobs`, [process.execPath, runnerProgram, ...words], jobs)
  return []
}
