/** What was tried and how each ended: the count that the suite prints at its end. */
import assert from 'node:assert/strict'

interface Tried {
  readonly kind: string
  readonly name: string
  /** The sentence it was refused with; empty when it was to do no harm and did none. */
  readonly refusal: string
}

const tried: Tried[] = []

/** Notes that an input had its expected end. */
export function note(kind: string, name: string, refusal = ''): void {
  assert.ok(!tried.some((other) => other.kind === kind && other.name === name), `${kind} ${name} stands twice`)
  tried.push({ kind, name, refusal })
}

/** What is left of a message when its values are taken out: two inputs refused alike have one shape. */
export function shapeOf(message: string): string {
  return message
    .replace(/"(?:[^"\\]|\\.)*"?/g, '"…"')
    .replace(/\b(args|input_map|output_map|resources|after|notify)[.[][^ ,;:]*/g, '$1.…')
    .replace(/\/[^\s,;:]+/g, '/…')
    .replace(/\d+/g, '#')
}

export interface Summary {
  readonly inputs: number
  readonly refused: number
  readonly shapes: number
  readonly perKind: Readonly<Record<string, number>>
}

export function summary(): Summary {
  const refusals = tried.filter(({ refusal }) => refusal !== '')
  const perKind: Record<string, number> = {}
  for (const { kind } of tried) perKind[kind] = (perKind[kind] ?? 0) + 1
  return {
    inputs: tried.length,
    refused: refusals.length,
    shapes: new Set(refusals.map(({ refusal }) => shapeOf(refusal))).size,
    perKind,
  }
}
