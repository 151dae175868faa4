/** `watch`: runs until SIGTERM or SIGINT; a second one ends it at once. */

import cron from 'node-cron'
import { describeError, HpcError } from '../contract/errors.ts'
import type { Gateway } from './gateway.ts'
import type { TickReport } from './tick.ts'
import { summarise } from './tick-command.ts'
import { watch } from './watch.ts'

/** Of the jobs that wait, with --debug. */
const mostTold = 20

/** What was said last is not said again every minute. */
function teller(): (gateway: Gateway, report: TickReport) => void {
  let last = ''
  return (gateway, report) => {
    const troubles = [
      ...report.errors.map(describeError),
      ...report.sites.flatMap(({ site, trouble }) => trouble.map((text) => `${site}: ${text}`)),
    ]
    for (const lock of report.busy) gateway.log.debug(`another pass holds ${lock}`)
    const text = troubles.join('\n')
    if (text !== last) for (const trouble of troubles) gateway.log.warn(trouble)
    if (text === '' && last !== '') gateway.log.warn('all is well again')
    last = text
    const busy =
      (report.accepted?.accepted ?? 0) +
      (report.accepted?.refused ?? 0) +
      report.sites.reduce((sum, site) => sum + site.delivered.length, 0)
    gateway.log[busy > 0 ? 'info' : 'debug'](summarise(report))
    for (const { name, why } of report.accepted?.waiting.slice(0, mostTold) ?? [])
      gateway.log.debug(`${name} waits: ${why}`)
  }
}

export async function watchCommand(
  gateway: Gateway,
  expression: string,
  reload: () => Promise<Gateway | undefined>,
): Promise<number> {
  if (!cron.validate(expression))
    throw new HpcError('usage', `Cannot watch by "${expression}": it is no cron expression`, {
      hint: 'for example --cron "* * * * *"',
    })
  const ended = new Promise<void>((resolve) => {
    let asked = false
    for (const name of ['SIGTERM', 'SIGINT'] as const) {
      process.on(name, () => {
        if (asked) process.exit(0)
        asked = true
        gateway.log.info(`${name}: this pass is ended, then we leave`)
        resolve()
      })
    }
  })
  await watch(gateway, { cron: expression, reload, onReport: teller(), ended })
  return 0
}
