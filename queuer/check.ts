/** What `hpc-submitter check` asks of a site, seen from its login node. Each line says what is the case and, where it is bad, what to do. */
import { join } from 'node:path'
import type { CheckLine } from '../contract/protocol.ts'
import { renderBytes } from '../contract/units.ts'
import { schedulerFor } from '../scheduler/schedulers.ts'
import type { Pass, Queuer } from './queuer.ts'

const fewBytes = 1024 ** 3
const fewInodes = 10_000

export async function checkSite(queuer: Queuer, pass: Pass, schedulerName: string): Promise<CheckLine[]> {
  const { files, spool } = queuer
  const lines: CheckLine[] = []
  const add = (ok: boolean | null, what: string, detail: string, hint?: string) =>
    lines.push({ ok, what, detail, ...(hint === undefined ? {} : { hint }) })
  add(true, 'node', `${queuer.node} ${process.version} on ${queuer.host}`)
  add(true, 'workspace', `${spool.root} is ours, writable, and served as ${pass.workspace}`)
  const probe = join(spool.root, files.temporaryName())
  try {
    files.createExclusive(probe, 'probe')
    files.remove(probe)
  } catch (error) {
    add(false, 'workspace', `cannot write in ${spool.root}: ${String(error)}`, 'see quota and rights')
  }
  const space = files.space(spool.root)
  if (space === undefined) add(null, 'space', 'the file system does not tell')
  else {
    const enough = space.bytes >= fewBytes && space.inodes >= fewInodes
    const inodes = Number.isFinite(space.inodes) ? `${space.inodes} inodes` : 'no inode limit'
    add(
      enough,
      'space',
      `${renderBytes(space.bytes)} and ${inodes} free`,
      enough ? undefined : 'free some, or move hpc_env.workspace',
    )
  }
  const scheduler = schedulerFor(schedulerName)
  const answer = scheduler.readCheck(await queuer.run(scheduler.checkCommand(), 30_000))
  if (!answer.certain) add(false, 'scheduler', answer.why, `see that ${schedulerName} answers on ${queuer.host}`)
  else {
    add(true, 'scheduler', `${schedulerName} ${answer.value.version}`)
    for (const shape of pass.lanes) {
      if (shape.queue === undefined || answer.value.queues.length === 0) continue
      const there = answer.value.queues.includes(shape.queue)
      add(
        there,
        `lane ${shape.name}`,
        there ? `queue ${shape.queue} exists` : `there is no queue "${shape.queue}"`,
        there ? undefined : `queues here: ${answer.value.queues.join(', ')}; set lanes.${shape.name}.queue`,
      )
    }
  }
  const container = await queuer.run(
    { argv: ['/bin/sh', '-c', 'command -v singularity || command -v apptainer'] },
    10_000,
  )
  const path = container.stdout.trim()
  add(
    path === '' ? null : true,
    'singularity',
    path === '' ? 'not on PATH here; templates may load a module for it' : path,
  )
  return lines
}
