/**
 * Loaded into each built program before its own code (`node --require`): the programs know nothing of it, and production pays nothing. It
 * counts what the process changes in the world, and ends it where the plan says.
 */
import fs from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'
import { basename } from 'node:path'
import { Effects } from './effects.ts'
import { type Call, wrapFiles } from './file-effects.ts'
import { type Plan, type Program, planVariable } from './plan.ts'
import { wrapCommands, wrapSending } from './wire-effects.ts'

const known: Readonly<Record<string, Program>> = {
  'hpc-submitter.mjs': 'submitter',
  hpc_queuer: 'queuer',
  hpc_runner: 'runner',
}

function shiftUptime(aheadMs: number): void {
  const table = fs as unknown as Record<string, Call>
  const read = table.readFileSync as Call
  table.readFileSync = (...args) => {
    const text = read(...args)
    if (args[0] !== '/proc/uptime') return text
    return `${(Number(String(text).split(' ')[0]) + aheadMs / 1000).toFixed(2)} 0.00\n`
  }
}

const program = known[basename(process.argv[1] ?? '')]
const file = process.env[planVariable]
if (program !== undefined && file !== undefined) {
  const told = JSON.parse(fs.readFileSync(file, 'utf8')) as Plan
  // it strikes once; what is started later in the same run lives
  const plan = fs.existsSync(told.struck) ? { ...told, strike: undefined } : told
  if (program === 'runner' && plan.hold) process.kill(process.pid, 'SIGKILL')
  const effects = new Effects(plan, program)
  // scripts and their runner measure times against the kernel's own clock
  if (program !== 'runner') shiftUptime(plan.aheadMs)
  wrapFiles(effects)
  wrapCommands(effects)
  if (program === 'queuer') wrapSending(effects, process.stdout, 'to hpc-submitter')
  syncBuiltinESMExports()
}
