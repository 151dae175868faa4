/** The slope: what a job costs among few and among many. Asked for by name it goes up to 100,000. */
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import type { Bench } from '../bench.ts'
import { type Row, ratioOfTimes, type Sample, sampleOf } from '../measure.ts'
import { openWire } from '../network.ts'
import { cli, type Place, python } from '../place.ts'
import { Site } from '../site.ts'

const sizes = [100, 1_000, 10_000]
const largest = 100_000
/** What a pass takes at most. */
const perPass = 2_000
/** Noise of two cores; a cost that grew with the jobs already there would be far below it. */
const flat = 0.8
const measure =
  'import resource, subprocess, sys, time; t = time.monotonic(); subprocess.run(sys.argv[1:], check=True, stderr=subprocess.DEVNULL); print(time.monotonic() - t, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024)'

interface Found {
  readonly count: number
  /** Of each pass, milliseconds a job. */
  readonly sample: Sample
  readonly rssMb: number
  readonly filesThere: number
  readonly filesHere: number
}

/** Cold passes over a local site, all in: accept, check, stage, publish. Starting two programs is in it, which is why few jobs cost more each. */
export async function scale({ place, named }: Bench): Promise<Row[]> {
  const found: Found[] = []
  for (const count of named ? [...sizes, largest] : sizes) found.push(await passes(place, count))
  return found.slice(1).map(({ count, sample, rssMb, filesThere, filesHere }, index) => {
    const fewer = found[index] as Found
    return {
      work: `cold passes until ${count} jobs are at a local site`,
      unit: 'ms/job',
      ours: sample,
      peer: fewer.sample,
      peerName: `until ${fewer.count} are`,
      ratio: ratioOfTimes(sample, fewer.sample),
      goal: flat,
      note: `peak memory ${rssMb} MB (${fewer.rssMb} MB); files and folders a job: ${filesThere} there, ${filesHere} here`,
    }
  })
}

async function passes(place: Place, count: number): Promise<Found> {
  const site = new Site(place, { wire: await openWire(place, 0), held: true })
  site.dropTrue(1)
  await site.tick()
  const nodes = (...dirs: string[]) =>
    Number(
      spawnSync('sh', ['-c', 'find "$@" | wc -l', 'sh', ...dirs.map((dir) => join(site.dir, dir))], {
        encoding: 'utf8',
      }).stdout,
    )
  const before = { there: nodes('workspace'), here: nodes('dropbox', 'state') }
  const values: number[] = []
  let rssMb = 0
  for (let left = count; left > 0; left -= perPass) {
    const now = Math.min(left, perPass)
    site.dropCopies(now, 1_000)
    const ran = spawnSync(python, ['-c', measure, process.execPath, cli, 'tick', '-c', site.configFile], {
      encoding: 'utf8',
    })
    const [seconds = Number.NaN, peak = Number.NaN] = ran.stdout.trim().split(' ').map(Number)
    values.push((seconds * 1000) / now)
    rssMb = Math.max(rssMb, peak)
  }
  if (site.queued() !== count + 1) throw new Error(`${site.queued()} of ${count} jobs were published`)
  const each = (after: number, first: number) => Math.round((10 * (after - first)) / count) / 10
  const filesThere = each(nodes('workspace'), before.there)
  const filesHere = each(nodes('dropbox', 'state'), before.here)
  await site.end()
  return { count, sample: sampleOf(values), rssMb, filesThere, filesHere }
}
