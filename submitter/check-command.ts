/** `check`: everything an operator would otherwise find out at night. Config, dropbox, templates; then each site as it really answers. */
import { describeError, HpcError, printable } from '../contract/errors.ts'
import type { CheckLine } from '../contract/protocol.ts'
import { templateTimeMs, templateWarnings } from '../contract/template.ts'
import { renderBytes } from '../contract/units.ts'
import { W_OK, X_OK } from '../system/os.ts'
import type { Site } from './config.ts'
import { gatewayUuid } from './dropbox.ts'
import type { Gateway } from './gateway.ts'
import { helloOf } from './hello.ts'
import { Session } from './session.ts'
import { readSiteState } from './site-state.ts'
import { findTemplate, listTemplates } from './templates.ts'

interface Section {
  readonly title: string
  readonly lines: readonly CheckLine[]
}

function line(ok: boolean | null, what: string, detail: string, hint?: string): CheckLine {
  return { ok, what, detail, ...(hint === undefined ? {} : { hint }) }
}

function checkDropbox(gateway: Gateway): CheckLine[] {
  const { files, config, uid } = gateway
  const lines: CheckLine[] = []
  try {
    gatewayUuid(gateway)
    files.os.accessSync(config.dropbox, W_OK | X_OK)
    lines.push(line(true, 'dropbox', `${config.dropbox} is there and writable`))
  } catch (error) {
    lines.push(line(false, 'dropbox', describeError(error)))
    return lines
  }
  const stats = files.stat(config.dropbox)
  const mode = stats?.mode ?? 0
  const sticky = (mode & 0o1000) !== 0
  if (stats !== undefined && stats.uid !== uid)
    lines.push(
      line(
        null,
        'dropbox',
        `it belongs to uid ${stats.uid}, not to the gateway's uid ${uid}`,
        'chown it to the gateway',
      ),
    )
  if ((mode & 0o022) !== 0 && !sticky) {
    lines.push(
      line(
        null,
        'dropbox',
        "its group or others may write: members can remove each other's files",
        uid === 0 ? 'chmod +t makes it safe, as this gateway may give files away' : undefined,
      ),
    )
  }
  if (sticky && uid !== 0) {
    lines.push(
      line(
        false,
        'dropbox',
        "it is sticky, and this gateway may not rename other users' files in it",
        'chmod -t, or run the gateway as root',
      ),
    )
  }
  const space = files.space(config.dropbox)
  if (space !== undefined)
    lines.push(
      line(space.bytes > 2 ** 28 && space.inodes > 1000, 'space', `${renderBytes(space.bytes)} free at the dropbox`),
    )
  return lines
}

function checkTemplates(gateway: Gateway): CheckLine[] {
  const names = listTemplates(gateway)
  if (names.length === 0) {
    return [
      line(false, 'templates', `none in ${gateway.config.templates.join(', ')}`, 'put <script>.template files there'),
    ]
  }
  return names.map((name) => {
    const template = findTemplate(gateway, name)
    if ('fault' in template) return line(false, `template ${name}`, template.fault)
    try {
      templateTimeMs(template.text)
      const warnings = templateWarnings(template)
      if (warnings.length === 0) return line(true, `template ${name}`, 'reads well')
      return line(
        null,
        `template ${name}`,
        warnings.map((warning) => `line ${warning.line}: ${warning.message}`).join('; '),
      )
    } catch (error) {
      return line(false, `template ${name}`, describeError(error))
    }
  })
}

async function checkSite(gateway: Gateway, site: Site): Promise<CheckLine[]> {
  const lines: CheckLine[] = []
  const transport = gateway.transportFor(site)
  let session: Session | undefined
  try {
    session = await Session.open(gateway, site, readSiteState(gateway, site.name).workspace !== undefined)
    lines.push(line(true, 'connection', transport.description))
    if (site.transport.type === 'ssh') {
      const { nativeCryptoLoaded } = await import('./transport/native-crypto.ts')
      if (!nativeCryptoLoaded()) {
        lines.push(
          line(
            null,
            'crypto',
            'ssh2 runs without its native part: large transfers are up to a third slower',
            'reinstall where a compiler is at hand: npm rebuild ssh2',
          ),
        )
      }
    }
    const welcome = session.answer('welcome')
    await session.send(
      helloOf(gateway, site, gatewayUuid(gateway), readSiteState(gateway, site.name).workspace ?? null, true),
    )
    await welcome
    const checked = session.answer('checked')
    await session.send({ type: 'check', scheduler: site.scheduler.type })
    lines.push(...(await checked).lines)
  } catch (error) {
    const hint = error instanceof HpcError ? error.hint : undefined
    lines.push(
      line(
        false,
        session === undefined ? 'connection' : 'site',
        error instanceof Error ? error.message : String(error),
        hint,
      ),
    )
  } finally {
    await session?.close()
  }
  return lines
}

export async function checkCommand(
  gateway: Gateway,
  source: string,
  warnings: readonly string[],
  wanted: readonly string[],
  json: boolean,
): Promise<number> {
  const sites = Object.values(gateway.config.sites)
  const unknown = wanted.find((name) => !sites.some((site) => site.name === name))
  if (unknown !== undefined)
    throw new HpcError('usage', `Cannot check "${unknown}": there is no such site`, {
      hint: `sites: ${sites.map(({ name }) => name).join(', ')}`,
    })
  const sections: Section[] = [
    {
      title: 'config',
      lines: [line(true, 'config', source), ...warnings.map((warning) => line(null, 'config', warning))],
    },
    { title: 'dropbox', lines: checkDropbox(gateway) },
    { title: 'templates', lines: checkTemplates(gateway) },
  ]
  const asked = sites.filter(({ name }) => wanted.length === 0 || wanted.includes(name))
  const answers = await Promise.all(asked.map((site) => checkSite(gateway, site)))
  const siteSections = asked.map((site, index) => ({ title: `site ${site.name}`, lines: answers[index] ?? [] }))
  const all = [...sections, ...siteSections]
  if (json) process.stdout.write(`${JSON.stringify(all)}\n`)
  else process.stdout.write(render(all))
  if (sections.some(({ lines }) => lines.some(({ ok }) => ok === false))) return 78
  return siteSections.some(({ lines }) => lines.some(({ ok }) => ok === false)) ? 69 : 0
}

function render(sections: readonly Section[]): string {
  const signs = new Map<boolean | null, string>([
    [true, 'ok  '],
    [null, 'note'],
    [false, 'BAD '],
  ])
  return sections
    .map(({ title, lines }) => {
      const body = lines.map(({ ok, what, detail, hint }) => {
        const told = `  ${signs.get(ok)}  ${what}: ${printable(detail)}`
        return hint === undefined ? told : `${told}\n        → ${printable(hint)}`
      })
      return `${title}\n${body.join('\n')}\n`
    })
    .join('')
}
