/**
 * A site some milliseconds away: two network namespaces, and between them netem where the kernel has it, else our own delay program.
 * Whatever runs as `near(argv)` is at the gateway's end, `far(argv)` at the site's.
 */
import { execFileSync, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { has, type Place } from './place.ts'

export interface Wire {
  readonly rttMs: number
  /** The site's address, as the gateway sees it. */
  readonly address: string
  readonly how: string
  near(argv: readonly string[]): [string, ...string[]]
  far(argv: readonly string[]): [string, ...string[]]
}

const plain = (argv: readonly string[]) => [...argv] as [string, ...string[]]
const loopback: Wire = { rttMs: 0, address: '127.0.0.1', how: 'loopback', near: plain, far: plain }

/** What keeps this machine from having a distance; undefined when nothing does. */
export function noDistance(): string | undefined {
  if (process.getuid?.() !== 0) return 'not root'
  if (!has('ip') || !has('nsenter')) return 'no ip or nsenter'
  if (hasNetem()) return undefined
  if (!existsSync('/dev/net/tun')) return 'neither netem nor /dev/net/tun'
  return has('gcc') ? undefined : 'no netem, and no gcc for the delay program'
}

function quiet(line: string): boolean {
  return spawnSync('/bin/sh', ['-c', line], { stdio: 'ignore' }).status === 0
}

function hasNetem(): boolean {
  const name = `hpcbt${process.pid}`
  const able = quiet(
    `ip netns add ${name} && nsenter --net=/run/netns/${name} sh -c 'ip link set lo up && tc qdisc add dev lo root netem delay 1ms'`,
  )
  quiet(`ip netns del ${name}`)
  return able
}

const wires = new Map<number, Promise<Wire>>()

/** One wire for each distance, for all groups of a run. */
export function openWire(place: Place, rttMs: number): Promise<Wire> {
  const open = wires.get(rttMs) ?? (rttMs === 0 ? Promise.resolve(loopback) : makeWire(place, rttMs))
  wires.set(rttMs, open)
  return open
}

async function makeWire(place: Place, rttMs: number): Promise<Wire> {
  const names = [`hpcb${process.pid}n${rttMs}`, `hpcb${process.pid}f${rttMs}`] as const
  for (const name of names) {
    execFileSync('ip', ['netns', 'add', name])
    place.atEnd(() => quiet(`ip netns del ${name}`))
  }
  const inside = (name: string) => (argv: readonly string[]) =>
    ['nsenter', `--net=/run/netns/${name}`, ...argv] as [string, ...string[]]
  const how = hasNetem() ? byNetem(names, rttMs) : await byDelay(place, names, rttMs)
  return { rttMs, address: '10.93.0.2', how, near: inside(names[0]), far: inside(names[1]) }
}

function byNetem([near, far]: readonly [string, string], rttMs: number): string {
  execFileSync('ip', ['link', 'add', 'wire', 'netns', near, 'type', 'veth', 'peer', 'name', 'wire', 'netns', far])
  for (const [name, address] of [
    [near, '10.93.0.1'],
    [far, '10.93.0.2'],
  ]) {
    const line = `ip addr add ${address}/24 dev wire && ip link set wire up && ip link set lo up && tc qdisc add dev wire root netem delay ${rttMs / 2}ms limit 100000`
    execFileSync('nsenter', [`--net=/run/netns/${name}`, '/bin/sh', '-c', line])
  }
  return 'netem'
}

async function byDelay(place: Place, [near, far]: readonly [string, string], rttMs: number): Promise<string> {
  const program = join(place.dir, 'delay')
  if (!existsSync(program)) execFileSync('gcc', ['-O2', '-o', program, join(import.meta.dirname, 'delay.c')])
  const child = spawn(program, [near, '10.93.0.1', far, '10.93.0.2', String(rttMs * 500)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  place.atEnd(() => child.kill('SIGKILL'))
  const ended = once(child, 'exit').then(() => Promise.reject(new Error('the delay program ended')))
  ended.catch(() => undefined)
  await Promise.race([once(child.stdout, 'data'), ended])
  return 'delay.c'
}
