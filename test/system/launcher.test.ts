import assert from 'node:assert/strict'
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, test } from 'node:test'
import { type Exit, parseExitFile } from '../../contract/exit-file.ts'
import { jobMark, markName } from '../../contract/job-mark.ts'
import { launcherText, type ScriptStart } from '../../contract/launcher.ts'
import { stepText } from '../../contract/step-script.ts'
import { groupLives, type Launcher, processesMarked, signal, startLauncher } from '../../system/process.ts'
import { lives } from '../support/site.ts'
import { until } from '../support/world.ts'

describe('a launcher', () => {
  const dir = mkdtempSync(join(tmpdir(), 'hpc-launcher-'))
  const launchers: Launcher[] = []
  after(() => {
    for (const { pid } of launchers) signal(pid, 'SIGKILL')
    rmSync(dir, { recursive: true, force: true })
  })
  const file = join(dir, 'job-wrapper.sh')
  writeFileSync(file, launcherText)
  const launcher = async (env: Record<string, string> = { PATH: process.env.PATH ?? '' }) => {
    const one = await startLauncher(file, env)
    launchers.push(one)
    return one
  }
  let count = 0
  const prepare = (text: string, environment: Record<string, string> = {}): ScriptStart => {
    count += 1
    const workDir = join(dir, `${count} it's`)
    mkdirSync(workDir)
    const script = join(workDir, 'job.sh')
    writeFileSync(script, `#!/bin/sh\n${text}\n`)
    chmodSync(script, 0o700)
    const at = (name: string) => join(workDir, name)
    return { script, shell: undefined, workDir, stdout: at('out'), stderr: at('err'), exit: at('rc'), environment }
  }
  const exitOf = (start: ScriptStart): Exit | undefined =>
    parseExitFile(existsSync(start.exit) ? readFileSync(start.exit, 'utf8') : undefined)
  const said = (start: ScriptStart) => readFileSync(start.stdout, 'utf8')
  const run = async (one: Launcher, text: string, environment?: Record<string, string>) => {
    const start = prepare(text, environment)
    one.load(start)
    await one.go()
    return start
  }

  for (const [text, rc] of [
    ['exit 0', 0],
    ['exit 1', 1],
    ['exit 125', 125],
    ['exit 137', 137],
    ['kill -9 $$', -9],
    ['kill -TERM $$', -15],
    ['kill -SEGV $$', -11],
    ['kill -9 0', -9],
  ] as const) {
    test(`HB-25: tells of "${text}" as ${rc}, and goes on`, async () => {
      const one = await launcher()
      assert.equal(exitOf(await run(one, text))?.rc, rc)
      assert.equal(exitOf(await run(one, 'exit 7'))?.rc, 7)
    })
  }

  const step = join(dir, "job-step 'x'.sh")
  writeFileSync(step, stepText)
  /** As on another node, with bash in the place of srun. */
  const runFar = async (text: string, words: readonly string[], environment: Record<string, string> = {}) => {
    const start = prepare(text, environment)
    const told = `${start.exit}.told`
    const far = { told, via: ['/bin/bash', ...words.map((one) => (one === 'told' ? told : one))] }
    const one = await launcher()
    one.load({ ...start, far })
    await one.go()
    return { start, one }
  }

  for (const [text, rc] of [
    ['exit 0', 0],
    ['exit 137', 137],
    ['kill -9 $$', -9],
    ['kill -TERM $$', -15],
  ] as const) {
    test(`HB-25: tells of "${text}" on another node as ${rc}, and goes on`, async () => {
      const { start, one } = await runFar(text, [step, 'told', '', '1', '0'])
      assert.equal(exitOf(start)?.rc, rc, readFileSync(start.exit, 'utf8'))
      assert.equal(readFileSync(start.stderr, 'utf8'), '')
      assert.equal(exitOf(await run(one, 'exit 7'))?.rc, 7)
    })
  }

  test('where another node told nothing whole, no exit is written and the launcher is gone', async () => {
    for (const words of [
      ['-c', 'exit 1'],
      ['-c', 'printf "\\nrc 0\\n" >"$0"', 'told'],
    ]) {
      const { start, one } = await runFar('exit 0', words)
      await one.gone
      assert.equal(exitOf(start), undefined)
    }
  })

  test('a script of another node has the streams, signals and CPU time of its own', async () => {
    const text = 'i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done; umask; ls /proc/$$/fd; exec cat /proc/self/status'
    const { start } = await runFar(text, [step, 'told', '', '1', '0'])
    assert.match(said(start), /^0077\n0\n1\n10\n2\n/)
    assert.deepEqual(said(start).match(/^Sig(?:Blk|Ign|Cgt).*$/gm), [
      'SigBlk:\t0000000000000000',
      'SigIgn:\t0000000000000000',
      'SigCgt:\t0000000000000000',
    ])
    assert.ok((exitOf(start)?.cpuMs ?? 0) > 50, readFileSync(start.exit, 'utf8'))
  })

  test('a slot of another node takes its share of the GPUs there', async () => {
    const share = async (gpus: string, slots: number, slot: number) => {
      const words = [step, 'told', '', String(slots), String(slot)]
      return said((await runFar('printf %s "$CUDA_VISIBLE_DEVICES"', words, { CUDA_VISIBLE_DEVICES: gpus })).start)
    }
    assert.deepEqual([await share('0,1,2,3', 2, 1), await share('0,1,2,3', 1, 0)], ['2,3', '0,1,2,3'])
    assert.deepEqual([await share('4,5', 4, 3), await share('4,5', 3, 2), await share('', 2, 1)], ['5', '4,5', ''])
  })

  test('gives each script its own values, as they are, and none of the one before', async () => {
    const one = await launcher({ PATH: process.env.PATH ?? '', SITE: 'all' })
    const values = {
      HPC_ARG_quotes: `it's "x" \\ $HOME \`id\` $(id) !! ~`,
      HPC_ARG_lines: 'one\ntwo\n\n',
      HPC_ARG_other: "ä€😀\t\x01\x7f'\\n",
      HPC_ARG_empty: '',
      HPC_ARG_long: 'ä'.repeat(20_000),
    }
    const print = `for name in quotes lines other empty long; do eval "printf '<%s>' \\"\\$HPC_ARG_$name\\""; done; echo "$SITE"`
    const first = await run(one, print, values)
    assert.equal(
      said(first),
      `${Object.values(values)
        .map((value) => `<${value}>`)
        .join('')}all\n`,
    )
    assert.equal(
      said(await run(one, 'env', { HPC_ARG_new: '1' }))
        .match(/^HPC_.*$/gm)
        ?.join(),
      'HPC_ARG_new=1',
    )
  })

  test('a script inherits no stream, no ignored signal and no trap of its launcher', async () => {
    const start = await run(await launcher(), 'cat; ls /proc/$$/fd; exec cat /proc/self/status')
    assert.match(said(start), /^0\n1\n10\n2\n/)
    assert.deepEqual(said(start).match(/^Sig(?:Blk|Ign|Cgt).*$/gm), [
      'SigBlk:\t0000000000000000',
      'SigIgn:\t0000000000000000',
      'SigCgt:\t0000000000000000',
    ])
  })

  test('counts the CPU time of each script by itself', async () => {
    const one = await launcher()
    const busy = await run(one, 'i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done')
    const idle = await run(one, 'true')
    assert.ok((exitOf(busy)?.cpuMs ?? 0) > 50, readFileSync(busy.exit, 'utf8'))
    assert.ok((exitOf(idle)?.cpuMs ?? 1000) < (exitOf(busy)?.cpuMs ?? 0), readFileSync(idle.exit, 'utf8'))
  })

  test('what is ready does not run before it is told to, and never when its runner is gone before', async () => {
    const one = await launcher()
    const start = prepare('echo ran')
    one.load(start)
    one.end()
    await one.gone
    assert.deepEqual([existsSync(start.stdout), exitOf(start)], [false, undefined])
  })

  test('HB-25: a script is seen to its end though the runner is gone, and through signals to its launcher', async () => {
    const one = await launcher()
    const start = prepare(`echo $PPID; while [ ! -e go ]; do sleep 0.02; done; exit 6`)
    one.load(start)
    void one.go()
    await until('the script to run', () => existsSync(start.stdout) && said(start) !== '')
    assert.equal(Number(said(start)), one.pid)
    one.end()
    for (const name of ['SIGTERM', 'SIGUSR2', 'SIGHUP', 'SIGINT'] as const) signal(one.pid, name)
    writeFileSync(join(start.workDir, 'go'), '')
    await one.gone
    assert.equal(exitOf(start)?.rc, 6)
  })

  test('a script that is stopped, as in a suspended allocation, has not ended', async () => {
    const one = await launcher()
    const start = prepare('echo $$; kill -STOP $$; exit 9')
    one.load(start)
    const ended = one.go()
    const state = () => readFileSync(`/proc/${said(start).trim()}/stat`, 'utf8').split(') ')[1]?.[0]
    await until('the script to stop', () => existsSync(start.stdout) && said(start) !== '' && state() === 'T')
    // it looks again at each signal that it is sent
    signal(one.pid, 'SIGUSR1')
    signal(one.pid, 'SIGCONT')
    await new Promise((resolve) => setTimeout(resolve, 200))
    assert.equal(exitOf(start), undefined)
    signal(Number(said(start)), 'SIGCONT')
    await ended
    assert.equal(exitOf(start)?.rc, 9)
  })

  test('the script has a process group, which its leavings keep alive; the launcher is no process of the job', async () => {
    const one = await launcher()
    const start = await run(one, 'sleep 300 & env -i sleep 300 & :', { [markName]: jobMark('x', 1) })
    const group = exitOf(start)?.group ?? 0
    assert.ok(group > 1 && groupLives(group))
    const left = processesMarked(markName, jobMark('x', 1))
    assert.equal(left.length, 2)
    assert.ok(!left.includes(one.pid))
    for (const pid of left) signal(pid, 'SIGKILL')
    await until('the group to end', () => !groupLives(group))
    assert.equal(exitOf(await run(one, 'exit 3'))?.rc, 3)
  })

  test('one whose script kills it is gone, without an exit', async () => {
    const one = await launcher()
    const start = await run(one, 'kill -9 $PPID; kill -9 0')
    await one.gone
    assert.equal(exitOf(start), undefined)
    // its stream is closed a moment before it has ended
    await until('it to end', () => !lives(one.pid))
  })

  test('functions and files for bash from the site are passed on, and not run by it', async () => {
    const rc = join(dir, 'bashrc')
    writeFileSync(rc, `touch ${dir}/sourced\n`)
    const one = await launcher({ PATH: process.env.PATH ?? '', 'BASH_FUNC_read%%': '() { touch $PWD/read; false; }' })
    const start = prepare('')
    writeFileSync(start.script, `#!/bin/bash\ntype -t read; echo "$BASH_ENV"\n`)
    one.load({ ...start, environment: { BASH_ENV: rc } })
    await one.go()
    assert.deepEqual([said(start), exitOf(start)?.rc], [`function\n${rc}\n`, 0])
  })

  test('that cannot be started is an error', async () => {
    await assert.rejects(startLauncher(file, { A: 'x'.repeat(3_000_000) }), { code: 'E2BIG' })
    await assert.rejects(startLauncher(join(dir, 'none'), {}), /ended without a word/)
  })
})
