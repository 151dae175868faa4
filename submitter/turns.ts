/**
 * A job's turn, fixed at acceptance: one after the turn now served in its lane, or after the last turn of its owner and script. So a bulk
 * drop queues up behind itself, and a one-off is served among the first of it.
 */
import { type Gateway, statePaths } from './gateway.ts'

interface LaneTurns {
  served: number
  last: Record<string, number>
}

export class Turns {
  readonly #gateway: Gateway
  readonly #lanes: Record<string, LaneTurns>
  #changed = false

  constructor(gateway: Gateway) {
    this.#gateway = gateway
    this.#lanes = gateway.files.readJson<Record<string, LaneTurns>>(statePaths(gateway.config.state).turns) ?? {}
  }

  next(lane: string, ownerUid: number, script: string): number {
    const turns = this.#lane(lane)
    const who = `${ownerUid}/${script}`
    const turn = Math.max(turns.served, turns.last[who] ?? 0) + 1
    turns.last[who] = turn
    this.#changed = true
    return turn
  }

  /** What a look at the lane told: the first turn that still waits. Owners that are behind it need not be remembered. */
  served(lane: string, firstTurn: number): void {
    const turns = this.#lane(lane)
    if (firstTurn <= turns.served) return
    turns.served = firstTurn - 1
    for (const [who, last] of Object.entries(turns.last)) if (last <= turns.served) delete turns.last[who]
    this.#changed = true
  }

  #lane(lane: string): LaneTurns {
    this.#lanes[lane] ??= { served: 0, last: {} }
    return this.#lanes[lane]
  }

  save(): void {
    if (this.#changed)
      this.#gateway.files.replace(statePaths(this.#gateway.config.state).turns, `${JSON.stringify(this.#lanes)}\n`)
    this.#changed = false
  }
}
