import assert from 'node:assert/strict'
import { realpathSync } from 'node:fs'
import { after, test } from 'node:test'
import { sshConfig } from '../support/ssh-site.ts'
import { startSshd } from '../support/sshd.ts'
import { World } from '../support/world.ts'

const root = process.getuid?.() === 0
const skip = root || process.env.CI_NO_SKIP === '1' ? false : 'a mount namespace needs root'

test('P-GW-08: a site where no Node is at all gets one by deploy, and the job runs with it', { skip }, async () => {
  const node = realpathSync(process.execPath)
  // everything the site starts, the runner too, lives where this program's own Node is not there
  const hide = 'mount --bind /dev/null "$1" && shift && exec "$@"'
  const sshd = await startSshd({ within: (argv) => ['unshare', '-m', '/bin/sh', '-c', hide, 'sh', node, ...argv] })
  const world = new World(sshConfig(sshd, { name: 'bare' }))
  after(async () => {
    await world.end()
    await sshd.stop()
  })
  world.template('which', '#!/bin/sh\n[ ! -x <<node>> ] && echo "no node at <<node>>"\n')
  world.drop('a', `script: which\nargs: {node: ${node}}\n`)
  const without = await world.tick()
  assert.equal(without.code, 75, without.stderr)
  assert.match(without.stderr, /no Node 18 or newer on \S+: .*or run hpc-submitter deploy --node FILE/)
  const deployed = await world.cli(['deploy', '--config', world.configFile, '--node'])
  assert.equal(deployed.code, 0, deployed.stderr)
  const ran = await world.go()
  assert.equal(ran.code, 0, ran.stderr)
  const { job } = world.finished('a')
  assert.deepEqual([job.status, job.stdout], ['ok', `no node at ${node}\n`])
})
