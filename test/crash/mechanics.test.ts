/** What the crash suite counts and cuts with, by itself: the trace of the system, the launcher's text. */
import assert from 'node:assert/strict'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { parseExitFile } from '../../contract/exit-file.ts'
import { launcherText } from '../../contract/launcher.ts'
import { startLauncher } from '../../system/process.ts'
import { run } from '../support/world.ts'
import { dyingLauncher, launcherEffects, tells } from './launcher-points.ts'
import { countTrace } from './strace.ts'

// as strace 6.1 writes it with -f -y -s 200
const trace = `10 execve("/bin/sh", ["sh", "-c", "exec node /w/hpc_queuer"], 0x1 /* 3 vars */) = 0
10 openat(AT_FDCWD</w>, "/dev/null", O_WRONLY|O_CREAT|O_TRUNC, 0666) = 3</dev/null>
10 openat(AT_FDCWD</>, "/w/by-the-shell", O_WRONLY|O_CREAT, 0666) = 3</w/by-the-shell>
10 execve("/usr/bin/node", ["node", "/w/hpc_queuer"], 0x1 /* 3 vars */) = 0
11 rename("/w/a", "/w/b" <unfinished ...>
10 clone3({flags=CLONE_VM|CLONE_FS|CLONE_THREAD, child_tid=0x1}, 88) = 11
10 openat(AT_FDCWD</>, "/w/c", O_RDONLY) = 4</w/c>
11 <... rename resumed>) = 0
10 openat(AT_FDCWD</>, "/w/new", O_WRONLY|O_CREAT|O_EXCL, 0600) = 5</w/new>
10 write(5</w/new>, "\\"/w/not a path", 14) = 14
10 write(6<UNIX-STREAM:[1->2]>, "<\\"/w/", 5) = 5
10 unlink("/w/gone") = -1 ENOENT (No such file or directory)
10 unlinkat(AT_FDCWD</>, "/w/dir", AT_REMOVEDIR) = 0
10 rename("/elsewhere/a", "/elsewhere/b") = 0
10 clone(child_stack=NULL, flags=CLONE_VFORK|SIGCHLD, child_tidptr=0x1) = 12
12 execve("/bin/sh", ["/bin/sh", "/w/job-wrapper.1.sh"], 0x1 /* 3 vars */) = 0
12 clone(child_stack=NULL, flags=SIGCHLD, child_tidptr=0x1) = 13
13 openat(AT_FDCWD</w>, "/w/stdout", O_WRONLY|O_CREAT|O_TRUNC, 0666) = 3</w/stdout>
13 execve("/w/job.sh", ["/w/job.sh"], 0x1 /* 3 vars */) = 0
13 write(1</w/stdout>, "by the script", 13) = 13
12 write(2</w/rc>, "Terminated\\n", 11 <unfinished ...>
12 <... write resumed>) = 11
12 write(2</w/rc>, "rc 143 1.00\\n", 12) = 12
`

test('countTrace() counts what changed under the root, by program, and nothing else', () => {
  const images = countTrace(trace, '/w/')
  const shown = (pid: number) =>
    images.filter((image) => image.pid === pid).map(({ counts, last }) => ({ ...Object.fromEntries(counts), last }))
  assert.deepEqual(shown(10), [
    { create: 1, last: false },
    { rename: 1, create: 1, write: 1, rmdir: 1, exec: 1, last: true },
  ])
  assert.deepEqual(shown(12), [{ exec: 1, write: 1, last: true }])
  // what the launcher forked is the launcher, until it becomes the script
  assert.deepEqual(shown(13), [
    { create: 1, last: false },
    { write: 1, last: true },
  ])
  assert.deepEqual(
    images.filter(({ command }) => command.includes('job-wrapper')).map(({ pid }) => pid),
    [12, 13],
  )
})

test('dyingLauncher() dies at each effect of the launcher, and only the last leaves an exit', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'hpc-launcher-'))
  try {
    const [script, struck, file] = ['script', 'struck', 'job-wrapper.sh'].map((name) => join(dir, name)) as [
      string,
      string,
      string,
    ]
    writeFileSync(script, '#!/bin/sh\nexit 3\n', { mode: 0o700 })
    const exitPath = (name: string) => join(dir, `${name}.rc`)
    /** Two scripts, one after the other; what each has for an exit. */
    const run = async (text: string) => {
      for (const path of [struck, exitPath('a'), exitPath('b')]) rmSync(path, { force: true })
      writeFileSync(file, text)
      const launcher = await startLauncher(file, {}).catch(() => undefined)
      for (const name of launcher === undefined ? [] : ['a', 'b']) {
        const [stdout, stderr] = [join(dir, `${name}.out`), join(dir, `${name}.err`)]
        const environment = { HPC_BATCH_JOB: name }
        launcher?.load({ script, shell: undefined, workDir: dir, stdout, stderr, exit: exitPath(name), environment })
        await launcher?.go()
      }
      launcher?.end()
      await launcher?.gone
      const said = ['a', 'b'].map((name) => (existsSync(exitPath(name)) ? readFileSync(exitPath(name), 'utf8') : ''))
      return {
        struck: existsSync(struck) ? readFileSync(struck, 'utf8') : undefined,
        rcs: said.map((one) => parseExitFile(one)?.rc),
        length: said.join('').length,
      }
    }
    assert.deepEqual((await run(launcherText)).rcs, [3, 3])
    const lengths: number[] = []
    for (const [i, { halves }] of launcherEffects(2).entries()) {
      for (const when of halves ? (['before', 'half', 'after'] as const) : (['before', 'after'] as const)) {
        const { struck, rcs, length } = await run(dyingLauncher(i + 1, when, join(dir, 'struck')))
        const number = Math.ceil(i / 12)
        assert.equal(struck, ['', 'a', 'b'][number], `${i + 1} ${when}`)
        const whole = tells(i + 1, when) ? number : number - 1
        assert.deepEqual(
          rcs,
          whole > 1 ? [3, 3] : whole === 1 ? [3, undefined] : [undefined, undefined],
          `${i + 1} ${when}`,
        )
        lengths.push(length)
      }
    }
    assert.ok(new Set(lengths).size > 20, lengths.join(' '))
  } finally {
    rmSync(dir, { recursive: true })
  }
})

test('a crash run that ends before its figures are complete fails, and its last line says so', async () => {
  const program = join(import.meta.dirname, 'main.ts')
  const { code, stdout } = await run([process.execPath, '--import', 'tsx', program, '--story', 'none'])
  assert.equal(code, 1)
  assert.equal(stdout.trim().split('\n').at(-1), 'NOT FINISHED: ended with 1 after 0 whole stories')
})
