/** What a fuzz target is: a parser, inputs to begin with, and what must hold whatever bytes it is given. */
import assert from 'node:assert/strict'
import { HpcError } from '../../contract/errors.ts'

export interface Target {
  readonly name: string
  /** Inputs to begin with; the real ones where there are any. */
  readonly seeds: readonly (string | Uint8Array)[]
  /** Words that a mutation may put in: what the parser knows, which chance alone would not find. */
  readonly words: readonly string[]
  /**
   * Gives the parser one input. Returns the sentence it was refused with, or '' when it was read; throws when something does not hold.
   */
  readonly run: (bytes: Buffer) => string | Promise<string>
  /** The files whose code it is to reach; the product's, when not given. */
  readonly code?: (url: string) => boolean
  /** Takes away what it made. */
  readonly end?: () => Promise<void>
}

/** The message of an error of ours; any other error goes on, and is what a fuzz run looks for. */
export function refusalOf(act: () => unknown): string {
  try {
    act()
    return ''
  } catch (error) {
    if (error instanceof HpcError) return shown(error.message)
    throw error
  }
}

const harmful = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200e\u200f\u202a-\u202e\u2066-\u2069]/

/** A sentence for people must not drive their terminal, nor fill it. */
export function shown(message: string): string {
  assert.ok(message !== '', 'an empty message')
  assert.ok(!harmful.test(message), `a message with control characters: ${JSON.stringify(message.slice(0, 300))}`)
  assert.ok(message.length < 20_000, `a message of ${message.length} characters`)
  return message
}
