/** From a description to everything a site must know about the job, or to all that is wrong with it. */
import { basename } from 'node:path'
import { describeError, HpcError } from '../contract/errors.ts'
import type { JobDescription, Problem } from '../contract/job-description.ts'
import { renderJob } from '../contract/render-job.ts'
import { makeKey, spoolAt, spoolFormat } from '../contract/spool.ts'
import type { FileEntry, JobRecord } from '../contract/spool-records.ts'
import { templateTimeMs } from '../contract/template.ts'
import { checkFiles, type FolderLooks, type Owner } from './check-files.ts'
import { chooseLane } from './choose-lane.ts'
import type { Lane, Site } from './config.ts'
import type { Gateway } from './gateway.ts'
import { shapeOf } from './lane-shapes.ts'
import { findTemplate } from './templates.ts'

export interface Plan {
  readonly site: Site
  readonly lane: Lane
  /** The lane's name on HPC: its name and the digest of its shape. */
  readonly laneId: string
  /** All but what comes later: the turn in its key, sizes and digests of the inputs. */
  readonly record: JobRecord
}

export interface JobIdentity {
  readonly id: string
  readonly name: string
  readonly gateway: string
}

/** Inputs without their content: enough to render, and to name where they will lie. */
function unsentInputs(description: JobDescription): Record<string, FileEntry> {
  const entries = [...description.inputs].map(
    ([key, path]) => [key, { path: basename(path), size: 0, sha256: '', mode: 0o600 }] as const,
  )
  return Object.fromEntries(entries)
}

export type FindTemplate = (script: string) => ReturnType<typeof findTemplate>

export function planJob(
  gateway: Gateway,
  description: JobDescription,
  who: JobIdentity,
  find: FindTemplate = (script) => findTemplate(gateway, script),
): Plan | Problem[] {
  const template = find(description.script)
  if ('fault' in template) return [{ key: 'script', message: template.fault }]
  let timeMs = description.resources.timeMs
  try {
    timeMs ??= templateTimeMs(template.text)
  } catch (error) {
    return [{ key: 'script', message: describeError(error) }]
  }
  const choice = chooseLane(description, gateway.config, timeMs)
  if ('refused' in choice) return [choice.refused]
  const { site, lane } = choice
  const laneId = shapeOf(site, lane, gateway.options).lane
  const { workspace: _workspace, scripts = '', containers = '', ...hpcEnv } = site.hpcEnv
  const record: JobRecord = {
    format: spoolFormat,
    id: who.id,
    name: who.name,
    gateway: who.gateway,
    site: site.name,
    lane: laneId,
    key: makeKey(description.priority, 0, who.id),
    template,
    hpcEnv: Object.fromEntries(
      Object.entries(hpcEnv).filter((entry): entry is [string, string] => entry[1] !== undefined),
    ),
    scripts,
    containers,
    args: Object.fromEntries(description.args),
    inputs: unsentInputs(description),
    outputs: Object.fromEntries(
      [...description.outputs].map(([key, { path, optional }]) => [key, { name: basename(path), optional }]),
    ),
    ...(timeMs === undefined ? {} : { timeMs }),
    maxAttempts: description.maxAttempts ?? gateway.config.maxAttempts,
    maxInterruptions: gateway.config.maxInterruptions,
    streamCapBytes: gateway.config.streamCapBytes,
  }
  try {
    renderJob(record, lane.name, spoolAt(site.hpcEnv.workspace).workDir(who.id, 1))
  } catch (error) {
    if (!(error instanceof HpcError)) throw error
    return [{ key: 'script', message: `cannot be used: ${describeError(error)}` }]
  }
  return { site, lane, laneId, record }
}

/** The plan and what is wrong with the files, all at once. */
export function planAndCheck(
  gateway: Gateway,
  owner: Owner,
  description: JobDescription,
  who: JobIdentity,
  find?: FindTemplate,
  looks?: FolderLooks,
): Plan | Problem[] {
  const plan = planJob(gateway, description, who, find)
  const problems = [...(Array.isArray(plan) ? plan : []), ...checkFiles(gateway, owner, description, looks)]
  return problems.length > 0 || Array.isArray(plan) ? problems : plan
}
