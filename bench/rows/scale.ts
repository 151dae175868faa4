/** The slope: what a job costs among few and among many. */
import { spawnSync } from 'node:child_process'
import type { Bench } from '../bench.ts'
import { type Row, sampleOf } from '../measure.ts'
import { openWire } from '../network.ts'
import { cli, python } from '../place.ts'
import { Site } from '../site.ts'

const sizes = [1_000, 10_000]
const measure =
  'import resource, subprocess, sys, time; t = time.monotonic(); subprocess.run(sys.argv[1:], check=True); print(time.monotonic() - t, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024)'

/** Cold passes over a local site, all in: accept, check, stage, publish. Starting two programs is in it, which is why few jobs cost more each. */
export async function scale({ place }: Bench): Promise<Row[]> {
  const found: { count: number; ms: number; rss: number }[] = []
  for (const count of sizes) {
    const site = new Site(place, { wire: await openWire(place, 0), held: true })
    site.dropTrue(1)
    await site.tick()
    site.dropCopies(count, 1_000)
    let seconds = 0
    let rss = 0
    // one pass takes some thousand jobs; the next ones go on
    for (let pass = 0; pass < count / 1_000 && site.queued() <= count; pass++) {
      const ran = spawnSync(python, ['-c', measure, process.execPath, cli, 'tick', '-c', site.configFile], {
        encoding: 'utf8',
      })
      const [took = Number.NaN, peak = Number.NaN] = ran.stdout.trim().split(' ').map(Number)
      seconds += took
      rss = Math.max(rss, peak)
    }
    if (site.queued() !== count + 1) throw new Error(`${site.queued()} of ${count} jobs were published`)
    found.push({ count, ms: (seconds * 1000) / count, rss })
    await site.end()
  }
  const first = found[0]
  if (first === undefined) return []
  return found.slice(1).map(({ count, ms, rss }) => ({
    work: `cold passes with ${count} jobs, local site`,
    unit: 'ms/job',
    ours: sampleOf([ms]),
    peer: sampleOf([first.ms]),
    peerName: `itself with ${first.count}`,
    ratio: first.ms / ms,
    goal: 1,
    note: `peak memory ${rss} MB (${first.rss} MB with ${first.count})`,
  }))
}
