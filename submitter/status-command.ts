/** `status` for people and, with --json, for programs. */
import { HpcError, printable, quoted } from '../contract/errors.ts'
import type { Whereabouts as Where } from '../contract/protocol.ts'
import type { Site } from './config.ts'
import { gatewayUuid } from './dropbox.ts'
import type { Gateway } from './gateway.ts'
import { helloOf } from './hello.ts'
import { Session } from './session.ts'
import { readSiteState } from './site-state.ts'
import { type Status, statusOf } from './status.ts'

const names: Readonly<Record<Where, string>> = {
  waiting: 'scheduled',
  repaired: 'scheduled',
  running: 'running',
  done: 'finishing',
  absent: 'unknown to the site',
  unknown: 'not to be read at the site now',
}

/** Asks the sites where their jobs are; a site that does not answer leaves its jobs as they were last known. */
async function askSites(gateway: Gateway, status: Status): Promise<Map<string, string>> {
  const found = new Map<string, string>()
  const ask = async (site: Site, ids: string[]) => {
    const session = await Session.open(gateway, site, true)
    try {
      const workspace = readSiteState(gateway, site.name).workspace ?? null
      const welcome = session.answer('welcome')
      await session.send(helloOf(gateway, site, gatewayUuid(gateway), workspace, true))
      await welcome
      const known = session.answer('known')
      await session.send({ type: 'ask', ids })
      for (const { id, where } of (await known).jobs) found.set(id, names[where])
    } finally {
      await session.close()
    }
  }
  await Promise.allSettled(
    Object.values(gateway.config.sites).map((site) => {
      const ids = status.jobs.flatMap((job) =>
        job.site === site.name && job.state === 'scheduled' && job.id !== undefined ? [job.id] : [],
      )
      return ids.length === 0 ? undefined : ask(site, ids)
    }),
  )
  return found
}

export async function statusCommand(
  gateway: Gateway,
  wanted: readonly string[],
  live: boolean,
  json: boolean,
): Promise<number> {
  if (gateway.files.stat(gateway.config.dropbox)?.isDirectory() !== true) {
    throw new HpcError(
      'config',
      `Cannot tell of the dropbox ${quoted(gateway.config.dropbox)}: there is no such folder`,
      {
        hint: 'create it, or set dropbox: in the config',
      },
    )
  }
  let status = statusOf(gateway, new Map(), wanted)
  if (live) status = statusOf(gateway, await askSites(gateway, status), wanted)
  const missing = wanted.find((name) => !status.jobs.some((job) => job.name === name))
  if (missing !== undefined)
    throw new HpcError('usage', `Cannot tell of ${quoted(missing)}: there is no such job in the dropbox`)
  if (json) process.stdout.write(`${JSON.stringify(status)}\n`)
  else process.stdout.write(renderStatus(status))
  return 0
}

function renderStatus(status: Status): string {
  const lines: string[] = []
  for (const site of status.sites) {
    const contact = site.lastContact === undefined ? 'never asked' : `last asked ${site.lastContact}`
    lines.push(
      `site ${site.site}: ${site.healthy ? 'fine' : `trouble: ${site.trouble ?? 'unknown'}`} (${contact}${site.failingFor === undefined ? '' : `, failing for ${site.failingFor}`})`,
    )
    for (const lane of site.lanes) {
      const allocations = lane.allocations.length === 0 ? 'no runner queued' : `runner ${lane.allocations.join(', ')}`
      lines.push(`  lane ${lane.name}: ${lane.waiting} waiting, ${lane.running} running; ${allocations}`)
      if (lane.trouble !== undefined) lines.push(`    ${lane.trouble}`)
    }
  }
  if (status.jobs.length === 0) lines.push('no jobs in the dropbox')
  const width = Math.min(40, Math.max(4, ...status.jobs.map(({ name }) => name.length)))
  for (const job of status.jobs) {
    lines.push(
      `${job.name.padEnd(width)}  ${job.state.padEnd(9)}  ${[job.site, job.why].filter((part) => part !== undefined).join('  ')}`,
    )
  }
  return `${lines.map(printable).join('\n')}\n`
}
