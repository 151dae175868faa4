import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, test } from 'node:test'
import { spoolAt } from '../../contract/spool.ts'
import type { ResultRecord } from '../../contract/spool-records.ts'
import { settleResult } from '../../spool/attempt.ts'
import { hasEnded, readEnd } from '../../spool/end-file.ts'
import { forgetOldSeats, releaseSeat, seatedRunners, stillSeated, takeSeat } from '../../spool/seat.ts'
import { Files } from '../../system/files.ts'
import { claimNumber, highestNumber, numbersIn } from '../../system/numbered-file.ts'
import { type Os, realOs } from '../../system/os.ts'
import { groupLives, processesMarked, runCommand } from '../../system/process.ts'
import { killQuietly, lives, names } from '../support/site.ts'
import { root, until } from '../support/world.ts'

const top = mkdtempSync(join(tmpdir(), 'hpc-system-'))
after(() => rmSync(top, { recursive: true, force: true }))
let folders = 0
function folder(): string {
  folders += 1
  const dir = join(top, String(folders))
  mkdirSync(dir)
  return dir
}
const files = new Files(realOs)

/** A network file system whose answer to a successful rename or exclusive create got lost, and was asked for again. */
const deaf: Os = {
  ...realOs,
  renameSync: (from, to) => {
    realOs.renameSync(from, to)
    throw Object.assign(new Error('answer lost'), { code: 'ENOENT' })
  },
}

describe('Files when the answer to a rename is lost', () => {
  const lossy = new Files(deaf)
  test('publish(), replace() and move() look at the target before they believe an error', () => {
    const dir = folder()
    lossy.publish(join(dir, 'a'), 'content')
    lossy.replace(join(dir, 'b'), 'content')
    assert.equal(lossy.move(join(dir, 'a'), join(dir, 'c')), true)
    assert.deepEqual(names(dir), ['b', 'c'])
    assert.equal(files.move(join(dir, 'a'), join(dir, 'd')), false)
  })
  test('settleResult() knows its own result', () => {
    const control = spoolAt(folder()).control('x')
    files.makeFolder(control.attempts)
    assert.equal(settleResult(lossy, control, { nonce: 'mine', attempt: 1 } as ResultRecord).nonce, 'mine')
  })
})

test('promise 3: of several attempts that settle, the first counts, and all are told so', () => {
  const control = spoolAt(folder()).control('x')
  files.makeFolder(control.attempts)
  const settle = (nonce: string, attempt: number) =>
    settleResult(files, control, { nonce, attempt } as ResultRecord).nonce
  assert.deepEqual([settle('b', 2), settle('a', 1), settle('b', 2), settle('c', 3)], ['b', 'b', 'b', 'b'])
  assert.deepEqual(names(control.result), ['result.json'])
})

describe('removeTree()', () => {
  test('follows no link and leaves what it points to', () => {
    const dir = folder()
    mkdirSync(join(dir, 'precious'))
    writeFileSync(join(dir, 'precious', 'file'), 'x')
    mkdirSync(join(dir, 'tree', 'in'), { recursive: true })
    symlinkSync(join(dir, 'precious'), join(dir, 'tree', 'in', 'link'))
    symlinkSync(join(dir, 'precious'), join(dir, 'link'))
    chmodSync(join(dir, 'tree', 'in'), 0)
    files.removeTree(join(dir, 'tree'))
    files.removeTree(join(dir, 'link'))
    files.removeTree(join(dir, 'nothing'))
    assert.deepEqual([names(dir), names(join(dir, 'precious'))], [['precious'], ['file']])
  })

  test('removes what bears a name that is no UTF-8', () => {
    const dir = folder()
    mkdirSync(join(dir, 'tree'))
    const odd = (last: number) => Buffer.concat([Buffer.from(join(dir, 'tree', 'a')), Buffer.from([last])])
    mkdirSync(odd(0xff))
    writeFileSync(odd(0xfe), 'x')
    files.removeTree(join(dir, 'tree'))
    assert.deepEqual(names(dir), [])
  })
})

describe('numbered files', () => {
  test('numbersIn() knows only whole numbers behind its prefix', () => {
    assert.deepEqual(
      numbersIn(['2', '10', '1', '0', '01', '1.end', '.5', 'x3', '-4', '1e3', '9'.repeat(16)]),
      [1, 2, 10],
    )
    assert.deepEqual(numbersIn(['0.1', '0.2.closing', '1.7', '0.12'], '0.'), [1, 12])
  })
  test('a number is claimed once; a lower one than the highest never', () => {
    const dir = folder()
    assert.equal(claimNumber(files, dir, 5, { nonce: 'a' })?.number, 5)
    assert.equal(claimNumber(files, dir, 5, { nonce: 'b' }), undefined)
    assert.equal(claimNumber(files, dir, 5, { nonce: 'a' })?.number, 5, 'its own, whose answer was lost')
    assert.equal(claimNumber(files, dir, 4, { nonce: 'c' }), undefined)
    assert.equal(highestNumber(files, dir), 5)
  })
  test('promise 4: four processes that claim the next number at one time share it out', async () => {
    const dir = folder()
    const text = `
      import { Files } from '${root}/system/files.ts'
      import { realOs } from '${root}/system/os.ts'
      import { claimNumber, highestNumber } from '${root}/system/numbered-file.ts'
      const files = new Files(realOs)
      for (let got = 0; got < 20; ) {
        const number = highestNumber(files, process.argv[1]) + 1
        if (claimNumber(files, process.argv[1], number, { nonce: process.pid + '.' + number }) !== undefined) { got += 1; console.log(number) }
      }`
    const outputs = await Promise.all(
      Array.from({ length: 4 }, () =>
        runCommand({ argv: [process.execPath, '--import', 'tsx', '--input-type=module', '-e', text, dir] }, 60_000),
      ),
    )
    const claimed = outputs.flatMap(({ stdout, stderr }) => {
      assert.equal(stderr, '')
      return stdout.trim().split('\n').map(Number)
    })
    assert.equal(claimed.length, 80)
    assert.equal(new Set(claimed).size, 80)
  })
})

test('P-WM-03: two processes that take 1,000 keys take each once', async () => {
  const dir = folder()
  for (const name of ['queue', 'a', 'b']) mkdirSync(join(dir, name))
  for (let key = 0; key < 1000; key++) writeFileSync(join(dir, 'queue', String(key)), '')
  const text = `
    import { Files } from '${root}/system/files.ts'
    import { realOs } from '${root}/system/os.ts'
    const files = new Files(realOs)
    const [dir, mine] = process.argv.slice(1)
    let taken = 0
    while (!files.exists(dir + '/go')) {}
    for (;;) {
      const keys = files.list(dir + '/queue')
      if (keys.length === 0) break
      for (const key of keys) if (files.move(dir + '/queue/' + key, dir + '/' + mine + '/' + key)) taken += 1
    }
    console.log(taken)`
  const claimers = ['a', 'b'].map((mine) =>
    runCommand({ argv: [process.execPath, '--import', 'tsx', '--input-type=module', '-e', text, dir, mine] }, 60_000),
  )
  writeFileSync(join(dir, 'go'), '')
  const taken = (await Promise.all(claimers)).map(({ stdout }) => Number(stdout))
  assert.deepEqual(taken, [names(join(dir, 'a')).length, names(join(dir, 'b')).length])
  assert.equal((taken[0] ?? 0) + (taken[1] ?? 0), 1000)
})

describe('ends', () => {
  test('promise 1: an end file without its content is an end', () => {
    const dir = folder()
    const unknown = { how: 'unknown' }
    assert.equal(readEnd(files, join(dir, 'x'), unknown), undefined)
    writeFileSync(join(dir, 'x'), '')
    assert.equal(readEnd(files, join(dir, 'x'), unknown), unknown)
    writeFileSync(join(dir, 'x'), '{"how":"drained"}')
    assert.deepEqual(readEnd(files, join(dir, 'x'), unknown), { how: 'drained' })
  })
})

describe('seats', () => {
  const laneIn = () => {
    const lane = spoolAt(folder()).lane('l')
    for (const dir of [lane.seats, lane.runners]) files.makeFolder(dir)
    for (const runner of ['a', 'b', 'c']) files.publish(lane.runner(runner), '{}')
    return lane
  }
  const as = (runner: string) => ({ nonce: `nonce of ${runner}`, runner })
  test('promise 4: max_runners seats, each for one', () => {
    const lane = laneIn()
    assert.deepEqual(
      [
        takeSeat(files, lane, 2, as('a'))?.seat,
        takeSeat(files, lane, 2, as('b'))?.seat,
        takeSeat(files, lane, 2, as('c')),
      ],
      [0, 1, undefined],
    )
    assert.deepEqual(
      seatedRunners(files, lane)
        .map(({ runner }) => runner)
        .sort(),
      ['a', 'b'],
    )
  })
  test('a released seat, one of an ended runner, and one of a forgotten runner are free; the number grows', () => {
    const lane = laneIn()
    const first = takeSeat(files, lane, 1, as('a'))
    assert.ok(first)
    releaseSeat(files, first)
    assert.equal(takeSeat(files, lane, 1, as('b'))?.number, 2)
    assert.equal(stillSeated(files, lane, first), false)
    files.createExclusive(`${lane.runner('b')}.end`, '')
    assert.equal(takeSeat(files, lane, 1, as('c'))?.number, 3)
    files.remove(lane.runner('c'))
    assert.equal(hasEnded(files, lane, 'c'), true)
    assert.equal(takeSeat(files, lane, 1, as('a'))?.number, 4)
    assert.equal(hasEnded(files, lane, 'a'), false)
  })
  test('promise 1: a seat whose taker died while taking it is free after a while, and not before', () => {
    const lane = laneIn()
    writeFileSync(join(lane.seats, '0.1'), '')
    const empty = new Map()
    assert.equal(takeSeat(files, lane, 1, as('a'), empty, 1_000), undefined)
    assert.equal(takeSeat(files, lane, 1, as('a'), empty, 10_999), undefined)
    assert.equal(takeSeat(files, lane, 1, as('a'), empty, 11_000)?.number, 2)
  })
  test('old numbers go, the highest stay', () => {
    const lane = laneIn()
    for (let number = 1; number <= 30; number++) {
      writeFileSync(join(lane.seats, `0.${number}`), '')
      writeFileSync(join(lane.seats, `0.${number}.released`), '')
    }
    writeFileSync(join(lane.seats, '1.1'), '')
    forgetOldSeats(files, lane)
    assert.deepEqual(
      numbersIn(names(lane.seats), '0.'),
      Array.from({ length: 11 }, (_, i) => i + 20),
    )
    assert.deepEqual(numbersIn(names(lane.seats), '1.'), [1])
  })
})

describe('processes', () => {
  test('runCommand() gives up what holds its streams open, and what outlives its time', async () => {
    const started = performance.now()
    const left = await runCommand({ argv: ['/bin/sh', '-c', 'sleep 20 & echo $!; exit 3'] }, 10_000)
    assert.deepEqual([left.code, left.timedOut], [3, false])
    killQuietly(Number(left.stdout))
    const late = await runCommand({ argv: ['/bin/sh', '-c', 'trap "" TERM; sleep 20; sleep 20'] }, 300)
    assert.deepEqual([late.code, late.timedOut], [null, true])
    assert.ok(performance.now() - started < 9_000)
  })
  test('runCommand() never throws: not for a missing program, not for too many words', async () => {
    assert.equal((await runCommand({ argv: ['/no/such/program'] }, 1_000)).code, 127)
    assert.equal((await runCommand({ argv: ['/bin/true', 'x'.repeat(3_000_000)] }, 1_000)).code, 127)
  })
  test('processesMarked() finds children in other sessions, and those of an empty environment by their session', async () => {
    const dir = folder()
    const script = `setsid sh -c 'echo $$ >${dir}/setsid; exec sleep 60' & env -i sh -c 'echo $$ >${dir}/empty; exec sleep 60' & echo $$ >${dir}/own; wait`
    const child = spawn('/bin/sh', ['-c', script], {
      detached: true,
      stdio: 'ignore',
      env: { ...process.env, MARK: 'here.1' },
    })
    const other = spawn('/bin/sleep', ['60'], {
      detached: true,
      stdio: 'ignore',
      env: { MARK: 'here.12', NOTMARK: 'MARK=here.1' },
    })
    await until('all to be there', () =>
      ['setsid', 'empty', 'own'].every(
        (name) => names(dir).includes(name) && readFileSync(join(dir, name), 'utf8') !== '',
      ),
    )
    const pids = ['setsid', 'empty', 'own'].map((name) => Number(readFileSync(join(dir, name), 'utf8')))
    const found = processesMarked('MARK', 'here.1')
    for (const pid of pids) assert.ok(found.includes(pid), `${pid} of ${found}`)
    assert.ok(!found.includes(other.pid ?? 0))
    assert.equal(groupLives(child.pid ?? 0), true)
    for (const pid of [...found, other.pid ?? 0]) killQuietly(pid)
    await until('all to be gone', () => !pids.some(lives) && !groupLives(child.pid ?? 0))
    assert.deepEqual(processesMarked('MARK', 'here.1'), [])
  })
})
