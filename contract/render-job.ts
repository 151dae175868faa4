/** From a job's record to the script that runs: the submitter tries it at acceptance, the runner does it for the folder of its attempt. */
import type { JobRecord } from './spool-records.ts'
import { argEnvironment, type BoundValue, bindValues, renderTemplate } from './template.ts'

export interface Rendered {
  readonly script: string
  /** `HPC_ARG_<name>` for every value. */
  readonly environment: Record<string, string>
  readonly values: ReadonlyMap<string, BoundValue>
}

export function renderJob(job: JobRecord, laneName: string, workDir: string): Rendered {
  const values = bindValues({
    hpcEnv: new Map(Object.entries(job.hpcEnv)),
    args: new Map(Object.entries(job.args)),
    builtIns: new Map([
      ['workspace', workDir],
      ['scripts', job.scripts],
      ['containers', job.containers],
      ['job_id', job.id],
      ['site', job.site],
      ['lane', laneName],
    ]),
    inputs: new Map(Object.entries(job.inputs).map(([key, { path }]) => [key, path])),
    outputs: new Map(Object.entries(job.outputs).map(([key, { name }]) => [key, name])),
  })
  return { script: renderTemplate(job.template, values), environment: argEnvironment(values), values }
}
