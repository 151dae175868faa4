/** A site behind a real sshd: its config, and connections to it. */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type SshSettings, sshTransport } from '../../submitter/transport/ssh.ts'
import type { Connection } from '../../submitter/transport/transport.ts'
import type { Sshd } from './sshd.ts'
import type { World } from './world.ts'

export interface SshSite {
  readonly name?: string
  /** `{dir}` in it is the world's folder. */
  readonly workspace?: string
  /** Further lines of the site, each indented by four. */
  readonly more?: string
}

/** A config with one site behind `sshd`, to give to a `World`. */
export function sshConfig(
  sshd: Sshd,
  { name = 'far', workspace = '{dir}/workspace', more = '' }: SshSite = {},
): string {
  return `dropbox: ./dropbox
templates: ./templates
state: ./state
sites:
  ${name}:
    transport: {type: ssh, host: 127.0.0.1, port: ${sshd.port}, user: ${sshd.user}, key_file: ${sshd.keyFile}, known_hosts: ${sshd.knownHosts()}, ssh_config: "false"}
    scheduler: {type: local}
    hpc_env: {workspace: "${workspace}"}
${more}`
}

/** From here on the world's site lies behind `sshd`. */
export function reach(world: World, sshd: Sshd, site: SshSite = {}): void {
  writeFileSync(world.configFile, sshConfig(sshd, site).replaceAll('{dir}', world.dir))
}

/** The server as it is reached by a proxy at `port`. */
export function through(sshd: Sshd, port: number): Sshd {
  return {
    ...sshd,
    port,
    knownHosts(kinds) {
      const path = join(sshd.folder, `known_hosts.${port}`)
      writeFileSync(path, readFileSync(sshd.knownHosts(kinds), 'utf8').replaceAll(`:${sshd.port} `, `:${port} `))
      return path
    },
  }
}

/** A connection as a site's transport makes it. */
export async function connectTo(sshd: Sshd): Promise<Connection> {
  const configFile = join(sshd.folder, 'ssh_config')
  writeFileSync(configFile, '')
  const { port, user, keyFile } = sshd
  const settings = { host: '127.0.0.1', port, user, key_file: keyFile, known_hosts: sshd.knownHosts() }
  return sshTransport({ ...settings, ssh_config: configFile } as SshSettings, {}).connect()
}
