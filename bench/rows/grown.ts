/** One runner process through a whole day's work: what it has seen must not make it slower, nor large. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { spoolAt } from '../../contract/spool.ts'
import type { JobRecord } from '../../contract/spool-records.ts'
import { readAttempts } from '../../spool/attempt.ts'
import { Files } from '../../system/files.ts'
import { realOs } from '../../system/os.ts'
import type { Bench } from '../bench.ts'
import { type Row, sampleOf } from '../measure.ts'
import { runnerProgram } from '../place.ts'
import { publish } from './drain.ts'

const files = new Files(realOs)
const window = 1_000
const batch = 7_000
const batches = 14
const outputs = 1_000
const outputBytes = 1_000_000

export async function grown({ place }: Bench): Promise<Row[]> {
  const published = await publish(place, 1, (site) => site.dropTrue(1))
  const workspace = published.withSlots(2)()
  const spool = spoolAt(workspace)
  const { lane } = published
  const shapePath = spool.lane(lane).shape
  writeFileSync(shapePath, JSON.stringify({ ...JSON.parse(readFileSync(shapePath, 'utf8')), lingerMs: 600_000 }))
  const [first = ''] = readdirSync(spool.queue(lane))
  const pattern = JSON.parse(readFileSync(spool.control(first.slice(17)).record, 'utf8')) as JobRecord
  let made = 0
  const add = (count: number, more: Partial<JobRecord> = {}): string[] => {
    const ids: string[] = []
    for (let i = 0; i < count; i++) {
      made += 1
      const id = `${pattern.id.slice(0, -12)}${String(made).padStart(12, '0')}`
      const key = `949-${String(made + 1).padStart(12, '0')}-${id}`
      for (const dir of ['input', 'output']) mkdirSync(join(spool.workDir(id, 1), dir), { recursive: true })
      mkdirSync(spool.control(id).attempts, { recursive: true })
      writeFileSync(spool.control(id).record, JSON.stringify({ ...pattern, ...more, id, key }))
      writeFileSync(join(spool.queue(lane), key), '')
      ids.push(id)
    }
    return ids
  }
  const done = spool.done(pattern.gateway)
  /** Waits without looking into what the runner is at, then cleans as the queuer does. */
  const drained = async (ids: readonly string[]): Promise<number> => {
    const last = spool.control(ids.at(-1) ?? '')
    while (readdirSync(spool.queue(lane)).length > 0) await sleep(500)
    while (readdirSync(spool.running(runnerId())).length > 0) await sleep(100)
    const exits = ids.map((id) => readAttempts(files, spool.control(id))[0]?.exit)
    if (exits.some((exit) => exit?.rc !== 0)) throw new Error(`a job before ${last.dir} failed`)
    const starts = exits.map((exit) => exit?.startUptimeMs ?? 0)
    const ends = exits.map((exit) => exit?.endUptimeMs ?? 0)
    for (const id of ids) {
      rmSync(spool.control(id).dir, { recursive: true })
      rmSync(spool.workDir(id, 1), { recursive: true })
    }
    for (const key of readdirSync(done)) rmSync(join(done, key))
    return (ids.length * 1000) / (ends.reduce((a, b) => Math.max(a, b)) - starts.reduce((a, b) => Math.min(a, b)))
  }
  const runnerId = () => readdirSync(spool.runnings)[0] ?? ''
  let waiting = add(window)
  const words = ['--workspace', workspace, '--lane', lane, '--nonce', '0123456789abcdef', '--native-id', '1']
  const runner = spawn(process.execPath, [runnerProgram, ...words], { stdio: 'ignore', detached: true })
  const memory = () => Number(/^VmRSS:\s*(\d+)/m.exec(readFileSync(`/proc/${runner.pid}/status`, 'utf8'))?.[1]) / 1024
  const rates = async () => {
    const found: number[] = []
    for (let turn = 0; turn < 3; turn++) found.push(await drained(add(window)))
    return found
  }
  await drained(waiting)
  const [fresh, freshMb] = [await rates(), memory()]
  for (let i = 0; i < batches; i++) {
    waiting = add(batch)
    await drained(waiting)
  }
  const text = `#!/bin/bash\nhead -c ${outputBytes} /dev/zero >output/o\n`
  await drained(add(outputs, { template: { name: 'make', text }, outputs: { o: { name: 'o', optional: false } } }))
  const [old, oldMb] = [await rates(), memory()]
  runner.kill('SIGTERM')
  await once(runner, 'exit')
  const [ours, peer] = [sampleOf(old), sampleOf(fresh)]
  return [
    {
      work: `drain ${window} trivial scripts, 2 slots, a runner that has done ${made - window * 3} and read ${Math.round((outputs * outputBytes) / 1e9)} GB of outputs`,
      unit: 'jobs/s',
      ours,
      peer,
      peerName: 'itself when fresh',
      ratio: ours.median / peer.median,
      goal: 0.9,
      note: `resident ${freshMb.toFixed(0)} MB fresh, ${oldMb.toFixed(0)} MB then`,
    },
  ]
}
