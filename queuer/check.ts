/** What `hpc-submitter check` asks of a site, seen from its login node. Each line says what is the case and, where it is bad, what to do. */
import { dirname, join } from 'node:path'
import type { CheckLine } from '../contract/protocol.ts'
import { renderBytes } from '../contract/units.ts'
import { schedulerFor } from '../scheduler/schedulers.ts'
import type { Pass, Queuer } from './queuer.ts'

const fewBytes = 1024 ** 3
const fewInodes = 10_000

/** Folders above the workspace in which others may rename it: writable for more than their owner and not sticky, or somebody else's. */
function openParents({ files, spool, uid }: Queuer): string[] {
  const open: string[] = []
  for (let dir = files.os.realpathSync(spool.root); dir !== dirname(dir); ) {
    dir = dirname(dir)
    const found = files.stat(dir)
    if (found === undefined) continue
    const isSticky = (found.mode & 0o1000) !== 0
    if (((found.mode & 0o022) !== 0 && !isSticky) || (found.uid !== uid && found.uid !== 0)) open.push(dir)
  }
  return open
}

export async function checkSite(
  queuer: Queuer,
  pass: Pass,
  schedulerName: string,
  stored: { readonly files: number; readonly bytes: number },
): Promise<CheckLine[]> {
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
  for (const open of openParents(queuer)) {
    const hint = `chmod o-w,g-w ${open} (or chmod +t), or move hpc_env.workspace`
    add(null, 'workspace', `others may write ${open}, above it: they could put another folder in its place`, hint)
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
  const most = pass.storeBytes === 0 ? 'it is switched off' : `at most ${renderBytes(pass.storeBytes)}`
  add(true, 'store', `${stored.files} inputs kept for other jobs, ${renderBytes(stored.bytes)}; ${most}`)
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
