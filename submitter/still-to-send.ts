/**
 * What is left to be sent, seen under the site's lock: between accepting and now another pass may have sent a job, delivered or ended it.
 * A job that an earlier pass may have sent is asked for first, so that none is sent, and run, a second time.
 */
import { type DoubtfulJob, type JobToSend, sealOf } from './accept-job.ts'
import type { Gateway } from './gateway.ts'
import type { Session } from './session.ts'
import { type HpcNode, readSubmitted } from './submitted-file.ts'

export interface StillToSend {
  readonly jobs: readonly JobToSend[]
  /** The site does not have them, and they cannot be sent as things are. */
  readonly unsendable: readonly DoubtfulJob[]
  /** Ids the site has already. */
  readonly there: readonly string[]
}

/** Whether the job's `.submitted` is still this job's, and nobody has ended it. */
export function isInFlight(gateway: Gateway, hpc: HpcNode): boolean {
  const found = readSubmitted(gateway, hpc.name)
  return found !== undefined && found !== 'raw' && found.hpc.id === hpc.id && found.job === undefined
}

export async function stillToSend(
  gateway: Gateway,
  session: Session,
  jobs: readonly JobToSend[],
  doubtful: readonly DoubtfulJob[],
): Promise<StillToSend> {
  const left = jobs.filter(({ hpc, seal }) => {
    // not touched since this pass published it: no need to read it again
    if (seal !== undefined && seal === sealOf(gateway, hpc.name)) return true
    return isInFlight(gateway, hpc)
  })
  const doubts = doubtful.filter(({ hpc }) => isInFlight(gateway, hpc))
  const ids = [...left.filter(({ resumed }) => resumed), ...doubts].map(({ hpc }) => hpc.id)
  if (ids.length === 0) return { jobs: left, unsendable: [], there: [] }
  const answer = session.answer('known')
  await session.send({ type: 'ask', ids })
  const where = new Map((await answer).jobs.map((job) => [job.id, job.where]))
  // one of which the site cannot tell stays as it is, and is asked for again
  const isToBeSent = ({ hpc }: { readonly hpc: HpcNode }) => ['absent', undefined].includes(where.get(hpc.id))
  return {
    jobs: left.filter(isToBeSent),
    unsendable: doubts.filter(isToBeSent),
    there: ids.filter((id) => !['absent', 'unknown', undefined].includes(where.get(id))),
  }
}
