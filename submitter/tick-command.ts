/** `tick`: one pass, quiet unless something is wrong or a person watches. */
import { describeError } from '../contract/errors.ts'
import type { Gateway } from './gateway.ts'
import { type TickReport, tick } from './tick.ts'

export function exitCodeOf(report: TickReport): number {
  const codes = report.errors.map((error) => error.exitCode)
  if (codes.length === 0) return report.sites.some(({ trouble }) => trouble.length > 0) ? 75 : 0
  // trouble that passes by itself outranks nothing: what only the operator can mend is told first
  return codes.find((code) => code !== 75 && code !== 69) ?? 75
}

/** One line for a person: what this pass did. */
export function summarise(report: TickReport): string {
  const published = report.sites.reduce((sum, site) => sum + site.published.length, 0)
  const delivered = report.sites.reduce((sum, site) => sum + site.delivered.length, 0)
  const parts = [
    `${report.accepted?.accepted ?? 0} accepted`,
    `${report.accepted?.refused ?? 0} refused`,
    `${published} sent`,
    `${delivered} delivered`,
  ]
  const submitted = report.sites.flatMap((site) =>
    site.lanes.filter((lane) => lane.action === 'submitted').map((lane) => `${site.site}/${lane.name}`),
  )
  if (submitted.length > 0) parts.push(`runner submitted for ${submitted.join(', ')}`)
  return parts.join(', ')
}

export async function tickCommand(gateway: Gateway, warnings: readonly string[], json: boolean): Promise<number> {
  for (const warning of warnings) gateway.log.info(warning)
  const report = await tick(gateway)
  for (const error of report.errors) gateway.log.warn(describeError(error))
  for (const site of report.sites) for (const trouble of site.trouble) gateway.log.warn(`${site.site}: ${trouble}`)
  for (const lock of report.busy) gateway.log.debug(`another pass holds ${lock}`)
  if (report.accepted === undefined && report.sites.length === 0 && report.errors.length === 0) {
    process.stderr.write(`another pass is at work (${report.busy[0] ?? 'locks taken'}); nothing to do\n`)
  }
  if (json) process.stdout.write(`${JSON.stringify(jsonReport(report))}\n`)
  else if (process.stdout.isTTY) process.stdout.write(`${summarise(report)}\n`)
  return exitCodeOf(report)
}

function jsonReport(report: TickReport): object {
  return {
    accepted: report.accepted?.accepted ?? 0,
    refused: report.accepted?.refused ?? 0,
    waiting: [...(report.accepted?.waiting ?? []), ...report.sites.flatMap(({ waiting }) => waiting)],
    sites: report.sites.map(({ site, published, delivered, lanes, trouble }) => ({
      site,
      published: published.length,
      delivered: delivered.map(({ name, status }) => ({ name, status })),
      lanes,
      trouble,
    })),
    errors: report.errors.map((error) => ({ code: error.code, message: describeError(error) })),
    busy: report.busy,
  }
}
