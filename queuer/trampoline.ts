/** The batch script of an allocation: finds a Node that runs on the worker and becomes the runner. */
import { join } from 'node:path'
import { findNodeLines, shellQuoted } from '../contract/shell-text.ts'
import type { LaneShape } from '../contract/spool-records.ts'
import type { Scheduler } from '../scheduler/scheduler.ts'
import type { Queuer } from './queuer.ts'

export function trampoline(
  queuer: Queuer,
  shape: LaneShape,
  scheduler: Scheduler,
  nonce: string,
  identity: string,
): string {
  const own = join(queuer.spool.programs, 'node', 'bin', 'node')
  const program = join(queuer.programDir, 'hpc_runner')
  const args = ['--workspace', queuer.spool.root, '--lane', shape.lane, '--nonce', nonce].map(shellQuoted).join(' ')
  return `#!/bin/bash
# The runner of lane ${shape.lane}, written by hpc_queuer. It ends by itself when nothing is left to run.
# the warning before the end of the walltime can come before anybody hears it, and would end this shell
trap '' USR2
${scheduler.environment}
${findNodeLines(shape.node, [queuer.node, own])}
exec "$NODE" ${shellQuoted(program)} ${args} --native-id "$NATIVE_ID" --restart "$RESTART"${shape.debug === true ? ' --debug' : ''} ${shellQuoted(identity)}
`
}
