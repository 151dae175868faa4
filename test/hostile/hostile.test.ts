/**
 * `npm run test:hostile`: inputs meant to break in, hang or confuse, each with its expected end, many in one world. A canary stands where
 * a break-in would reach it, and a file called `hurt` is what every piece of shell in the corpus tries to make.
 */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import {
  existsSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { load } from 'js-yaml'
import { HpcError, printable } from '../../contract/errors.ts'
import { FrameReader } from '../../contract/protocol.ts'
import { readSpliced } from '../../contract/result-file.ts'
import { argEnvironment, bindValues, renderTemplate } from '../../contract/template.ts'
import { slurm } from '../../scheduler/slurm.ts'
import { parseConfig } from '../../submitter/config.ts'
import { JobReceiver } from '../../submitter/receive-job.ts'
import { Coverage } from '../fuzz/coverage.ts'
import type { End, Job } from '../judge/evidence.ts'
import { judgeWorld } from '../judge/judged-world.ts'
import { cpuMs } from '../support/cpu-time.ts'
import { testGateway } from '../support/gateway.ts'
import { list, type Ran, World } from '../support/world.ts'
import { frames, queues, results, resultWith, sent, submissions } from './answers.ts'
import { inis, yamls } from './configs.ts'
import { binaries, descriptions, type Ending, goodDescription, names } from './descriptions.ts'
import { leftBehind } from './outputs.ts'
import { type ReachedCode, reachedIn } from './reached.ts'
import { note, summary } from './tried.ts'
import { printedValues, templates, templateValue, values, valueTemplate } from './values.ts'

const raw = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200e\u200f\u202a-\u202e\u2066-\u2069]/

function isReadable(path: string): boolean {
  try {
    return (load(readFileSync(path, 'utf8')) as { job?: unknown }).job !== undefined
  } catch {
    return false
  }
}

/** What ran of the programs, and of the parts that are called right here. */
let reached: ReachedCode | undefined
const here = new Coverage()

describe('one dropbox with all of them in it', () => {
  const world = new World()
  const secrets = join(world.dir, 'secrets')
  const input = world.input('in.txt')
  const table = Object.entries(
    descriptions({ dir: world.dir, dropbox: world.dropbox, input, out: (name) => world.out(name) }),
  )
  const games: Record<string, Ending> = {}
  const leftovers = Object.entries(leftBehind)
  const ran: Ran[] = []
  let took = 0
  const close: (() => void)[] = []
  const coverage = mkdtempSync(join(tmpdir(), 'hpc-hostile-'))

  /** The name of a case in the dropbox: plain, so that the name itself plays no part. */
  const dropped = (kind: string, index: number) => `${kind}-${index}`
  const put = (name: string, content: string | Buffer) => {
    writeFileSync(join(world.dropbox, '.put'), content)
    renameSync(join(world.dropbox, '.put'), join(world.dropbox, name))
  }

  after(async () => {
    for (const each of close) each()
    rmSync(coverage, { recursive: true })
    // deeper than Node's own removal goes
    execFileSync('rm', ['-rf', '--', world.workspace])
    await world.end()
  })

  before(async () => {
    mkdirSync(secrets)
    writeFileSync(join(secrets, 'secret'), 'canary')
    writeFileSync(join(secrets, 'job'), 'script: true\n...\n')
    execFileSync('mkfifo', [join(world.dir, 'in', 'fifo')])
    symlinkSync('loop', join(world.dir, 'in', 'loop'))
    mkdirSync(join(world.dir, 'state'))
    symlinkSync(join(world.dir, 'state'), join(world.dir, 'in', 'to-state'))
    const socket = createServer().listen(join(world.dir, 'in', 'socket'))
    await new Promise((resolve) => socket.once('listening', resolve))
    close.push(() => socket.close())
    world.template('nothing', '#!/bin/sh\ntrue\n')
    world.template('values', valueTemplate(values.length))

    for (const [index, [, [text]]] of table.entries()) put(`${dropped('text', index)}.job`, `${text}...\n`)
    for (const [index, [, [bytes]]] of Object.entries(binaries).entries()) put(`${dropped('bytes', index)}.job`, bytes)
    for (const name of names) put(`${name}.job`, goodDescription)
    put(
      'values.job',
      `script: values\nargs: ${JSON.stringify(Object.fromEntries(values.map((value, n) => [`v${n}`, value])))}\noutput_map: {to: ${world.out('values')}}\n...\n`,
    )
    for (const [index, [, { script }]] of leftovers.entries()) {
      world.template(`left-${index}`, `#!/bin/bash\nS=${secrets}\n${script.replace(/\$S/g, '"$S"')}\n`)
      put(
        `${dropped('left', index)}.job`,
        `script: left-${index}\ninput_map: {from: ${input}}\noutput_map: {to: ${world.out(`left-${index}`)}}\n...\n`.replace(
          world.out(`left-${index}`),
          join(world.dir, 'out', `left-${index}`, 'o'),
        ),
      )
      mkdirSync(join(world.dir, 'out', `left-${index}`))
    }
    playGames()

    const began = performance.now()
    ran.push(await pass())
    await world.drained(300_000)
    ran.push(await pass())
    took = performance.now() - began
    reached = reachedIn(coverage)
  })

  /** A pass whose programs, those it starts included, tell which of their code ran. */
  const pass = () => {
    const env = { ...process.env, NODE_V8_COVERAGE: coverage }
    return world.cli(['tick', '--config', world.configFile, '--debug', '--json'], { env })
  }

  /** What lies under names of the dropbox and is not what it looks like. */
  function playGames(): void {
    const at = (name: string) => join(world.dropbox, name)
    const game = (name: string, end: Ending, play: (name: string) => void) => {
      games[name] = end
      play(name)
    }
    const link = /symbolic link/
    const special = /no regular file/
    game('link-to-job', link, (name) => symlinkSync(join(secrets, 'job'), at(`${name}.job`)))
    game('link-to-secret', link, (name) => symlinkSync(join(secrets, 'secret'), at(`${name}.job`)))
    game('link-to-folder', link, (name) => symlinkSync(secrets, at(`${name}.job`)))
    game('link-to-nothing', link, (name) => symlinkSync('nowhere', at(`${name}.job`)))
    game('link-to-itself', link, (name) => symlinkSync(`${name}.job`, at(`${name}.job`)))
    game('link-to-zeros', link, (name) => symlinkSync('/dev/zero', at(`${name}.job`)))
    game('hard-link', /more than one link/, (name) => linkSync(join(secrets, 'job'), at(`${name}.job`)))
    game('folder', special, (name) => mkdirSync(at(`${name}.job`)))
    game('pipe', special, (name) => execFileSync('mkfifo', [at(`${name}.job`)]))
    game('socket', special, (name) => {
      const socket = createServer().listen(at(`${name}.job`))
      close.push(() => socket.close())
    })
    game('sparse-terabyte', /bytes long; a description has at most/, (name) => {
      put(`${name}.job`, '')
      truncateSync(at(`${name}.job`), 2 ** 40)
    })
    game('planted-finished-folder', 'ok', (name) => {
      mkdirSync(at(`${name}.job.finished`))
      put(`${name}.job`, goodDescription)
    })
    game('planted-finished-link', 'ok', (name) => {
      symlinkSync(join(secrets, 'secret'), at(`${name}.job.finished`))
      put(`${name}.job`, goodDescription)
    })
    game('planted-cancel-link', 'ok', (name) => {
      symlinkSync(join(secrets, 'secret'), at(`${name}.job.cancel`))
      put(`${name}.job`, goodDescription)
    })
    game('planted-submitted-link', link, (name) => symlinkSync(join(secrets, 'secret'), at(`${name}.job.submitted`)))
    game('planted-submitted-folder', special, (name) => mkdirSync(at(`${name}.job.submitted`)))
    game('planted-submitted-pipe', special, (name) => execFileSync('mkfifo', [at(`${name}.job.submitted`)]))
    game('planted-submitted-hard', /more than one link/, (name) =>
      linkSync(join(secrets, 'job'), at(`${name}.job.submitted`)),
    )
    game('planted-submitted-text', 'ok', (name) => put(`${name}.job.submitted`, goodDescription))
  }

  const check = (kind: string, name: string, as: string, end: Ending) => {
    assert.ok(world.has(`${as}.job.finished`), `${kind} ${name}: no result\n${ran[0]?.stderr.slice(-2000)}`)
    // not as any YAML reader would have it: what the tool wrote may be for others
    const read = readSpliced(readFileSync(join(world.dropbox, `${as}.job.finished`)))
    const job = read.job as { status: string; message: string }
    const { message } = job
    assert.ok(!raw.test(message), `${kind} ${name}: its message has control characters: ${JSON.stringify(message)}`)
    assert.ok(message.length < 4000, `${kind} ${name}: its message has ${message.length} characters`)
    if (end === 'ok') assert.equal(job.status, 'ok', `${kind} ${name}: ${message}`)
    else {
      assert.equal(job.status, 'error', `${kind} ${name} went through`)
      assert.match(message, end, `${kind} ${name}`)
    }
    note(kind, name, end === 'ok' ? '' : message)
  }

  const endOfName = (name: string): Ending => {
    if (/[\u0000-\u001f\u007f]/.test(name)) return /its name holds a line break or control character; rename the file/
    return name.startsWith('-') ? /its name begins with "-".*rename the file/ : 'ok'
  }

  /** What the judge of all suites is told of a case: how it may end. That of others' text may be no YAML for a tool to read. */
  function judged(name: string, end: Ending): Job[] {
    if (!isReadable(join(world.dropbox, `${name}.job.finished`))) return []
    const good: End = { status: 'ok', state: 'done', rc: 0, outputs: {} }
    const ends: End[] =
      end === 'ok' ? [good] : [{ status: 'error', state: 'aborted', rc: null, message: end, outputs: {} }]
    return [{ dropbox: world.dropbox, name, ends, mayNotRun: true }]
  }

  test('promise 1: for the judge of the other suites, too, each has ended once, and nothing is left of it', (context) => {
    const jobs = [
      ...names.flatMap((name) => judged(name, endOfName(name))),
      ...Object.entries(games).flatMap(([name, end]) => judged(name, end)),
      ...table.flatMap(([, [, end]], index) => judged(dropped('text', index), end)),
      ...Object.values(binaries).flatMap(([, end], index) => judged(dropped('bytes', index), end)),
    ]
    context.diagnostic(`${jobs.length} of ${readdirSync(world.dropbox).length} results judged`)
    assert.ok(jobs.length > 150, `only ${jobs.length} can be read by a tool`)
    const mine = new Set(jobs.map(({ name }) => `${name}.job.finished`))
    const foreign = readdirSync(world.dropbox).filter((name) => !mine.has(name))
    const gateways = [{ dropbox: world.dropbox, state: join(world.dir, 'state'), destinations: [], foreign }]
    assert.deepEqual(judgeWorld(world, jobs, { gateways }), [])
  })

  test('P-HB-05 P-HB-09: every description has its expected end', () => {
    const wrong: string[] = []
    const each = (kind: string, name: string, as: string, end: Ending) => {
      try {
        check(kind, name, as, end)
      } catch (error) {
        wrong.push(String(error))
      }
    }
    for (const [index, [name, [, end]]] of table.entries()) each('description', name, dropped('text', index), end)
    for (const [index, [name, [, end]]] of Object.entries(binaries).entries())
      each('bytes', name, dropped('bytes', index), end)
    assert.equal(wrong.join('\n'), '')
  })

  test('HB-01: jobs of odd names run, those that programs take for something else are refused, and all are shown without harm', () => {
    for (const name of names) check('name', JSON.stringify(name), name, endOfName(name))
  })

  test('HB-01 P-HB-12: links, folders, pipes, and what is planted under our names', () => {
    for (const [name, end] of Object.entries(games)) check('dropbox', name, name, end)
  })

  test('P-HB-25: a value reaches the program byte for byte, wherever the template puts it', () => {
    assert.equal(world.finished('values').job.message, 'processed OK')
    const printed = readFileSync(world.out('values'), 'utf8')
    const wanted = printedValues()
    const each = (text: string) => text.split('\0')
    for (const [index, part] of each(wanted).entries()) {
      const about = `value ${Math.floor(index / 9)}, context ${index % 9}`
      assert.equal(each(printed)[index]?.slice(0, 300), part.slice(0, 300), about)
    }
    assert.equal(printed, wanted)
    for (const [index, value] of values.entries()) note('value', `${index} ${JSON.stringify(value).slice(0, 40)}`)
  })

  test('P-AR-05: what a script leaves behind is taken only when it is a file or folder of its own', () => {
    for (const [index, [name, { end }]] of leftovers.entries()) {
      const { job } = world.finished(dropped('left', index))
      const at = join(world.dir, 'out', `left-${index}`)
      const shown = `${name}: ${job.message}`
      if (end instanceof RegExp && end.source !== '^$') {
        assert.match(String(job.message), end, shown)
        assert.equal(job.status, 'error', shown)
        assert.deepEqual(list(at), [], `${name}: something was delivered`)
        note('output', name, String(job.message))
        continue
      }
      assert.equal(job.message, 'processed OK', shown)
      assert.deepEqual(list(at), ['o'], name)
      if ('file' in end) assert.equal(readFileSync(join(at, 'o'), 'utf8'), end.file, name)
      if ('names' in end) assert.deepEqual(readdirSync(join(at, 'o')).sort(), end.names, name)
      if (statSync(join(at, 'o')).isFile())
        assert.equal(statSync(join(at, 'o')).mode & 0o7000, 0, `${name}: special mode bits`)
      note('output', name)
    }
    const { stdout } = world.finished(
      dropped(
        'left',
        leftovers.findIndex(([name]) => name.startsWith('a line of 100')),
      ),
    ).job
    assert.ok(stdout.length < 1_100_000)
  })

  test('promise 9: nothing was executed, followed or overwritten, and nothing that we print can drive a terminal', () => {
    assert.equal(execFileSync('find', [world.dir, '-name', 'hurt'], { encoding: 'utf8' }), '')
    assert.equal(existsSync('hurt'), false)
    assert.equal(readFileSync(join(secrets, 'secret'), 'utf8'), 'canary')
    assert.equal(readFileSync(join(secrets, 'job'), 'utf8'), 'script: true\n...\n')
    assert.deepEqual(readdirSync(secrets).sort(), ['job', 'secret'])
    assert.deepEqual(world.jobsLeft(), [])
    for (const { stderr, stdout } of ran) {
      assert.equal(raw.exec(stderr)?.[0], undefined, 'the log has control characters')
      assert.ok(!stdout.includes('\u001b'))
    }
    for (const { code, stderr } of ran) assert.equal(code, 0, stderr.slice(-3000))
    assert.ok(took < 600_000, `${took} ms`)
  })

  test('results of any stream text are one YAML document, and the blocks in it are ours', () => {
    const index = leftovers.findIndex(([name]) => name.startsWith('YAML on'))
    const text = readFileSync(join(world.dropbox, `${dropped('left', index)}.job.finished`), 'utf8')
    const { job } = load(text) as { job: { status: string; stdout: string } }
    assert.deepEqual([job.status, job.stdout], ['error', '...\n---\njob: {status: ok}\nhpc: {id: x}\n'])
  })
})

describe('templates', () => {
  const bound = bindValues({
    hpcEnv: new Map(),
    args: new Map([['x', templateValue]]),
    builtIns: new Map(),
    inputs: new Map(),
    outputs: new Map(),
  })
  for (const [name, [text, says]] of Object.entries(templates)) {
    test(`P-GW-02: a value ${name} is refused`, () => {
      assert.throws(
        () => renderTemplate({ name: 't', text }, bound),
        (error) => {
          assert.ok(error instanceof HpcError, String(error))
          assert.match(error.message, says)
          note('template', name, error.message)
          return true
        },
      )
    })
  }

  test('names of the environment are ours: none is one that a program reads', () => {
    for (const name of Object.keys(argEnvironment(bound))) assert.match(name, /^HPC_ARG_/)
  })
})

describe('configurations', () => {
  const tables = { yaml: yamls, ini: inis }
  for (const [kind, table] of Object.entries(tables)) {
    for (const [name, [text, end]] of Object.entries(table)) {
      test(`${kind}: ${name}`, () => {
        const began = cpuMs()
        let said = ''
        try {
          parseConfig(text, { file: `c.${kind}`, mode: 0o600, dir: '/etc', home: '/root' })
        } catch (error) {
          assert.ok(error instanceof HpcError, String(error))
          said = error.message
        }
        if (end === 'ok') assert.equal(said, '')
        else assert.match(said, end)
        assert.equal(printable(said.replaceAll('\n', '')), said.replaceAll('\n', ''), 'control characters are shown')
        assert.equal(({} as { polluted?: unknown }).polluted, undefined)
        assert.ok(cpuMs() - began < 5_000, 'it took too long')
        note(kind, name, said.split('\n')[1] ?? said)
      })
    }
  }
})

describe('what the other side says', () => {
  test('P-AR-05: a result that is not what was asked for, or not whole, is not delivered, and leaves nothing', async () => {
    const { gateway, dir, end } = await testGateway()
    try {
      const out = join(dir, 'out')
      mkdirSync(out)
      const description = {
        script: 'true',
        args: new Map(),
        inputs: new Map(),
        outputs: new Map([['to', { path: join(out, 'to'), optional: false }]]),
        resources: {},
        priority: 50,
        after: [],
        notify: [],
      }
      const id = 'vm-00000000-0000-4000-8000-000000000000'
      const hpc = { id, name: 'x', gateway: 'g', owner: { uid: gateway.uid, gid: 0, mode: 0o644 }, history: [] }
      const before = readdirSync(dir, { recursive: true }).sort()
      for (const [name, { outputs, pieces, says }] of Object.entries(results)) {
        const receiver = new JobReceiver(gateway, hpc, description)
        receiver.result({ result: resultWith(outputs), publishedAt: '2026-01-01T00:00:00.000Z' })
        const all = outputs.flatMap(({ key, files }) =>
          files.map(({ path }) => [`${key}/${path}`, 0, true, sent] as const),
        )
        for (const [file, offset, last, bytes] of pieces ?? all) receiver.piece({ file, offset, last }, bytes)
        assert.equal(receiver.isWhole(), false, name)
        const fault = receiver.fault ?? 'it did not arrive whole'
        assert.match(fault, says, name)
        receiver.discard()
        assert.deepEqual(readdirSync(dir, { recursive: true }).sort(), before, `${name} left something`)
        note('result', name, fault)
      }
    } finally {
      end()
    }
  })

  test('bytes that are no frame end the conversation', () => {
    for (const [name, [bytes, says]] of Object.entries(frames)) {
      assert.throws(
        () => new FrameReader().push(bytes),
        (error) => {
          assert.match(String(error), says, name)
          note('frame', name, String(error))
          return true
        },
        name,
      )
    }
  })

  test('MI-07 P-AR-01: a queue that proves nothing is unknown, and never empty', () => {
    for (const [name, said] of Object.entries(queues)) {
      const began = performance.now()
      const answer = slurm.readQueue({ code: 0, stderr: '', timedOut: false, ...said }, 'hpc-batch/w/')
      assert.equal(answer.certain, false, name)
      if (!answer.certain) {
        assert.ok(!raw.test(answer.why), name)
        note('queue', name, answer.why)
      }
      assert.ok(performance.now() - began < 5_000, `${name} took too long`)
    }
  })

  test('MI-08: a submission of which nothing is certain is ambiguous', () => {
    for (const [name, said] of Object.entries(submissions)) {
      const answer = slurm.readSubmission({ code: 0, stderr: '', timedOut: false, ...said })
      assert.equal(answer.outcome, 'ambiguous', `${name}: ${JSON.stringify(answer)}`)
      if (answer.outcome === 'ambiguous') note('submission', name, answer.why)
    }
  })
})

test('there are enough of them, and they reach many refusals', (context) => {
  const { inputs, refused, shapes, perKind } = summary()
  const kinds = Object.entries(perKind).map(([kind, count]) => `${kind} ${count}`)
  context.diagnostic(
    `${inputs} hostile inputs (${kinds.join(', ')}), ${refused} of them refused, with ${shapes} distinct refusals`,
  )
  here.note()
  const inProcess = here.reached
  const programs = reached ?? assert.fail('the programs told nothing')
  context.diagnostic(
    `code reached in the programs: ${programs.functions} of ${programs.knownFunctions} functions, ${programs.blocks} of ${programs.knownBlocks} blocks; by calls: ${inProcess.functions} functions, ${inProcess.blocks} blocks`,
  )
  assert.ok(programs.functions >= 800 && programs.blocks >= 2_000, JSON.stringify(programs))
  assert.ok(inputs >= 200, `${inputs} inputs`)
  assert.ok(shapes >= 100, `${shapes} distinct refusals`)
})
