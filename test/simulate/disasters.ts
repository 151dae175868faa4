/** What comes of itself while a storm lasts: machines that crash, a site without power, clocks that jump, full disks, a scratch cleaner. */
import { posix } from 'node:path'
import { loseCache, losePower, losePowerInOrder, writebackMs } from './durable.ts'
import type { Machine } from './machine.ts'
import type { FolderNode, Node } from './nodes.ts'
import { hourMs, minuteMs } from './plan.ts'
import type { SimulatedSite } from './site.ts'
import type { Disaster } from './storm.ts'
import type { World } from './world.ts'

/** Sets all of them going. */
export function letLoose(world: World): void {
  const { chance, hosts, sites } = world
  every(world, 'gatewayCrash', () => crashMachine(world, chance.pick(hosts).machine))
  every(world, 'loginCrash', () => crashMachine(world, chance.pick(sites).login))
  every(world, 'nodeCrash', () => crashMachine(world, chance.pick(chance.pick(sites).nodes)))
  every(world, 'sitePower', () => crashSite(world, chance.pick(sites)))
  every(world, 'clockJump', () => {
    const machine = chance.pick(world.machines)
    world.fault('clock jumps')
    // those of a site are held together by its scheduler's authentication
    const site = sites.find(({ machines }) => machines.includes(machine))
    const most = chance.pick([5_000, 3 * hourMs, 72 * hourMs])
    const byMs = chance.between(-most, most)
    for (const one of site?.machines ?? [machine]) one.skewMs += byMs
  })
  every(world, 'noSpace', () => {
    const volume = chance.pick([...world.disk.volumes.keys()])
    world.fullUntilMs.set(volume, world.kernel.now + chance.between(minuteMs, 20 * minuteMs))
  })
  const { cleanedAfterMs } = world.plan
  if (cleanedAfterMs !== undefined) atNight(world, cleanedAfterMs)
  if (world.plan.harmed) harmStores(world)
}

/** Somebody of the site's account alters or removes what is kept for other jobs, at times that no other chance hangs on. */
function harmStores(world: World, round = 1): void {
  const { kernel, disk, sites, storm } = world
  kernel.after(90_000, () => {
    if (kernel.now >= storm.endsMs) return
    for (const { workspace } of sites) {
      const names = disk.names(`${workspace}/store`).filter((name) => !name.startsWith('.'))
      const path = `${workspace}/store/${names[round % Math.max(1, names.length)] ?? ''}`
      const text = disk.text(path)
      if (text === undefined) continue
      world.fault('an input in the store is harmed')
      if (round % 4 === 0) disk.unlink(path)
      else disk.put(path, 'x'.repeat(round % 4 === 1 ? text.length / 2 : text.length))
    }
    harmStores(world, round + 1)
  })
}

/** At random moments, so often an hour on average, while the storm lasts. */
function every(world: World, kind: Disaster, act: () => void): void {
  const perHour = world.storm[kind]
  if (perHour === 0) return
  const { kernel, chance, plan } = world
  // a schedule of days has its share over those days
  const meanMs = (hourMs / perHour) * (plan.cleanedAfterMs === undefined ? 1 : 40)
  const next = () => {
    kernel.after(-Math.log(1 - chance.next()) * meanMs, () => {
      if (kernel.now >= world.storm.endsMs) return
      act()
      next()
    })
  }
  next()
}

/** Whatever it is, and with what that means for the file systems it has and uses. */
export function crashMachine(world: World, machine: Machine): void {
  const site = world.sites.find(({ machines }) => machines.includes(machine))
  if (site === undefined) crashGateway(world, machine)
  else if (machine === site.login) crashClient(world, site, machine, 'login node crashes')
  else {
    crashClient(world, site, machine, 'worker node crashes')
    site.cluster.nodeIsDown(machine)
  }
}

function crash(world: World, machine: Machine): void {
  machine.crash(world.chance.uuid(), world.chance.between(20_000, 240_000))
}

function crashGateway(world: World, machine: Machine): void {
  world.fault('gateway crashes')
  crash(world, machine)
  const host = world.hosts.find((one) => one.machine === machine)
  if (host === undefined) return
  const top = world.disk.top(host.dir.slice(1))
  if (host.shared) loseCache(top, machine.name, world.chance)
  else losePower(top.volume, top, world.chance)
  world.afterPowerLoss()
}

/** A machine that uses the site's file system, whose server goes on. */
function crashClient(world: World, site: SimulatedSite, machine: Machine, what: string): void {
  world.fault(what)
  crash(world, machine)
  loseCache(world.disk.top(site.volume), machine.name, world.chance)
  forgetLostExits(world, site)
}

function crashSite(world: World, site: SimulatedSite): void {
  world.fault('site loses power')
  for (const machine of site.machines) crash(world, machine)
  for (const node of site.nodes) site.cluster.nodeIsDown(node)
  const top = world.disk.top(site.volume)
  losePowerInOrder(top.volume, top, world.chance)
  const isLost = lostStarts(world, site)
  for (const run of world.runs) {
    const { token, exitFile, endMs = 0, told } = run
    if (!told && endMs >= world.kernel.now - writebackMs && isLost(token, exitFile)) run.forgotten = true
  }
  forgetLostExits(world, site)
}

/** Of a start whose record no disk has, of a job that has not ended, nobody can know. */
function lostStarts({ disk, jobs }: World, site: SimulatedSite): (job: string, exitFile: string) => boolean {
  const ended = new Set(jobs.filter(({ finished }) => finished > 0).map(({ planned }) => planned.job.name))
  return (job, exitFile) => {
    if (!exitFile.startsWith(`${site.workspace}/`) || ended.has(job) || site.hasResult(exitFile)) return false
    return disk.text(exitFile.replace(/(?:\.[0-9a-f]+)?\.rc$/, ''))?.endsWith('}\n') !== true
  }
}

/** What a script told and no disk has, it has not told; and a start that was only written down was none when that is gone. */
function forgetLostExits(world: World, site: SimulatedSite): void {
  const isLost = lostStarts(world, site)
  for (const [exitFile, { job }] of world.attempts) if (isLost(job, exitFile)) world.attempts.delete(exitFile)
  for (const run of world.runs) {
    if (!run.told || !run.exitFile.startsWith(`${site.workspace}/`)) continue
    if (world.disk.text(run.exitFile)?.endsWith('\nend\n') === true || site.hasResult(run.exitFile)) continue
    const job = world.jobs.find(({ planned }) => planned.job.name === run.token)
    if (job === undefined || job.finished > 0) continue
    run.told = false
    world.log(`what ${run.mark} told is lost`)
  }
}

function atNight(world: World, ageMs: number): void {
  const { kernel, disk, sites } = world
  kernel.after(24 * hourMs, () => {
    if (kernel.now >= world.storm.endsMs) return
    for (const { volume } of sites) clean(world, `/${volume}`, disk.top(volume), ageMs)
    atNight(world, ageMs)
  })
}

/** Files by age, and folders that are empty and old. */
function clean(world: World, path: string, folder: FolderNode, ageMs: number): void {
  const isOld = ({ atimeMs, mtimeMs }: Node) => folder.volume.wallMs() - Math.max(atimeMs, mtimeMs) > ageMs
  for (const [name, node] of [...folder.entries]) {
    const at = posix.join(path, name)
    if (node.kind === 'folder') {
      clean(world, at, node, ageMs)
      if (node.entries.size > 0 || !isOld(node)) continue
      world.fault('cleaner takes an empty folder')
      world.disk.rmdir(at)
    } else if (isOld(node)) {
      world.fault('cleaner takes a file')
      world.log(`cleaned: ${at}`)
      world.disk.unlink(at)
    }
  }
}
