/** The whole way of many small jobs, dropped at once, through one slot: from the drop to the last result. */
import { startSshd } from '../../test/support/sshd.ts'
import type { Bench } from '../bench.ts'
import { type Row, ratioOfTimes, sampleOf } from '../measure.ts'
import { openWire } from '../network.ts'
import { Site } from '../site.ts'
import { byPython } from './drain.ts'
import { endToEnd } from './slurm.ts'
import { Peers } from './staging.ts'

const jobs = 500
const goals: Readonly<Record<number, number>> = { 0: 4, 20: 150 }

/**
 * A runner lingers, as hpc_batch's does between two of its passes. hpc_batch's way is the sum of its three parts, one after the other as
 * it does them: each job sent, run by a Python loop, and collected. Without a scheduler, which neither of them asks while a runner is there.
 */
export async function whole({ place, turns, rtts }: Bench): Promise<Row[]> {
  const rows: Row[] = []
  for (const rtt of rtts.filter((one) => Object.hasOwn(goals, one))) {
    const wire = await openWire(place, rtt)
    const sshd = await startSshd({ address: wire.address, within: wire.far, hostKeys: ['ed25519'] })
    place.atEnd(() => sshd.stop())
    const peers = new Peers(place, wire, sshd)
    const site = new Site(place, { wire, sshd, linger: '10m' })
    await site.startWatch()
    await endToEnd(site, () => site.dropTrue(1), 1)
    const ours: number[] = []
    for (let turn = -1; turn < turns; turn++) {
      const ms = await endToEnd(site, () => site.dropCopies(jobs), jobs)
      if (turn >= 0) ours.push(ms / jobs)
    }
    await site.end()
    const [sent, collected] = [await peers.way('stage'), await peers.way('collect')]
    if (sent === undefined || collected === undefined) continue
    const run = 1000 / (await byPython(place)())
    const peer = sampleOf([sent.median + run + collected.median])
    rows.push({
      work: `${jobs} jobs that copy 20 kB, drop → last .finished, one slot, RTT ${rtt} ms`,
      unit: 'ms/job',
      ours: sampleOf(ours),
      peer,
      peerName: "hpc_batch's way",
      ratio: ratioOfTimes(sampleOf(ours), peer),
      goal: goals[rtt] ?? 1,
    })
  }
  return rows
}
