import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, test } from 'node:test'
import { parseExitFile, wrapperText } from '../../contract/exit-file.ts'

const whole = 'start 10.50\nrc 3 12.75\n0m0.010s 0m0.020s\n0m1.250s 0m0.500s\nend\n'

test('P-AR-05: parseExitFile() finds an exit only in a whole file', () => {
  assert.deepEqual(parseExitFile(whole), { rc: 3, startUptimeMs: 10_500, endUptimeMs: 12_750, cpuMs: 1750 })
  for (let length = 0; length < whole.length; length++)
    assert.equal(parseExitFile(whole.slice(0, length)), undefined, `${length}`)
  assert.equal(parseExitFile(undefined), undefined)
  assert.equal(parseExitFile('garbage\nend\n'), undefined)
})

test('HB-25: parseExitFile() tells a signal, which the shell names, from an exit code of the same number', () => {
  const exit = (said: string, rc: number) => parseExitFile(`start 1.00\n${said}rc ${rc} 2.00\nend\n`)?.rc
  assert.equal(exit('', 137), 137)
  assert.equal(exit('Killed\n', 137), -9)
  assert.equal(exit('sh: line 4:  123 Terminated   ( exec "$1" )\n', 143), -15)
  assert.equal(exit('', 0), 0)
  assert.equal(exit("/bin/sh: 4: cd: can't cd\n", 2), 2)
})

describe('HB-25: the wrapper tells the same in every shell that may be /bin/sh', () => {
  const dir = mkdtempSync(join(tmpdir(), 'hpc-wrapper-'))
  after(() => rmSync(dir, { recursive: true, force: true }))
  const wrapper = join(dir, 'wrapper')
  writeFileSync(wrapper, wrapperText)
  const shells = [['/bin/dash'], ['/bin/bash', '--posix'], ['/bin/busybox', 'sh'], ['/usr/bin/busybox', 'sh']].filter(
    ([path]) => existsSync(path ?? ''),
  )
  for (const [shell = '', ...options] of shells) {
    for (const [text, rc] of [
      ['exit 0', 0],
      ['exit 137', 137],
      ['kill -9 $$', -9],
      ['kill -TERM $$', -15],
      ['kill -SEGV $$', -11],
    ] as const) {
      test(`${[shell, ...options].join(' ')}: "${text}" is ${rc}`, () => {
        const script = join(dir, 'script')
        const exit = join(dir, 'exit')
        rmSync(exit, { force: true })
        writeFileSync(script, `#!/bin/sh\n${text}\n`, { mode: 0o700 })
        spawnSync(shell, [...options, wrapper, script, dir, join(dir, 'out'), join(dir, 'err'), exit])
        assert.equal(parseExitFile(readFileSync(exit, 'utf8'))?.rc, rc)
      })
    }
  }
  test('there is more than one such shell here', () => assert.ok(shells.length > 1))
})
