/**
 * Destinations named by jobs in flight. A later job that names one waits, visibly. The index in `state` is a hint that can be lost: it
 * is made again from the `.submitted` files, and an entry counts only while its job is really in flight.
 */
import { join } from 'node:path'
import type { JobDescription } from '../contract/job-description.ts'
import { sha256 } from '../system/digest.ts'
import { type Gateway, statePaths } from './gateway.ts'
import { readSubmitted } from './submitted-file.ts'

interface Entry {
  readonly id: string
  readonly name: string
}

export function destinationsOf(description: JobDescription): string[] {
  return [...description.outputs.values()].map(({ path }) => path)
}

function entryPath(gateway: Gateway, destination: string): string {
  return join(statePaths(gateway.config.state).reserved, sha256(destination).slice(0, 32))
}

/** Another job in flight that has reserved what this entry stands for. An entry that a crash cut short names nobody. */
function holderOf(gateway: Gateway, path: string, id: string): string | undefined {
  const entry = gateway.files.readJson<Entry>(path)
  if (entry === undefined || entry.id === id) return undefined
  const inFlight = readSubmitted(gateway, entry.name)
  return inFlight !== undefined && inFlight !== 'raw' && inFlight.hpc.id === entry.id ? entry.name : undefined
}

/** Reserves all destinations for a job, or none, when another one in flight has one of them: then its name. */
export function reserve(gateway: Gateway, entry: Entry, destinations: readonly string[]): string | undefined {
  const { files } = gateway
  const text = `${JSON.stringify(entry)}\n`
  for (const [index, destination] of destinations.entries()) {
    const path = entryPath(gateway, destination)
    // mostly nobody has it, and one call says so and takes it
    if (files.createHint(path, text)) continue
    const holder = holderOf(gateway, path, entry.id)
    if (holder !== undefined) {
      release(gateway, entry.id, destinations.slice(0, index))
      return holder
    }
    files.replace(path, text)
  }
  return undefined
}

/** Nothing is in flight: what is reserved still was left by a pass that died before it gave it back. */
export function forgetReservations({ config, files }: Gateway): void {
  const { reserved } = statePaths(config.state)
  for (const name of files.list(reserved)) files.remove(join(reserved, name))
}

export function release(gateway: Gateway, id: string, destinations: Iterable<string>): void {
  for (const destination of destinations) {
    const path = entryPath(gateway, destination)
    if (gateway.files.readJson<Entry>(path)?.id === id) gateway.files.remove(path)
  }
}
