/** What stories of runners share: a site for one of them, what its queuer does at a look, why attempts ended. */
import { readFileSync } from 'node:fs'
import type { JobRecord, LaneShape } from '../../contract/spool-records.ts'
import { noteDeadRunners, returnKeys } from '../../queuer/repair.ts'
import { names, Site } from './site.ts'

export const sh = (text: string) => `#!/bin/sh\n${text}\n`

/** What the queuer does at each look: on this machine a killed runner is provably gone. */
export async function repair(site: Site): Promise<number> {
  const queue = { certain: false, why: 'not asked' } as const
  noteDeadRunners({ ...site.queuer, host: hostOf(site) }, site.pass, site.shape.lane, 'local', queue, [])
  return returnKeys(site.queuer)
}

function hostOf(site: Site): string {
  const [mark] = names(site.lane.runners).filter((name) => !name.endsWith('.end'))
  return (JSON.parse(readFileSync(site.lane.runner(mark ?? ''), 'utf8')) as { node: string }).node
}

export async function withSite(shape: Partial<LaneShape>, act: (site: Site) => Promise<void>): Promise<void> {
  const site = new Site(shape)
  try {
    await act(site)
  } finally {
    await site.end()
  }
}

export const causes = (site: Site, job: JobRecord) => site.attempts(job).map(({ end }) => end?.cause)
