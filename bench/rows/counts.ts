/** What an operation costs a file system and a site, counted, not timed: calls a job, and what the centre sees of a day of one tick a minute. */
import { spawnSync } from 'node:child_process'
import { chmodSync, existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { startSshd } from '../../test/support/sshd.ts'
import type { Bench } from '../bench.ts'
import { type Row, ratioOfTimes, sampleOf } from '../measure.ts'
import { openWire } from '../network.ts'
import { cli, type Place, runnerProgram } from '../place.ts'
import { Site } from '../site.ts'
import { publish } from './drain.ts'

const jobs = 200
const ticks = 3
const jobsPerTick = 5
const ticksPerDay = 1_440
/** By hpc_batch's own description: so many requests of sftp to send a job, each a call of the login node on its file system or more. */
const waySendRequests = 22

export async function counts({ place, say }: Bench): Promise<Row[]> {
  if (spawnSync('strace', ['-V']).status !== 0) {
    say('No strace here: nothing is counted')
    return []
  }
  await callsPerJob(place, say)
  return aDay(place)
}

async function callsPerJob(place: Place, say: Bench['say']): Promise<void> {
  const count = (title: string, argv: readonly string[]) => {
    const calls = 'fsync,fdatasync,rename,renameat2,openat,mkdir,rmdir,unlink,symlink,execve,clone,clone3,vfork'
    const out = join(place.folder('strace'), 'counts')
    const ran = spawnSync('strace', ['-c', '-f', '-e', `trace=${calls}`, '-o', out, ...argv], { stdio: 'ignore' })
    if (ran.status !== 0) return say(`${title}: strace does not work here`)
    const found = readFileSync(out, 'utf8')
      .split('\n')
      .flatMap((line) => {
        const words = line.trim().split(/\s+/)
        const name = words.at(-1) ?? ''
        return calls.split(',').includes(name) ? [`${name} ${(Number(words[3]) / jobs).toFixed(1)}`] : []
      })
    say(`${title}: ${found.join(' · ')}`)
  }
  const site = new Site(place, { wire: await openWire(place, 0), held: true })
  site.dropTrue(1)
  await site.tick()
  site.dropCopies(jobs)
  const tick = [process.execPath, cli, 'tick', '-c', site.configFile]
  count(`calls per job, both ends of a pass with ${jobs} jobs`, tick)
  await site.end()
  const published = await publish(place, jobs)
  const workspace = published.withSlots(1)()
  const words = ['--workspace', workspace, '--lane', published.lane, '--nonce', '0123456789abcdef', '--native-id', '1']
  count(`calls per job, draining ${jobs} jobs`, [process.execPath, runnerProgram, ...words])
}

interface Seen {
  readonly logins: number
  readonly commands: number
  /** Calls of the queuer on names in the workspace: looked up, opened, listed, made, renamed, removed. */
  readonly calls: number
}

/** Some ticks of a cron over ssh with new jobs in each, and some with nothing new while jobs are in flight; each from a process of its own. */
async function aDay(place: Place): Promise<Row[]> {
  const sshd = await startSshd({ hostKeys: ['ed25519'], config: ['LogLevel VERBOSE'] })
  place.atEnd(() => sshd.stop())
  const dir = place.folder('traced')
  const trace = join(dir, 'calls')
  const node = join(dir, 'node')
  // appends: one file of all queuers, one after the other
  const traced = `exec strace -f -A -o ${trace} -e trace=%file,getdents64 ${process.execPath} "$@"`
  writeFileSync(node, `#!/bin/sh\ncase "$1" in *hpc_queuer) ${traced} ;; *) exec ${process.execPath} "$@" ;; esac\n`)
  chmodSync(node, 0o755)
  const site = new Site(place, { wire: await openWire(place, 0), sshd, held: true, node })
  const seen = (): Seen => {
    const log = sshd.log()
    const lines = existsSync(trace) ? readFileSync(trace, 'utf8').split('\n') : []
    return {
      logins: log.split('Accepted publickey').length - 1,
      commands: log.split('Starting session').length - 1,
      calls: lines.filter((line) => line.includes(`"${site.workspace}`) && !line.includes('/programs/')).length,
    }
  }
  const during = async (drop: () => void) => {
    const before = seen()
    for (let tick = 0; tick < ticks; tick++) {
      drop()
      await site.tick()
    }
    const after = seen()
    const aTick = (of: (one: Seen) => number) => (of(after) - of(before)) / ticks
    return {
      logins: aTick((one) => one.logins),
      commands: aTick((one) => one.commands),
      calls: aTick((one) => one.calls),
    }
  }
  site.dropTrue(1)
  await site.tick()
  const waiting = await during(() => undefined)
  const busy = await during(() => site.dropCopies(jobsPerTick))
  await site.end()
  const row = (what: string, ours: number, peer: number, peerName: string, note: string): Row => {
    const [mine, other] = [sampleOf([ours * ticksPerDay]), sampleOf([peer * ticksPerDay])]
    return {
      work: what,
      unit: 'a day',
      ours: mine,
      peer: other,
      peerName,
      ratio: ratioOfTimes(mine, other),
      goal: 1,
      note,
    }
  }
  const way = "hpc_batch's way"
  const busyDay = `one tick a minute, ${jobsPerTick} new jobs in each`
  return [
    row(`ssh logins, ${busyDay}`, busy.logins, 1, way, 'one a pass; none while nothing is in flight'),
    row(`commands on them, ${busyDay}`, busy.commands, 2, `${way}: sftp, and its queuer`, 'hpc_queuer alone'),
    row(
      `calls of the login node on the workspace, ${busyDay}`,
      busy.calls,
      waySendRequests * jobsPerTick,
      `${way}: its requests of sftp alone`,
      `${((busy.calls - waiting.calls) / jobsPerTick).toFixed(0)} a job to send it, ${waiting.calls.toFixed(0)} a pass`,
    ),
  ]
}
