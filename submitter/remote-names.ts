/** What `.submitted` tells about the other side: where a job's files lie there. */
import { basename, join } from 'node:path'
import type { JobDescription } from '../contract/job-description.ts'
import { spoolAt } from '../contract/spool.ts'
import type { Plan } from './plan-job.ts'
import type { HpcNode } from './submitted-file.ts'

type RemoteNames = Required<
  Pick<HpcNode, 'site' | 'lane' | 'key' | 'workspace' | 'finished_file' | 'input_map' | 'output_map'>
>

export function describeSubmitted(plan: Plan, description: JobDescription, key: string): RemoteNames {
  const spool = spoolAt(plan.site.hpcEnv.workspace)
  const workspace = spool.workDir(plan.record.id, 1)
  return {
    site: plan.site.name,
    lane: plan.laneId,
    key,
    workspace,
    finished_file: spool.control(plan.record.id).resultRecord,
    input_map: Object.fromEntries(
      [...description.inputs].map(([name, path]) => [name, join(workspace, 'input', basename(path))]),
    ),
    output_map: Object.fromEntries(
      [...description.outputs].map(([name, { path }]) => [name, join(workspace, 'output', basename(path))]),
    ),
  }
}
