/** Scripts that misbehave, each in an allocation of the real cluster: every one ends in its own right result, and nothing of it stays. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, it } from 'node:test'
import { pidsWhere } from '../chaos/processes.ts'
import { list, type Result, until } from '../support/world.ts'
import { nothingLeft } from './faulty-lab.ts'
import { account, asRoot, images, Lab, meetingPlace, theCluster } from './lab.ts'

interface Scenario {
  readonly title: string
  readonly script: string
  /** Further lines of the description; an output `o` is always asked for. */
  readonly more?: string
  readonly check: (result: Result, out: string) => void
}

const ok = (content: string) => (result: Result, out: string) => {
  assert.deepEqual([result.job.status, result.job.message], ['ok', 'processed OK'], JSON.stringify(result.job))
  assert.equal(readFileSync(out, 'utf8'), content)
}

const refused = (message: RegExp, rc: number | null) => (result: Result, out: string) => {
  assert.deepEqual([result.job.status, result.job.rc], ['error', rc], JSON.stringify(result.job))
  assert.match(result.job.message, message)
  assert.ok(!existsSync(out), 'nothing is delivered')
}

const special = refused(/output "o" .* is a link or special file; only regular files and folders are taken/, 0)

const everyByte = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte))
const line = 'a line that is said again and again\n'
const threeGigabytes = 3 * 1024 ** 3
const mostMb = 200

/** By the job's name. `$T` is a folder of two megabytes for temporary files, which fills up; `$I` is where images lie. */
const scenarios: Record<string, Scenario> = {
  background: {
    title:
      'processes left in the background, with and without sessions of their own, are ended; the result waits for none',
    script: `sleep 3613 &
nohup sleep 3613 &
setsid sleep 3613 &
(trap '' TERM HUP; setsid sh -c 'trap "" TERM; exec 0<&- 1>&- 2>&-; while :; do sleep 3613; done' &)
env -i sleep 3613 &
sleep 0.3
echo done >output/o`,
    check: ok('done\n'),
  },
  stubborn: {
    title: 'a script that ignores TERM is killed when its time is over, and told so',
    script: `trap '' TERM INT HUP; echo begun; while :; do sleep 1; done`,
    more: 'resources: {time: 2s}\n',
    check: (result, out) => {
      refused(/ran longer than its time of 2s and was ended/, -9)(result, out)
      assert.equal(result.job.stdout, 'begun\n')
    },
  },
  mute: {
    title: 'a script that closes its streams ends well, with nothing said',
    script: 'exec 0<&- 1>&- 2>&-; echo nobody hears this; echo done >output/o',
    check: (result, out) => {
      ok('done\n')(result, out)
      assert.equal(result.job.stdout, '')
    },
  },
  talkative: {
    title: 'P-WM-01: three gigabytes on stdout: the result has head and tail and says what was left out',
    script: `yes '${line.trimEnd()}' | head -c ${threeGigabytes}; echo; echo the end; echo done >output/o`,
    check: (result, out) => {
      ok('done\n')(result, out)
      const { stdout } = result.job
      assert.ok(stdout.length < 1.1 * 1024 ** 2, `${stdout.length} characters`)
      assert.ok(stdout.startsWith(line.repeat(100)))
      assert.ok(stdout.endsWith('\nthe end\n'))
      const omitted = Number(/\[… .* left out here \((\d+) bytes\) …\]/.exec(stdout)?.[1])
      const said = stdout.replace(/\[… .* …\]\n/, '')
      assert.ok(Math.abs(omitted + said.length - (threeGigabytes + 9)) <= 1, `${omitted} + ${said.length}`)
    },
  },
  binary: {
    title: 'every byte there is on both streams becomes text that PyYAML reads back',
    script: `cat input/bytes; cat input/bytes >&2; echo done >output/o`,
    more: 'input_map: {bytes: <bytes>}\n',
    check: (result, out) => {
      ok('done\n')(result, out)
      const text = new TextDecoder().decode(everyByte)
      assert.deepEqual([result.job.stdout, result.job.stderr], [text, text])
    },
  },
  filling: {
    title: 'a script that fills the place for temporary files is told so by its own commands, and hurts no other',
    script: `cat /dev/zero >$TMPDIR/all; df --output=avail $TMPDIR | tail -1; echo done >output/o`,
    check: (result, out) => {
      ok('done\n')(result, out)
      assert.match(result.job.stderr, /No space left on device/)
      assert.equal(result.job.stdout.trim(), '0')
    },
  },
  'without-folder': {
    title: 'P-WM-01: a script that deletes its own folder has written nothing, and is told which output',
    script: 'rm -rf <<workspace>>; echo gone',
    check: (result, out) => {
      refused(/return code 0 but did not write "o"/, 0)(result, out)
      assert.equal(result.job.stdout, 'gone\n')
    },
  },
  'new-folder': {
    title: 'a script that makes its folder anew is judged by what is there in the end',
    script: 'rm -rf <<workspace>>; mkdir -p <<workspace>>/output; echo done >><<workspace>>/output/o',
    check: ok('done\n'),
  },
  'link-inside': {
    title: 'an output that is a link is refused, also one to a file beside it',
    script: 'echo x >output/real; ln -s real output/o',
    check: special,
  },
  'link-outside': {
    title: 'an output that is a link out of the folder is refused, and what it shows is not taken',
    script: 'ln -s /etc/passwd output/o',
    check: special,
  },
  dangling: {
    title: 'an output that is a link to nothing is refused',
    script: 'ln -s nowhere output/o',
    check: special,
  },
  pipe: {
    title: 'an output that is a pipe is refused, and nobody waits at it',
    script: 'mkfifo output/o',
    check: special,
  },
  folder: {
    title: 'an output that is a folder comes back as one, with a warning for each link and pipe in it',
    script: 'mkdir -p output/o/deep; echo x >output/o/deep/file; ln -s /etc/passwd output/o/link; mkfifo output/o/pipe',
    check: (result, out) => {
      assert.equal(result.job.status, 'ok', JSON.stringify(result.job))
      assert.deepEqual(readdirSync(out, { recursive: true }).sort(), ['deep', 'deep/file'])
      assert.equal(readFileSync(join(out, 'deep/file'), 'utf8'), 'x\n')
      const left = (name: string) => `"${name}" in output folder "o" is no regular file and was left out`
      assert.deepEqual(result.job.warnings, [left('link'), left('pipe')])
    },
  },
  'no-image': {
    title: 'a container image that is missing: return code 255, and the container’s own words name it',
    script: 'singularity exec $I/missing.sif true',
    check: (result, out) => {
      refused(/^Remote command failed with return code 255$/, 255)(result, out)
      assert.match(result.job.stderr, /FATAL: .*missing\.sif.*no such file/s)
    },
  },
  'half-image': {
    title: 'a container image that is cut short: return code 255, and the container’s own words say so',
    script: 'singularity exec $I/half.sif true',
    check: (result, out) => {
      refused(/^Remote command failed with return code 255$/, 255)(result, out)
      assert.match(result.job.stderr, /FATAL: .*image/)
    },
  },
}

/** The most memory that programs of a kind have taken, in megabytes. */
class Memory {
  readonly #most = new Map<string, number>()
  readonly #timer: NodeJS.Timeout

  constructor(lab: Lab) {
    const programs = ['hpc-submitter', 'hpc_queuer', 'hpc_runner']
    this.#timer = setInterval(() => {
      for (const program of programs) {
        const ours = ([, name = '', ...more]: readonly string[]) =>
          name.includes(program) && more.some((word) => word.startsWith(lab.dir) || word.startsWith(lab.workspace))
        for (const pid of pidsWhere(ours)) this.#note(program, pid)
      }
    }, 50)
  }

  #note(program: string, pid: number): void {
    try {
      const kb = Number(/^VmHWM:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0)
      this.#most.set(program, Math.max(this.#most.get(program) ?? 0, kb / 1024))
    } catch {
      // it ended meanwhile
    }
  }

  end(): ReadonlyMap<string, number> {
    clearInterval(this.#timer)
    return this.#most
  }
}

/** Processes that carry the mark of one of these jobs. */
function marked(ids: readonly string[]): string[] {
  return pidsWhere(() => true).flatMap((pid) => {
    try {
      const mark = /HPC_BATCH_JOB=([^\0]*)/.exec(readFileSync(`/proc/${pid}/environ`, 'latin1'))?.[1]
      return mark !== undefined && ids.some((id) => mark.startsWith(id)) ? [`${pid} of ${mark}`] : []
    } catch {
      return []
    }
  })
}

theCluster('scripts that misbehave', {}, () => {
  let place: Lab
  let memory: ReadonlyMap<string, number>
  let temporary: string
  const names = Object.keys(scenarios)

  before(async () => {
    place = new Lab({ lane: '{queue: general, memory: 256M, time: 1h, slots: 4}' })
    temporary = join(place.folder, 'tmp')
    mkdirSync(temporary)
    await asRoot('mount', '-t', 'tmpfs', '-o', `size=2m,mode=1777`, 'tmpfs', temporary)
    const node = place.program('node', `#!/bin/sh\nexport TMPDIR=${temporary}\nexec ${process.execPath} "$@"\n`)
    writeFileSync(
      place.configFile,
      place.config({ lane: '{queue: general, memory: 256M, time: 1h, slots: 4}', site: `node: ${node}` }),
    )
    const folder = join(place.folder, 'images')
    mkdirSync(folder)
    writeFileSync(join(folder, 'half.sif'), readFileSync(join(images, 'busybox.sif')).subarray(0, 100_000))
    const bytes = place.input('bytes', everyByte)
    const sampling = new Memory(place)
    for (const [name, { script, more = '' }] of Object.entries(scenarios)) {
      place.template(name, `#!/bin/sh\nI=${folder}\n${script}\n`)
      place.drop(name, `script: ${name}\noutput_map: {o: ${place.out(`${name}/o`)}}\n${more.replace('<bytes>', bytes)}`)
      mkdirSync(place.out(name))
    }
    for (const name of names) await place.finish(name, 240_000)
    await place.drained()
    memory = sampling.end()
  })
  after(async () => {
    await asRoot('umount', temporary)
    await place.end()
  })

  for (const [name, { title, check }] of Object.entries(scenarios)) {
    it(`${name}: ${title}`, () => check(place.finished(name), place.out(`${name}/o`)))
  }

  it('their results are YAML for PyYAML too', () => {
    const program = 'import sys, yaml; print([yaml.safe_load(open(p))["job"]["rc"] for p in sys.argv[1:]])'
    const paths = names.map((name) => join(place.dropbox, `${name}.job.finished`))
    const read = execFileSync('python3', ['-c', program, ...paths], { encoding: 'utf8' })
    assert.equal(read.trim(), `[${names.map((name) => place.finished(name).job.rc ?? 'None').join(', ')}]`)
  })

  it(`no program of ours took more than ${mostMb} MB for it`, () => {
    assert.deepEqual([...memory.keys()].sort(), ['hpc-submitter', 'hpc_queuer', 'hpc_runner'])
    for (const [program, mb] of memory) assert.ok(mb < mostMb, `${program} took ${mb} MB`)
  })

  it('a script that ignores the TERM of its cancelled allocation is killed before it runs again, and counts once', async () => {
    const dir = meetingPlace(place)
    place.template(
      'deaf',
      `#!/bin/sh
trap '' TERM
exec 9>>${dir}/lock
flock -n 9 || echo together >>${dir}/together
echo start >>${dir}/starts
until [ -e ${dir}/go ]; do sleep 0.1; done
echo end >>${dir}/ends
`,
    )
    place.drop('deaf', 'script: deaf\n')
    await place.tick()
    await until('its start', () => existsSync(join(dir, 'starts')))
    const { id } = await place.allocation('RUNNING')
    await asRoot('scancel', id)
    await place.drained()
    writeFileSync(join(dir, 'go'), '')
    await place.finish('deaf')
    const { job } = place.finished('deaf')
    assert.deepEqual([job.status, job.attempts], ['ok', 2], JSON.stringify(job))
    assert.match(JSON.stringify(job.history), /attempt 1 on [^"]*: interrupted"/)
    assert.deepEqual(list(dir).sort(), ['ends', 'go', 'lock', 'starts'], 'never two at once')
    assert.equal(readFileSync(join(dir, 'ends'), 'utf8'), 'end\n')
  })

  it('each ran once, and nothing of them stays: no process, no job at the site, no disk', async () => {
    for (const name of names) assert.equal(place.finished(name).job.attempts, 1, name)
    await until(
      'their processes to be gone',
      () => marked(names.map((name) => place.finished(name).job.id)).length === 0,
    )
    await nothingLeft(place, [...names, 'deaf'])
    // a stream that was cut stays whole for a while, and what a script that failed has left; then it goes by itself
    const { kept } = place.finished('talkative').job
    assert.ok(statSync(join(kept.path, 'control/attempts/1.stdout')).size >= threeGigabytes)
    const days = join(place.workspace, 'kept')
    assert.deepEqual(list(days), [kept.until])
    renameSync(join(days, kept.until), join(days, '2020-01-01'))
    place.drop('later', 'script: "true"\n')
    await place.finish('later')
    assert.deepEqual(list(days), [])
    const disk = Number(execFileSync('du', ['-sk', place.workspace], { encoding: 'utf8' }).split('\t')[0])
    assert.ok(disk < 20_000, `${disk} kB at the site`)
    assert.deepEqual(list(place.out('talkative')), ['o'])
    assert.ok(statSync(join(place.dropbox, 'talkative.job.finished')).size < 2 * 1024 ** 2)
    assert.equal(statSync(place.workspace).uid, Number(execFileSync('id', ['-u', account], { encoding: 'utf8' })))
  })
})
