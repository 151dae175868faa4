/** `deploy`: puts the programs, and with --node a Node, into a site's workspace, and sees that they run there. */
import { join } from 'node:path'
import { HpcError, printable } from '../contract/errors.ts'
import { shellQuoted } from '../contract/shell-text.ts'
import type { Site } from './config.ts'
import type { Gateway } from './gateway.ts'
import { inTime, startInTime, uploadPrograms } from './session.ts'
import { inAnyShell } from './start-queuer.ts'
import type { Channel, Connection } from './transport/transport.ts'

async function said(channel: Channel): Promise<{ code: number | null; stdout: string; stderr: string }> {
  let stdout = ''
  let stderr = ''
  channel.stdout.on('data', (chunk: Buffer) => {
    stdout += chunk.toString('utf8')
  })
  channel.stderr.on('data', (chunk: Buffer) => {
    stderr += chunk.toString('utf8')
  })
  channel.stdin.end()
  const { code } = await channel.exited
  return { code, stdout, stderr }
}

/** Uploads a Node and lets it say its version there: the one proof that it runs on that system. */
async function putNode(gateway: Gateway, connection: Connection, site: Site, file: string): Promise<void> {
  const target = join(site.hpcEnv.workspace, 'programs', 'node', 'bin', 'node')
  const total = gateway.files.stat(gateway.files.os.realpathSync(file))?.size ?? 0
  const fresh = `${target}.new`
  await connection.putFile(file, fresh, 0o700, (done) =>
    gateway.progress({ what: `node to ${site.name}`, done, total }),
  )
  const inShell = (script: string) => {
    const answer = async () => said(await connection.exec(inAnyShell(script)))
    return inTime(gateway, site, 'try the new Node', answer())
  }
  const { code, stdout, stderr } = await inShell(`exec ${shellQuoted(fresh)} -p process.version`)
  // the last one: a greeting of the login shell may name versions too
  const version = [...stdout.matchAll(/v(\d+)\.\d+\.\d+/g)].at(-1)
  if (code !== 0 || version === undefined || Number(version[1]) < 18) {
    await inShell(`rm -f ${shellQuoted(fresh)}`)
    const why =
      version === undefined
        ? printable((stderr || stdout).trim().slice(-300) || `exit code ${code}`)
        : `it is ${version[0]}; 18 or newer is needed`
    throw new HpcError(
      'site',
      `Cannot use ${file} at site "${site.name}": it was uploaded and does not run there: ${why}`,
      {
        hint: 'take the official Linux build for that system (glibc 2.28 or newer for Node 18 and later), or set node: of the site',
      },
    )
  }
  // only a Node that has run there replaces the one before
  const moved = await inShell(`mv -f ${shellQuoted(fresh)} ${shellQuoted(target)}`)
  if (moved.code !== 0) throw new HpcError('site', `Cannot put ${target} in place: ${printable(moved.stderr.trim())}`)
  process.stdout.write(`${site.name}: Node ${version[0]} is in ${target}\n`)
}

export async function deployCommand(
  gateway: Gateway,
  wanted: readonly string[],
  node: string | undefined,
): Promise<number> {
  const sites = Object.values(gateway.config.sites)
  const unknown = wanted.find((name) => !sites.some((site) => site.name === name))
  if (unknown !== undefined)
    throw new HpcError('usage', `Cannot deploy to "${unknown}": there is no such site`, {
      hint: `sites: ${sites.map(({ name }) => name).join(', ')}`,
    })
  const own = gateway.files.os.realpathSync(process.execPath)
  const file = node === '' ? own : node
  if (file !== undefined && gateway.files.stat(gateway.files.os.realpathSync(file))?.isFile() !== true) {
    throw new HpcError('usage', `Cannot deploy ${file}: it is no regular file`)
  }
  for (const site of sites.filter(({ name }) => wanted.length === 0 || wanted.includes(name))) {
    const connection = await gateway.transportFor(site).connect()
    try {
      await uploadPrograms(gateway, connection, site)
      const folder = join(site.hpcEnv.workspace, 'programs', gateway.programs().folder)
      process.stdout.write(`${site.name}: hpc_queuer and hpc_runner are in ${folder}\n`)
      if (file !== undefined) await putNode(gateway, connection, site, file)
      const started = await startInTime(gateway, connection, site)
      if (!started.ready)
        throw new HpcError('site', `Cannot start hpc_queuer at site "${site.name}": ${started.detail || started.needs}`)
      started.channel.kill()
      process.stdout.write(`${site.name}: hpc_queuer runs\n`)
    } finally {
      await connection.close()
    }
  }
  return 0
}
