/** Time: the calendar for people, the monotonic clock for decisions. Ages are never computed across two machines. */
import { readFileSync } from 'node:fs'

export interface Clock {
  /** Milliseconds since the epoch; only ever shown, or compared with what the same clock said. */
  now(): number
  /** Milliseconds of a clock that only goes forward, within this process. */
  monotonicMs(): number
  /** A forward-only clock that outlives the process: comparable only while `bootId` is the same. */
  uptime(): { readonly bootId: string; readonly ms: number }
  sleep(ms: number): Promise<void>
  /** What `promise` gives, or undefined when it took longer; no timer is left behind. */
  within<T>(ms: number, promise: Promise<T>): Promise<T | undefined>
}

let bootId: string | undefined

function uptimeMs(): number {
  return Math.round(Number(readFileSync('/proc/uptime', 'utf8').split(' ')[0]) * 1000)
}

export const realClock: Clock = {
  now: () => Date.now(),
  monotonicMs: () => performance.now(),
  uptime: () => {
    bootId ??= readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()
    return { bootId, ms: uptimeMs() }
  },
  sleep: (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
  within: (ms, promise) => {
    let timer: NodeJS.Timeout
    const late = new Promise<undefined>((resolve) => {
      timer = setTimeout(() => resolve(undefined), ms)
    })
    return Promise.race([promise, late]).finally(() => clearTimeout(timer))
  },
}

/** ISO 8601 in UTC with milliseconds. */
export function isoTime(ms: number): string {
  return new Date(ms).toISOString()
}
