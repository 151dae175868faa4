/** What an operation costs a file system and a site, counted, not timed: calls a job, and what the centre sees of a day of one tick a minute. */
import { spawnSync } from 'node:child_process'
import { chmodSync, existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { startSshd } from '../../test/support/sshd.ts'
import type { Bench } from '../bench.ts'
import { type Row, ratioOfTimes, sampleOf } from '../measure.ts'
import { openWire } from '../network.ts'
import { cli, type Place, runnerProgram } from '../place.ts'
import { runRunner, Site } from '../site.ts'
import { publish } from './drain.ts'
import { Peers, takeGateAway } from './staging.ts'

const jobs = 200
const ticks = 3
const jobsPerTick = 5
const ticksPerDay = 1_440
/** Of hpc_batch's: three folders, the input and job.sh. */
const wayInodes = 5
/** Makes the calls that the one inside sshd makes. */
const sftpServer = '/usr/lib/openssh/sftp-server'

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
  readonly calls: number
}

/** Calls on names below `folder`: looked up, opened, listed, made, renamed, removed. */
function callsOn(folder: string, trace: string): number {
  if (!existsSync(trace)) return 0
  const lines = readFileSync(trace, 'utf8').split('\n')
  return lines.filter((line) => line.includes(`"${folder}`) && !line.includes('/programs/')).length
}

function program(path: string, text: string): string {
  writeFileSync(path, `#!/bin/sh\n${text}\n`)
  chmodSync(path, 0o755)
  return path
}

/**
 * Ticks of a cron over ssh, each a process of its own that sends new jobs and brings those of the tick before home, while a runner is there;
 * and hpc_batch's way with as many.
 */
async function aDay(place: Place): Promise<Row[]> {
  const dir = place.folder('traced')
  const [trace, sftpTrace] = [join(dir, 'calls'), join(dir, 'sftp-calls')]
  // appends: one file of all, one after the other
  const strace = (out: string) => `exec strace -A -o ${out} -e trace=%file,getdents64`
  const sftp = program(join(dir, 'sftp-server'), `${strace(sftpTrace)} ${sftpServer}`)
  const traced = `${strace(trace)} ${process.execPath} "$@"`
  const node = program(
    join(dir, 'node'),
    `case "$1" in *hpc_queuer) ${traced} ;; *) exec ${process.execPath} "$@" ;; esac`,
  )
  const config = ['LogLevel VERBOSE', `Subsystem sftp ${sftp}`]
  const sshd = await startSshd({ hostKeys: ['ed25519'], config })
  place.atEnd(() => sshd.stop())
  const wire = await openWire(place, 0)
  const site = new Site(place, { wire, sshd, held: true, node })
  const seen = (): Seen => {
    const log = sshd.log()
    return {
      logins: log.split('Accepted publickey').length - 1,
      commands: log.split('Starting session').length - 1,
      calls: callsOn(site.workspace, trace),
    }
  }
  // the programs, the folders, the runner; and results for the first tick that is counted
  site.dropCopies(jobsPerTick)
  await site.tick()
  const inodes = inodesOf(site) / jobsPerTick
  await workOff(site)
  const before = seen()
  for (let tick = 0; tick < ticks; tick++) {
    site.dropCopies(jobsPerTick)
    await site.tick()
    await workOff(site)
  }
  const after = seen()
  await site.end()
  const aTick = (of: (one: Seen) => number) => (of(after) - of(before)) / ticks
  const row = (work: string, unit: string, ours: number, peer: number, note: string): Row => {
    const [mine, other] = [sampleOf([ours]), sampleOf([peer])]
    const ratio = ratioOfTimes(mine, other)
    return { work, unit, ours: mine, peer: other, peerName: "hpc_batch's way", ratio, goal: 1, note }
  }
  const perDay = (what: string, ours: number, peer: number, note: string) =>
    row(
      `${what}, one tick a minute, ${jobsPerTick} new jobs in each`,
      'a day',
      ours * ticksPerDay,
      peer * ticksPerDay,
      note,
    )
  const calls = aTick((one) => one.calls)
  const rows = [
    perDay(
      'ssh logins',
      aTick((one) => one.logins),
      1,
      'one a pass; none while nothing is in flight',
    ),
    perDay(
      'commands on them',
      aTick((one) => one.commands),
      2,
      'hpc_queuer alone; there sftp, and its queuer',
    ),
    row('inodes of a job that waits', 'a job', inodes, wayInodes, 'folders, input, record, key'),
  ]
  const peers = new Peers(place, wire, sshd)
  if ((await peers.way('stage')) === undefined || (await peers.way('collect')) === undefined) return rows
  const way = callsOn(place.dir, sftpTrace) / peers.jobsOfAWay
  const each = `${(calls / jobsPerTick).toFixed(0)} and ${way.toFixed(0)} a job that is sent and brought home`
  const note = `${each}, by strace; of the peer its sftp-server alone, without its queuer`
  return [...rows, perDay('calls of the login node on names in the workspace', calls, way * jobsPerTick, note)]
}

/** What a runner does beside the one that was started and is held back: the jobs that wait. */
async function workOff(site: Site): Promise<void> {
  takeGateAway(site)
  await runRunner(site.workspace, site.lane())
}

function inodesOf({ workspace }: Site): number {
  const folders = ['jobs', 'control', 'queue'].map((name) => join(workspace, name))
  const found = spawnSync('find', [...folders, '-mindepth', '1'], { encoding: 'utf8' })
  // the folder that the lane has below queue is none of theirs
  return found.stdout.trim().split('\n').length - 1
}
