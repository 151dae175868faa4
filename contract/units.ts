/** Durations, memory and sizes: text a person writes to a number with its unit in the name, and back. Strict: no half-read values. */

const seconds = { d: 86_400, h: 3_600, m: 60, s: 1 } as const

/** `8h`, `1d2h30m`, `90m`, `20s`, `500ms` (all units whole numbers, largest first); undefined when it is anything else. `0s` is 0. */
export function parseDurationMs(text: string): number | undefined {
  const milliseconds = /^(\d{1,9})ms$/i.exec(text)
  if (milliseconds?.[1] !== undefined) return Number(milliseconds[1])
  const match = /^(?:(\d{1,9})d)?(?:(\d{1,9})h)?(?:(\d{1,9})m)?(?:(\d{1,9})s)?$/i.exec(text)
  if (match === null || text === '') return undefined
  const [, d, h, m, s] = match
  const total =
    Number(d ?? 0) * seconds.d + Number(h ?? 0) * seconds.h + Number(m ?? 0) * seconds.m + Number(s ?? 0) * seconds.s
  return total * 1000
}

/** `480` → `8h`, the shortest exact form of a duration in milliseconds; `500ms` below a second. */
export function renderDuration(ms: number): string {
  if (ms % 1000 !== 0) return ms < 1000 ? `${Math.round(ms)}ms` : renderDuration(Math.round(ms / 1000) * 1000)
  let rest = ms / 1000
  let text = ''
  for (const [unit, size] of Object.entries(seconds)) {
    const count = Math.floor(rest / size)
    rest -= count * size
    if (count > 0) text += `${count}${unit}`
  }
  return text === '' ? '0s' : text
}

const binary = { K: 1024, M: 1024 ** 2, G: 1024 ** 3, T: 1024 ** 4 } as const

/** `32G`, `1.5G`, `2625M`, `512K`, `1T` in bytes, exact to the byte; undefined for anything else, a bare number included. */
export function parseMemoryBytes(text: string): number | undefined {
  const match = /^(\d{1,9}(?:\.\d{1,6})?)([KMGT])(?:i?B)?$/i.exec(text)
  if (match?.[1] === undefined || match[2] === undefined) return undefined
  const bytes = Number(match[1]) * binary[match[2].toUpperCase() as keyof typeof binary]
  return Number.isInteger(bytes) ? bytes : undefined
}

/** Bytes as `1.5 GB`-like text for people (powers of 1024). */
export function renderBytes(bytes: number): string {
  let value = bytes
  for (const unit of ['B', 'kB', 'MB', 'GB', 'TB']) {
    if (value < 1024 || unit === 'TB')
      return `${value < 10 && unit !== 'B' ? value.toFixed(1) : Math.round(value)} ${unit}`
    value /= 1024
  }
  return `${bytes} B`
}
