/** Starting hpc_queuer on the other side: one command line valid in any login shell, and what it answers when something is lacking. */
import { join } from 'node:path'
import { HpcError, printable } from '../contract/errors.ts'
import { needMark, readyMark } from '../contract/protocol.ts'
import { findNodeLines, shellQuoted } from '../contract/shell-text.ts'
import type { Site } from './config.ts'
import type { Programs } from './programs.ts'
import type { Channel, Connection } from './transport/transport.ts'

const noiseLimit = 256 * 1024

/**
 * A command line that runs POSIX shell text under any login shell. What stands between the quotes is one line, and without `!`: csh
 * expands that even there.
 */
export function inAnyShell(script: string): string {
  const oneLine = script.replaceAll('\\', '\\\\').replaceAll('\n', '\\n').replaceAll('!', '\\0041')
  const quote = (text: string) => `'${text.replaceAll("'", "'\\''")}'`
  return `exec /bin/sh -c ${quote('eval "$(printf %b "$1")"')} sh ${quote(oneLine)}`
}

export function queuerCommand(site: Site, programs: Programs, debug: boolean): string {
  const workspace = site.hpcEnv.workspace
  const dir = join(workspace, 'programs', programs.folder)
  // before anything of it is run: whoever made this folder before us could have put programs of his own there
  const script = `d=${shellQuoted(dir)}; w=${shellQuoted(workspace)}
for f in "$w" "$w/programs" "$d" "$d/hpc_queuer" "$d/hpc_runner"; do
  [ ! -e "$f" ] || [ -O "$f" ] || { echo "${needMark}owner: $f belongs to somebody else than $(id -un); set hpc_env.workspace to a folder of that account"; exit 77; }
done
if [ -r "$d/hpc_queuer" ] && [ -r "$d/hpc_runner" ]; then :; else
  if [ -e "$w/.hpc-workspace" ]; then m=marked; elif [ -e "$w" ]; then m=unmarked; else m=absent; fi
  echo "${needMark}programs: $m"; exit 69
fi
${findNodeLines(site.node, [join(workspace, 'programs', 'node', 'bin', 'node')], `${needMark}node: `)}
exec "$NODE" "$d/hpc_queuer" --workspace "$w" --digest ${programs.queuerDigest} --runner-digest ${programs.runnerDigest}${debug ? ' --debug' : ''}
`
  return inAnyShell(script)
}

export type Started =
  | { readonly ready: true; readonly channel: Channel; readonly rest: Buffer; readonly noise: string }
  | { readonly ready: false; readonly needs: string; readonly detail: string }

/** Reads until the queuer says that it is ready, past whatever the login shell prints first. */
export async function startQueuer(
  connection: Connection,
  site: Site,
  programs: Programs,
  debug: boolean,
): Promise<Started> {
  const channel = await connection.exec(queuerCommand(site, programs, debug))
  let stderr = ''
  channel.stderr.on('data', (chunk: Buffer) => {
    if (stderr.length < 8192) stderr += chunk.toString('utf8')
  })
  channel.stderr.on('error', () => undefined)
  channel.exited.catch(() => undefined)
  let seen = Buffer.alloc(0)
  const found = await new Promise<Started | undefined>((resolve, reject) => {
    const look = (chunk: Buffer) => {
      seen = Buffer.concat([seen, chunk])
      const at = seen.indexOf(readyMark)
      if (at >= 0) {
        stop()
        channel.stdout.pause()
        const noise = seen.subarray(0, at).toString('utf8')
        resolve({ ready: true, channel, rest: seen.subarray(at + readyMark.length), noise })
      } else if (seen.length > noiseLimit) {
        stop()
        resolve(undefined)
      }
    }
    const end = () => {
      stop()
      resolve(needs(seen.toString('utf8')))
    }
    const stop = () => {
      channel.stdout.off('data', look).off('end', end)
    }
    channel.stdout.on('data', look).on('end', end)
    channel.stdout.once('error', reject)
    connection.broken.catch(reject)
  })
  if (found !== undefined) return found
  channel.kill()
  const said = [seen.toString('utf8').slice(-500).trim(), stderr.slice(-500).trim()]
    .filter((text) => text !== '')
    .join('; ')
  throw new HpcError(
    'site',
    `Cannot start hpc_queuer at site "${site.name}": it answered ${said === '' ? 'nothing' : `"${printable(said)}"`}`,
    {
      hint: 'see that the account may run /bin/sh there and that its start-up files end without an error',
      concerns: { site: site.name },
    },
  )
}

function needs(text: string): Started | undefined {
  const at = text.indexOf(needMark)
  if (at < 0) return undefined
  const [what = '', ...detail] = (text.slice(at + needMark.length).split('\n')[0] ?? '').split(': ')
  return { ready: false, needs: what, detail: detail.join(': ') }
}
