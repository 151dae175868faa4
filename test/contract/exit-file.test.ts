import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseExitFile } from '../../contract/exit-file.ts'

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

test('parseExitFile() reads what another node told: its words, and the times of the script alone', () => {
  const exit = (said: string) =>
    parseExitFile(
      `0m0.0s 0m0.0s\n0m9.0s 0m9.0s\ngroup 77\nstart 1.00\n${said}\nfar 0m1.250s 0m0.500s\nrc 143 2.00\n0m0.0s 0m0.0s\n0m0.1s 0m0.1s\nend\n`,
    )
  assert.deepEqual([exit('')?.rc, exit('Terminated\n')?.rc], [143, -15])
  assert.equal(exit('')?.cpuMs, 1750)
})

test('parseExitFile() counts neither what earlier scripts of the same shell used, nor what was made ready in vain', () => {
  const earlier = '0m0.1s 0m0.1s\n1m0.500s 0m0.500s\n'
  const exit = parseExitFile(
    `0m0.0s 0m0.0s\n0m0.1s 0m0.1s\n${earlier}group 77\nstart 10.50\nrc 0 12.75\n0m9.0s 0m9.0s\n1m1.000s 0m0.750s\nend\n`,
  )
  assert.deepEqual(exit, { rc: 0, startUptimeMs: 10_500, endUptimeMs: 12_750, cpuMs: 750, group: 77 })
})
