/** What a runner tries first, in the very environment the scripts get, on each node that has slots. */
import { stepWords } from '../scheduler/slurm-steps.ts'
import { runCommand } from '../system/process.ts'
import { siteEnvironment, withoutNodesOwn } from './job-environment.ts'
import type { Runner } from './runner.ts'

const atMostMs = 120_000

/** Why it failed; undefined when it did not. */
export async function tryPreflight(runner: Runner, text: string, slots: number): Promise<string | undefined> {
  const env = siteEnvironment(runner.environment)
  const shell = ['/bin/bash', '-c', text] as const
  const tries = runner.nodes.slice(0, slots).map(async (name, at) => {
    const far = ['env', ...stepWords(name, 'preflight', runner.environment), ...shell] as const
    const command = at === 0 ? { argv: shell, env } : { argv: far, env: withoutNodesOwn(env) }
    const reply = await runCommand(command, atMostMs, 'alone')
    if (reply.code === 0) return undefined
    const how = reply.timedOut ? 'in time' : `with ${reply.code}`
    const said = (reply.stderr || reply.stdout).trim().slice(-300)
    return `preflight failed on ${at === 0 ? runner.node : name} ${how}: ${said}`
  })
  return (await Promise.all(tries)).find((why) => why !== undefined)
}
