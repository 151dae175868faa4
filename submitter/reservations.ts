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

/** The job in flight that has reserved one of these destinations, other than `id`. */
export function holderOf(gateway: Gateway, id: string, destinations: Iterable<string>): string | undefined {
  for (const destination of destinations) {
    const entry = gateway.files.readJson<Entry>(entryPath(gateway, destination))
    if (entry === undefined || entry.id === id) continue
    const inFlight = readSubmitted(gateway, entry.name)
    if (inFlight !== undefined && inFlight !== 'raw' && inFlight.hpc.id === entry.id) return entry.name
  }
  return undefined
}

export function reserve(gateway: Gateway, entry: Entry, destinations: Iterable<string>): void {
  gateway.files.makeFolder(statePaths(gateway.config.state).reserved)
  for (const destination of destinations) {
    gateway.files.replace(entryPath(gateway, destination), `${JSON.stringify(entry)}\n`)
  }
}

export function release(gateway: Gateway, id: string, destinations: Iterable<string>): void {
  for (const destination of destinations) {
    const path = entryPath(gateway, destination)
    if (gateway.files.readJson<Entry>(path)?.id === id) gateway.files.remove(path)
  }
}
