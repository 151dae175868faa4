/**
 * Jobs accepted and not known to be published: written down before the first of them is renamed, so that a pass that died between two
 * steps left a list of what to look at. Losing the list costs a look at every `.submitted`, no job.
 */

import { listDropbox } from './dropbox.ts'
import { type Gateway, statePaths } from './gateway.ts'

export interface PendingJob {
  readonly id: string
  readonly name: string
  /** Why it has not gone to its site yet, for `status`. */
  readonly why?: string
  readonly site?: string
}

interface PendingFile {
  readonly jobs: readonly PendingJob[]
}

export function readPending(gateway: Gateway): PendingJob[] | undefined {
  const found = gateway.files.readJson<PendingFile>(statePaths(gateway.config.state).pending)
  return found === undefined ? undefined : [...found.jobs]
}

/**
 * A name that is taken anew stands for the last job alone: of one that a dying pass wrote down and did not rename there is nothing, and
 * a job that stood there twice would be sent twice in one pass.
 */
export function oneOfEach(jobs: readonly PendingJob[]): PendingJob[] {
  return [...new Map(jobs.map((job) => [job.name, job])).values()]
}

/** Every `.submitted` there is, as if none were known to be published: after the state was lost, and for the audit. */
export function allSubmitted(gateway: Gateway): string[] {
  return [...listDropbox(gateway).submitted]
}

export function writePending(gateway: Gateway, jobs: readonly PendingJob[]): void {
  gateway.files.publish(statePaths(gateway.config.state).pending, `${JSON.stringify({ jobs })}\n`)
}

/** After the sites' passes: what was published, delivered or ended is no longer pending; what waits says why; strays are to be accepted. */
export function confirmPublished(
  gateway: Gateway,
  sites: readonly {
    readonly published: readonly string[]
    readonly refused: readonly string[]
    readonly waiting: readonly { readonly name: string; readonly why: string }[]
    readonly strays: readonly string[]
  }[],
): void {
  const before = readPending(gateway)
  if (before === undefined) return
  const known = new Set(before.map(({ name }) => name))
  const strays = new Set(sites.flatMap((site) => site.strays).filter((name) => !known.has(name)))
  const gone = new Set(sites.flatMap(({ published, refused }) => [...published, ...refused]))
  const whys = new Map(sites.flatMap(({ waiting }) => waiting.map(({ name, why }) => [name, why] as const)))
  const after = before
    .filter(({ id }) => !gone.has(id))
    .map((job) => {
      const why = whys.get(job.name)
      return why === undefined ? job : { ...job, why }
    })
    .concat([...strays].map((name) => ({ id: '', name })))
  if (JSON.stringify(after) !== JSON.stringify(before)) writePending(gateway, after)
}
