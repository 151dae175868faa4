/** Lines for people on stderr: time, level, text. Programs hand one of these down; nothing logs and then goes on as if all were well. */
import { printable } from '../contract/errors.ts'
import { type Clock, isoTime } from './clock.ts'

export interface Log {
  debug(text: string): void
  info(text: string): void
  warn(text: string): void
}

export const levels = ['debug', 'info', 'warn'] as const
export type Level = (typeof levels)[number]

export function lineLog(clock: Clock, lowest: Level, write: (line: string) => void): Log {
  const at = (level: Level) => (text: string) => {
    if (levels.indexOf(level) >= levels.indexOf(lowest)) {
      write(`${isoTime(clock.now())} ${level.padEnd(5)} ${text.split('\n').map(printable).join('\n  ')}\n`)
    }
  }
  return { debug: at('debug'), info: at('info'), warn: at('warn') }
}

export const silentLog: Log = { debug: () => undefined, info: () => undefined, warn: () => undefined }
