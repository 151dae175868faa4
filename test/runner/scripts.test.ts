/** What scripts do to a runner, and what their results say: one real runner, real scripts. */
import assert from 'node:assert/strict'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import type { JobRecord, ResultRecord } from '../../contract/spool-records.ts'
import { lives, names, Site } from '../support/site.ts'

const sh = (text: string) => `#!/bin/sh\n${text}\n`

describe('hpc_runner with scripts of every kind', () => {
  const site = new Site()
  const jobs: Record<string, JobRecord> = {}
  const result = (name: string): ResultRecord => {
    const job = jobs[name]
    const found = job === undefined ? undefined : site.result(job)
    assert.ok(found, `no result for ${name}`)
    return found
  }
  after(() => site.end())
  before(async () => {
    const add = async (name: string, template: string, more: object = {}) => {
      jobs[name] = await site.publish({ template, ...more })
    }
    writeFileSync(join(site.dir, 'secret'), 'not for the job')
    await add('no shebang', 'echo plain\nexit 5\n')
    await add('no interpreter', '#!/no/such/interpreter\n')
    await add('deletes its folder', sh('rm -rf <<workspace>>'))
    await add('streams closed', sh('exec <&- >&- 2>&-; echo x >/dev/null; exit 4'))
    await add('killed', sh('kill -9 $$'))
    await add('terminated itself', sh('kill -TERM $$; sleep 5'))
    await add('exit 137', sh('exit 137'))
    await add('exit 255', sh('exit 255'))
    await add('kills its group', sh('kill -9 0'))
    await add('kills its launcher', sh('kill -9 $PPID 0'), { maxAttempts: 1 })
    await add('after the launcher was killed', sh('echo fine'))
    await add('background', sh(`sleep 300 & echo $! >${site.dir}/background`))
    await add('background in its own session', sh(`setsid sleep 300 & echo $! >${site.dir}/setsid; sleep 0.4`))
    await add(
      'short, background in its own session',
      sh(`setsid sh -c 'echo $$ >${site.dir}/quick; exec sleep 300' & while ! [ -s ${site.dir}/quick ]; do :; done`),
    )
    await add('output ok', sh('cp input/in output/o; chmod 640 output/o'), {
      inputs: { in: 'content' },
      outputs: ['o'],
    })
    await add('output beside', sh('cp in o'), { inputs: { in: 'content' }, outputs: ['o'] })
    await add('output twice', sh('echo 1 >o; echo 2 >output/o'), { outputs: ['o'] })
    await add('output missing', sh('true'), { outputs: ['o', 'p'] })
    await add('output link', sh(`ln -s ${site.dir}/secret output/o`), { outputs: ['o'] })
    await add('output folder linked', sh(`rmdir output; ln -s ${site.dir} output`), { outputs: ['secret'] })
    await add('output fifo', sh('mkfifo output/o'), { outputs: ['o'] })
    await add('output socket', sh(`python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind("output/o")'`), {
      outputs: ['o'],
    })
    await add(
      'output folder',
      sh(
        `mkdir -p output/d/e output/d/empty; echo 1 >output/d/e/f; ln -s /etc/passwd output/d/link; mkfifo output/d/pipe`,
      ),
      { outputs: ['d'] },
    )
    await add('output unreadable', sh('echo 1 >output/o; chmod 0 output/o output .'), { outputs: ['o'] })
    await add('values', sh(`printf '%s\\n' <<a>> "$HPC_ARG_a" "$HPC_BATCH_SECRET"`), {
      args: { a: 'x; $(touch /tmp/never) \' "' },
    })
    await add('memory', sh(`exec python3 -c 'import time; x = b"x" * 60_000_000; time.sleep(3)'`))
    await add('last', sh('pwd; umask; cat; echo done'))
    const runner = await site.drain({ HPC_BATCH_SECRET: 'leaked' })
    assert.equal(site.runnerEnd(runner)?.how, 'drained', runner.stderr())
  })

  test('P-HB-20: whatever a script does, the jobs after it run', () => {
    assert.deepEqual(
      Object.keys(jobs).filter((name) => site.result(jobs[name] as JobRecord) === undefined),
      [],
    )
    assert.equal(site.done().length, Object.keys(jobs).length)
    assert.equal(site.stdout(jobs.last as JobRecord), `${site.spool.workDir(jobs.last?.id ?? '', 1)}\n0077\ndone\n`)
    assert.equal(result('after the launcher was killed').rc, 0)
  })

  test('P-HB-20: a script without a first line is run by the shell, one without its interpreter ends with 127', () => {
    assert.equal(result('no shebang').rc, 5)
    assert.equal(site.stdout(jobs['no shebang'] as JobRecord), 'plain\n')
    assert.equal(result('no interpreter').rc, 127)
    assert.match(site.stderr(jobs['no interpreter'] as JobRecord), /not found|No such file/)
  })

  test('HB-25: a signal is a negative rc, an exit code is itself', () => {
    assert.deepEqual(
      ['killed', 'kills its group', 'terminated itself', 'exit 137', 'exit 255', 'streams closed'].map(
        (name) => result(name).rc,
      ),
      [-9, -9, -15, 137, 255, 4],
    )
  })

  test('P-AR-05: a script that took its launcher along has no exit code and never counts as a success', () => {
    const { state, rc, message } = result('kills its launcher')
    assert.deepEqual([state, rc], ['aborted', null])
    assert.match(
      message ?? '',
      /without telling its exit code once \(max_attempts\), the last on node \S+ in allocation default-1~/,
    )
  })

  test('what a script leaves in the background ends with it, sessions of its own included', () => {
    for (const name of ['background', 'setsid', 'quick']) {
      const pid = Number(readFileSync(join(site.dir, name), 'utf8'))
      assert.ok(pid > 0)
      assert.equal(lives(pid), false, name)
    }
    assert.equal(result('background').rc, 0)
    assert.equal(result('background in its own session').rc, 0)
  })

  test('HB-05: outputs are taken from output/ and from beside it, with size, digest and mode', () => {
    const entry = { path: '', size: 7, sha256: 'ed7002b439e9ac845f22357d822bac1444730fbdb6016d3ec9432297b9ec9f73' }
    assert.deepEqual(result('output ok').outputs, [
      { key: 'o', name: 'o', kind: 'file', files: [{ ...entry, mode: 0o640 }], folders: [] },
    ])
    assert.deepEqual(result('output beside').outputs[0]?.files, [{ ...entry, mode: 0o600 }])
    assert.deepEqual(result('output missing').missing, ['o', 'p'])
    assert.match(result('output twice').message ?? '', /"o".* was written twice, in output\/ and beside it/)
  })

  test('section 12: links, pipes and sockets are never outputs, and no link leads out', () => {
    for (const name of ['output link', 'output fifo', 'output socket']) {
      assert.match(result(name).message ?? '', /"o".*link or special file/, name)
      assert.deepEqual(result(name).outputs, [])
    }
    assert.deepEqual([result('output folder linked').outputs, result('output folder linked').missing], [[], ['secret']])
    const [folder] = result('output folder').outputs
    assert.deepEqual(
      [folder?.kind, folder?.files.map(({ path }) => path), folder?.folders.map(({ path }) => path)],
      ['folder', ['e/f'], ['e', 'empty']],
    )
    assert.equal(result('output folder').warnings.length, 2)
  })

  test('a job that takes all rights from its files is told so, and harms no other', () => {
    if (process.getuid?.() === 0) assert.equal(result('output unreadable').outputs.length, 1)
    else assert.match(result('output unreadable').message ?? '', /"o".* cannot be read \(EACCES\)/)
  })

  test('promise 9: a value is data, and the environment is from an allow-list', () => {
    const value = 'x; $(touch /tmp/never) \' "'
    assert.equal(site.stdout(jobs.values as JobRecord), `${value}\n${value}\n\n`)
    assert.equal(existsSync('/tmp/never'), false)
  })

  test('a job that ran long enough to be seen has its CPU time and its peak memory', () => {
    assert.ok((result('memory').peakMemoryBytes ?? 0) > 50_000_000, `${result('memory').peakMemoryBytes}`)
    assert.ok((result('memory').cpuMs ?? -1) >= 0)
    assert.equal(result('last').peakMemoryBytes, undefined)
  })

  test('nothing of a drained lane stays behind but its done keys', () => {
    assert.deepEqual(names(site.spool.runnings), [])
    assert.deepEqual(names(site.spool.queue(site.shape.lane)), [])
  })
})
