/** Where each slot is: slots go round the nodes of the allocation, the runner's own first. */
import { hostNamesCommand, readHostNames } from '../scheduler/slurm-steps.ts'
import type { Log } from '../system/logger.ts'
import { runCommand } from '../system/process.ts'

const askMs = 60_000

/** Names of the nodes that slots are on, the runner's own first. Only of Slurm we know how to start something on another. */
export async function findNodes(
  scheduler: string,
  environment: Readonly<Record<string, string | undefined>>,
  own: string,
  log: Log,
): Promise<readonly string[]> {
  const command = scheduler === 'slurm' ? hostNamesCommand(environment) : undefined
  if (command === undefined) return [own]
  const reply = await runCommand(command, askMs)
  const nodes = readHostNames(reply, environment)
  if (nodes !== undefined) return nodes
  const said = (reply.stderr || reply.stdout).trim().slice(-300)
  log.warn(`the nodes of this allocation could not be had (scontrol: ${said}): all slots are on ${own}`)
  return [own]
}

export interface Place {
  /** Undefined is the runner's own node. */
  readonly node: string | undefined
  /** How many slots are on that node, and which of them this is. */
  readonly slots: number
  readonly slot: number
}

export function placeOf(slot: number, slots: number, nodes: readonly string[]): Place {
  const at = slot % nodes.length
  return {
    node: at === 0 ? undefined : nodes[at],
    slots: Math.ceil((slots - at) / nodes.length),
    slot: Math.floor(slot / nodes.length),
  }
}
