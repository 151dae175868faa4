/** Lanes of several nodes: slots on the other one, by srun. */
import assert from 'node:assert/strict'
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, it } from 'node:test'
import { lives } from '../support/site.ts'
import { until } from '../support/world.ts'
import { asRoot, Lab, meetingPlace, theCluster } from './lab.ts'

theCluster('several nodes', {}, () => {
  let place: Lab
  let dir: string
  before(() => {
    place = new Lab({
      lane: '{queue: both, nodes: 2, slots: 2, cpus: 2, memory: 256M, time: 1h}',
      folder: 'lab of  several nodes (odd)',
    })
    dir = meetingPlace(place)
  })
  after(() => place.end())
  const at = (name: string) => join(dir, name)
  const nodeOf = (name: string) => /attempt \d+ on (\S+) in/.exec(JSON.stringify(place.finished(name).job.history))?.[1]
  const steps = async () => {
    const { id } = await place.allocation('RUNNING')
    const text = await asRoot('squeue', '--steps', `--jobs=${id}`, '--noheader', '--format=%i %j')
    return text.split('\n').filter((line) => line !== '' && !line.endsWith(' batch'))
  }
  /** In the first slot, which is of the runner's own node, until the file `go` is there: the next job is on the other one. */
  const occupyOwnNode = async (name: string) => {
    place.template(
      'occupies',
      `#!/bin/sh\n: >'${dir}'/<<job_id>>\nuntil [ -e '${dir}/go.<<n>>' ]; do sleep 0.1; done\n`,
    )
    place.drop(name, `script: occupies\nargs: {n: ${name}}\n`)
    await place.tick()
    await place.allocation('RUNNING')
  }

  it('two jobs of one lane run at once, each on a node of its own, and both bring their outputs', async () => {
    place.template(
      'meets',
      `#!/bin/sh
: >'${dir}/here.<<n>>'
until [ -e '${dir}/here.1' ] && [ -e '${dir}/here.2' ]; do sleep 0.1; done
echo "$SLURMD_NODENAME $HPC_ARG_n $(umask) $(pwd -P) $(wc -c)" | tee output/<<o>>
echo said >&2
`,
    )
    for (const n of ['1', '2'])
      place.drop(
        `meets${n}`,
        `script: meets\nargs: {n: "${n}"}\noutput_map: {o: ${JSON.stringify(place.out(`o${n}`))}}\n`,
      )
    await place.finish('meets1')
    await place.finish('meets2')
    const nodes = ['1', '2'].map((n) => {
      const { job } = place.finished(`meets${n}`)
      assert.deepEqual([job.status, job.rc, job.attempts], ['ok', 0, 1], JSON.stringify(job))
      const text = readFileSync(place.out(`o${n}`), 'utf8')
      const [node, value, mask, rest] = /^(\S+) (\S+) (\S+) (.*) 0\n$/.exec(text)?.slice(1) ?? []
      assert.deepEqual([value, mask, rest?.startsWith(place.workspace)], [n, '0077', true], text)
      assert.equal(job.stdout, text)
      assert.equal(job.stderr, 'said\n')
      return node
    })
    assert.deepEqual(nodes.toSorted(), ['cpu001', 'gpu001'])
    await place.drained()
  })

  it('on the other node a script fails with its own code and nothing of srun in its streams, and a signal is told', async () => {
    await occupyOwnNode('first')
    place.template('fails', '#!/bin/sh\necho "$SLURMD_NODENAME"\necho why >&2\n<<&how>>\n')
    for (const [name, how, rc] of [
      ['fails', 'exit 3', 3],
      ['killed', 'kill -KILL $$', -9],
    ] as const) {
      place.drop(name, `script: fails\nargs: {how: "${how}"}\n`)
      await place.finish(name)
      const { job } = place.finished(name)
      assert.deepEqual([job.status, job.rc, job.attempts, job.stderr], ['error', rc, 1, 'why\n'], JSON.stringify(job))
      assert.equal(job.stdout.trim(), nodeOf(name))
    }
    writeFileSync(at('go.first'), '')
    await place.finish('first')
    assert.notEqual(nodeOf('first'), nodeOf('fails'))
    await place.drained()
  })

  it('a job that is cancelled on the other node hears TERM, is killed after the grace, and leaves no process', async () => {
    await occupyOwnNode('second')
    // neither the mark nor the session tells of it: from the runner’s side only its step can be ended
    place.template(
      'deaf',
      `#!/bin/sh
exec env -i setsid -w /bin/sh -c 'trap ": >heard" TERM; echo $$ >pid.new; mv pid.new pid; while :; do sleep 0.2; done' </dev/null
`,
    )
    place.drop('deaf', 'script: deaf\n')
    let pid = 0
    await place.tick()
    await until('it to run', async () => {
      const found = await asRoot('find', place.workspace, '-name', 'pid')
      if (found.trim() === '') return false
      pid = Number(readFileSync(found.trim(), 'utf8'))
      return true
    })
    assert.equal((await steps()).length, 1)
    const heard = join((await asRoot('readlink', `/proc/${pid}/cwd`)).trim(), 'heard')
    writeFileSync(join(place.dropbox, 'deaf.job.cancel'), '')
    await place.tick()
    await until('TERM to be heard', () => existsSync(heard))
    assert.ok(lives(pid), 'within the grace')
    await place.finish('deaf')
    assert.equal(place.finished('deaf').job.state, 'cancelled')
    assert.equal(lives(pid), false)
    assert.deepEqual(await steps(), [])
    writeFileSync(at('go.second'), '')
    await place.finish('second')
    await place.drained()
  })

  it('a job whose srun is killed runs again, when what it had started on the other node has ended', async () => {
    await occupyOwnNode('third')
    place.template(
      'again',
      `#!/bin/sh
exec 9>>'${dir}/lock'
flock -n 9 || echo together >>'${dir}/together'
echo start >>'${dir}/starts'
until [ -e '${dir}/go.again' ]; do sleep 0.1; done
`,
    )
    place.drop('again', 'script: again\n')
    await place.tick()
    await until('it to run', () => existsSync(at('starts')))
    const [mark = ''] = (await steps()).map((line) => line.split(' ')[1] ?? '')
    const pids = await asRoot('pgrep', '-f', `^srun .*--job-name=${mark} `)
    for (const pid of pids.trim().split('\n')) process.kill(Number(pid), 'SIGKILL')
    await until('it to start again', () => readFileSync(at('starts'), 'utf8') === 'start\nstart\n')
    writeFileSync(at('go.again'), '')
    await place.finish('again')
    const { job } = place.finished('again')
    assert.deepEqual([job.status, job.rc, job.attempts], ['ok', 0, 2], JSON.stringify(job))
    assert.equal(existsSync(at('together')), false)
    writeFileSync(at('go.third'), '')
    await place.finish('third')
  })

  it('a job on the other node of a cancelled allocation is interrupted, and runs again in the next', async () => {
    await place.drained()
    place.template('waits', `#!/bin/sh\n: >'${dir}/waits.<<n>>'\nuntil [ -e '${dir}/go.waits' ]; do sleep 0.1; done\n`)
    for (const n of [1, 2]) place.drop(`waits${n}`, `script: waits\nargs: {n: ${n}}\n`)
    await place.tick()
    await until('both to run', () => existsSync(at('waits.1')) && existsSync(at('waits.2')))
    const { id } = await place.allocation('RUNNING')
    await asRoot('scancel', id)
    await place.drained()
    writeFileSync(at('go.waits'), '')
    for (const name of ['waits1', 'waits2']) {
      await place.finish(name)
      const { job } = place.finished(name)
      assert.deepEqual([job.status, job.attempts], ['ok', 2], JSON.stringify(job))
      assert.match(JSON.stringify(job.history), /attempt 1 on [^"]*: interrupted"/)
    }
  })

  it('a preflight that fails on the other node keeps jobs away', async () => {
    await place.drained()
    const lane = 'queue: both, nodes: 2, slots: 2, memory: 256M, time: 1h'
    const preflight = `test ! -e '${dir}/bad' || test $SLURMD_NODENAME = $(cat '${dir}/bad')`
    writeFileSync(place.configFile, place.config({ lane: `{${lane}, preflight: ${JSON.stringify(preflight)}}` }))
    writeFileSync(at('bad'), nodeOf('fails') === 'gpu001' ? 'cpu001' : 'gpu001')
    place.drop('later', 'script: "true"\n')
    await place.tick()
    await place.drained()
    await place.tick()
    assert.match(await place.status(), new RegExp(`preflight failed on ${nodeOf('fails')} with 1`))
    rmSync(at('bad'))
  })
})
