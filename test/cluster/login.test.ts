/** What start-up files and login shells of an account may do, and the pass goes through all the same. One test at a time. */
import assert from 'node:assert/strict'
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, afterEach, it } from 'node:test'
import { account, asAccount, asRoot, Lab, type LabOptions, theCluster } from './lab.ts'

const startUp = ['.bashrc', '.tcshrc', '.login'].map((name) => join('/home', account, name))

theCluster('a login with habits', {}, () => {
  const before = new Map(startUp.map((path) => [path, existsSync(path) ? readFileSync(path) : undefined]))
  const restore = async () => {
    for (const [path, content] of before) {
      if (content === undefined) rmSync(path, { force: true })
      else writeFileSync(path, content)
    }
    await asRoot('usermod', '-s', '/bin/bash', account)
  }
  let place: Lab
  const world = (options?: LabOptions) => {
    place = new Lab(options)
    place.dropCopy('a', place.input('a b.txt', 'content'))
  }
  const goes = async () => {
    const ran = await place.go()
    assert.equal(ran.code, 0, ran.stderr)
    assert.equal(place.finished('a').job.message, 'processed OK')
    assert.equal(readFileSync(place.out('a'), 'utf8'), 'content')
  }
  afterEach(async () => {
    await restore()
    await place.end()
  })
  after(restore)

  it('P-HB-18: a .bashrc that greets, sets -u, traps, complains and ends with an error', async () => {
    world()
    const greeting = 'Welcome to the lab, OS v7.1.2: down for maintenance on Friday\\n\\0\\377'
    writeFileSync(
      startUp[0]!,
      `for n in $(seq 500); do printf '${greeting}'; done\necho oops >&2\nset -u\nIFS=:\nalias exec=false\ntrap 'echo bye' EXIT\nfalse\n`,
    )
    await goes()
  })

  it('P-HB-18: a C shell that greets, with a path that holds what it would expand', async () => {
    world({ folder: `lab it's !1 $HOME ${process.pid}` })
    await asRoot('usermod', '-s', '/bin/tcsh', account)
    writeFileSync(startUp[1]!, 'echo "this is tcsh"\nset noclobber\nset history = 100\nset nonomatch\n')
    const shell = await asAccount(['getent', 'passwd', account])
    assert.match(shell.stdout, /:\/bin\/tcsh\n$/)
    await goes()
  })

  it('P-GW-08: a site without any Node says so, and has one after deploy --node', async () => {
    world()
    // a PATH like that of a machine where Node was never installed, for the login shell and what is submitted from it
    const bin = join(place.folder, 'usr-bin')
    const made = await asAccount([
      '/bin/sh',
      '-c',
      'mkdir "$1" && ln -s /usr/bin/* "$1" && rm -f "$1/node" "$1/nodejs"; [ ! -e "$1/node" ]',
      'sh',
      bin,
    ])
    assert.equal(made.code, 0, made.stderr)
    writeFileSync(startUp[0]!, `echo 'Welcome to the lab, OS v7.1.2'\nPATH=${bin}:/bin-of-nothing\n`)
    const without = await place.tick()
    assert.equal(without.code, 75, without.stderr)
    assert.match(
      without.stderr,
      /no Node 18 or newer on \S+: set node: of this site .*or run hpc-submitter deploy --node FILE/,
    )
    assert.ok(place.has('a.job.submitted'))

    const notNode = await place.cli(['deploy', '--config', place.configFile, '--node', '/bin/echo'])
    assert.notEqual(notNode.code, 0)
    assert.match(notNode.stderr, /uploaded and does not run there/)
    const deployed = await place.cli(['deploy', '--config', place.configFile, '--node', process.execPath])
    assert.equal(deployed.code, 0, deployed.stderr)
    assert.match(deployed.stdout, new RegExp(`Node ${process.version.replaceAll('.', '\\.')} is in `))
    await place.finish('a')
    assert.equal(place.finished('a').job.status, 'ok')
    const [runner = ''] = place.runnersOf('a')
    assert.notEqual(runner, '')
  })
})
