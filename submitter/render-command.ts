/** `render FILE`: the script that would run, and where each value came from. */

import { basename } from 'node:path'
import { describeError, HpcError, printable } from '../contract/errors.ts'
import { parseDescriptionProblems, readDescription } from '../contract/read-description.ts'
import { renderJob } from '../contract/render-job.ts'
import { makeJobId, spoolAt } from '../contract/spool.ts'
import type { Gateway } from './gateway.ts'
import { planJob } from './plan-job.ts'

export function renderCommand(gateway: Gateway, file: string, values: boolean, json: boolean): number {
  const bytes = gateway.files.read(file)
  if (bytes === undefined) throw new HpcError('usage', `Cannot render "${file}": there is no such file`)
  const name = basename(file).replace(/\.job$/, '')
  const reading = readDescription(bytes, `${name}.job`)
  if (!reading.ok) throw new HpcError('description', parseDescriptionProblems(reading.problems, basename(file)))
  const id = makeJobId(gateway.host, '00000000-0000-0000-0000-000000000000')
  const plan = planJob(gateway, reading.description, { id, name, gateway: 'render' })
  if (Array.isArray(plan)) throw new HpcError('description', parseDescriptionProblems(plan, basename(file)))
  try {
    const workDir = spoolAt(plan.site.hpcEnv.workspace).workDir(id, 1)
    const rendered = renderJob(plan.record, plan.lane.name, workDir)
    const bound = [...rendered.values].map(([key, { value, origin }]) => ({ name: key, value, origin }))
    if (json) {
      process.stdout.write(
        `${JSON.stringify({ script: rendered.script, site: plan.site.name, lane: plan.lane.name, values: bound })}\n`,
      )
      return 0
    }
    process.stdout.write(rendered.script)
    if (values) {
      const lines = bound.map(({ name: key, value, origin }) => `${key} = ${JSON.stringify(value)}  (${origin})`)
      process.stderr.write(`site ${plan.site.name}, lane ${plan.lane.name}\n${lines.map(printable).join('\n')}\n`)
    }
    return 0
  } catch (error) {
    throw new HpcError('description', describeError(error), { cause: error })
  }
}
