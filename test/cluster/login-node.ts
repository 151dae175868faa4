/**
 * Another login node of the cluster: an sshd with the cluster's keys in namespaces of its own, so that its host name, boot id, processes and,
 * if wanted, mounts are its own, while workspace and scheduler are shared.
 */
import { spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { freePort, publicKeyOf } from '../support/sshd.ts'
import { until } from '../support/world.ts'
import { account, home, keyFile } from './lab.ts'

export interface LoginNode {
  readonly port: number
  stop(): Promise<void>
}

/** `prepare`: shell lines run in its namespaces before sshd starts; `dir` holds its few files. */
export async function startLoginNode(name: string, dir: string, prepare = ':'): Promise<LoginNode> {
  const port = await freePort()
  const file = (what: string) => join(dir, `${name}.${what}`)
  const config = readFileSync(join(home, 'etc/sshd_config'), 'utf8')
    .replace(/^ListenAddress .*$/m, `ListenAddress 127.0.0.1:${port}`)
    .replace(/^PidFile .*$/m, `PidFile ${file('pid')}`)
  writeFileSync(file('conf'), config)
  writeFileSync(file('boot'), `${randomUUID()}\n`)
  const script = `hostname ${name} && mount --bind ${file('boot')} /proc/sys/kernel/random/boot_id && { ${prepare}
} && exec /usr/sbin/sshd -D -e -f ${file('conf')}`
  const words = ['--mount', '--uts', '--pid', '--fork', '--mount-proc', '--kill-child', 'sh', '-c', script]
  const child = spawn('unshare', words, { stdio: ['ignore', 'ignore', 'pipe'] })
  let said = ''
  child.stderr.on('data', (chunk: Buffer) => {
    said += chunk.toString('utf8')
  })
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()))
  await until(`sshd of ${name}`, () => {
    if (child.exitCode !== null) throw new Error(`${name} did not come up: ${said}`)
    return said.includes('Server listening')
  })
  return {
    port,
    async stop() {
      child.kill('SIGKILL')
      await ended
    },
  }
}

/** A transport through one of the cluster's login nodes at that port, known by its key wherever it is. */
export function sshThrough(port: number, more = ''): string {
  const key = publicKeyOf(join(home, 'keys/host_ed25519'))
  return `{type: ssh, host: 127.0.0.1, port: ${port}, user: ${account}, key_file: ${keyFile}, host_key: "${key}", ssh_config: "false"${more === '' ? '' : `, ${more}`}}`
}
