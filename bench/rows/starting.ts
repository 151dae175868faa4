/** What a cron line costs: a pass that finds nothing to do, and one in a large dropbox. */
import { spawnSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Bench } from '../bench.ts'
import { alternate, type Row, ratioOfTimes, sampleOf, timed } from '../measure.ts'
import { openWire } from '../network.ts'
import { cli, python, pythonHas } from '../place.ts'
import { Site, until } from '../site.ts'

function spawnMs(program: string, ...args: string[]): number {
  const start = performance.now()
  const ran = spawnSync(program, args, { stdio: ['ignore', 'ignore', 'inherit'] })
  if (ran.status !== 0) throw new Error(`${program} ended with ${ran.status}`)
  return performance.now() - start
}

export async function starting({ place, turns }: Bench): Promise<Row[]> {
  const site = new Site(place, { wire: await openWire(place, 0), held: true })
  await site.tick()
  const tick = async () => spawnMs(process.execPath, cli, 'tick', '-c', site.configFile)
  const rows: Row[] = []
  const found = await alternate(
    {
      ours: tick,
      node: async () => spawnMs(process.execPath, '-e', '0'),
      ...(pythonHas('paramiko', 'yaml') ? { python: async () => spawnMs(python, '-c', 'import paramiko, yaml') } : {}),
    } as Record<'ours' | 'node' | 'python', () => Promise<number>>,
    turns * 4,
  )
  if (found.python !== undefined) {
    rows.push({
      work: 'tick with nothing to do, a new process',
      unit: 'ms',
      ours: found.ours,
      peer: found.python,
      peerName: "python3 -c 'import paramiko, yaml'",
      ratio: ratioOfTimes(found.ours, found.python),
      goal: 1,
      limit: found.node,
      limitName: 'node -e 0',
    })
  }
  rows.push(await largeDropbox(place, turns))
  return rows
}

const many = 100_000

/** The same gateway with 100 and with 100,000 jobs in flight and nothing new; files of one real job, each with its own id and name. */
async function largeDropbox(place: Bench['place'], turns: number): Promise<Row> {
  const sites = []
  for (const count of [100, many]) {
    const site = new Site(place, { wire: await openWire(place, 0), held: true })
    site.drop('first', 'script: true\n')
    await site.tick()
    const text = readFileSync(join(site.dropbox, 'first.job.submitted'), 'utf8')
    const id = /id: "?([a-z0-9]+-[0-9a-f-]{36})/.exec(text)?.[1] ?? ''
    for (let i = 1; i < count; i++) {
      const name = `many-${i}`
      const own = id.slice(0, -8) + i.toString(16).padStart(8, '0')
      writeFileSync(
        join(site.dropbox, `${name}.job.submitted`),
        text.replaceAll(id, own).replaceAll('"first"', JSON.stringify(name)),
        { mode: 0o644 },
      )
    }
    await site.tick()
    sites.push(site)
  }
  const [small, large] = sites as [Site, Site]
  let rss = 0
  const pass = (site: Site) => async () => {
    const ran = spawnSync(
      '/bin/bash',
      ['-c', `TIMEFORMAT=%R; exec /usr/bin/env ${process.execPath} "$@"`, 'sh', cli, 'tick', '-c', site.configFile],
      {
        stdio: 'inherit',
      },
    )
    if (ran.status !== 0) throw new Error('tick failed')
  }
  const found = await alternate({ ours: async () => timed(pass(large)), small: async () => timed(pass(small)) }, turns)
  rss = peakMemory(large)
  for (const site of sites) await site.end()
  return {
    work: `pass over ${many} .job.submitted, nothing new`,
    unit: 'ms',
    ours: found.ours,
    peer: found.small,
    peerName: 'the same with 100',
    ratio: ratioOfTimes(found.ours, found.small),
    goal: 0.33,
    note: `peak memory ${rss} MB`,
  }
}

function peakMemory(site: Site): number {
  const ran = spawnSync(
    python,
    [
      '-c',
      'import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True); print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024)',
      process.execPath,
      cli,
      'tick',
      '-c',
      site.configFile,
    ],
    { encoding: 'utf8' },
  )
  return Number(ran.stdout)
}

/** `watch`: ready when it has the connection and waits; then one file after another. */
export async function watching({ place, turns }: Bench): Promise<Row[]> {
  const site = new Site(place, { wire: await openWire(place, 0), linger: '60s' })
  await site.startWatch()
  site.drop('first', 'script: true\n')
  await until('the first result', () => readdirSync(site.dropbox).includes('first.job.finished'))
  let count = 0
  const delivered = async () => {
    count += 1
    const name = `late-${count}`
    return timed(async () => {
      site.drop(name, 'script: true\n')
      await until('its result', () => readdirSync(site.dropbox).includes(`${name}.job.finished`), 30_000, 1)
    })
  }
  const script = async () => spawnMs('/bin/bash', '-c', 'true')
  const found = await alternate({ ours: delivered, script }, turns * 3)
  await site.end()
  const many = await watchMany(place, turns)
  return [
    many,
    {
      work: 'drop → .finished, watch, a runner lingers',
      unit: 'ms',
      ours: found.ours,
      peer: found.script,
      peerName: 'the script alone',
      ratio: ratioOfTimes(found.ours, found.script),
      note: 'goal: at most 500 ms over the script',
    },
  ]
}

/** A dropbox full of results that nobody has taken away. */
async function watchMany(place: Bench['place'], turns: number): Promise<Row> {
  const site = new Site(place, { wire: await openWire(place, 0), held: true })
  await site.tick()
  for (let i = 0; i < many; i++) writeFileSync(join(site.dropbox, `old-${i}.job.finished`), '')
  const pid = await site.startWatch()
  site.drop('first', 'script: true\n')
  const ready = await timed(() => until('the first job', () => existsSync(join(site.dropbox, 'first.job.submitted'))))
  let count = 0
  const values: number[] = []
  for (let turn = 0; turn < turns * 3; turn++) {
    await until('watch to rest', () => site.pending() === 0)
    await sleep(300)
    count += 1
    const path = join(site.dropbox, `new-${count}.job.submitted`)
    values.push(
      await timed(async () => {
        site.drop(`new-${count}`, 'script: true\n')
        await until('the job to be accepted', () => existsSync(path), 30_000, 1)
      }),
    )
  }
  const rss = /^VmRSS:\s*(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]
  await site.end()
  return {
    work: `file → accepted, watch on a dropbox of ${many} files`,
    unit: 'ms',
    ours: sampleOf(values),
    peer: sampleOf([50]),
    peerName: 'the goal',
    ratio: 50 / sampleOf(values).median,
    goal: 1,
    note: `first job accepted ${ready.toFixed(0)} ms after the start; resident ${Math.round(Number(rss) / 1024)} MB`,
  }
}
