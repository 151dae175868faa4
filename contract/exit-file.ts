/**
 * What the launcher of a script writes while and after it runs, by single appends: the line `end` closes it, so a file without it tells
 * of a script that still runs or whose machine died. A shell reports a signal as 128 + n; only when it also printed its own word
 * for it ("Killed") between `start` and `rc` was it a signal and not the script's own exit code. The shell's `times` before `start` are
 * those of the scripts it started earlier. The line `far` has the times of a script that ran on another node.
 */

export interface Exit {
  /** Exit code, or minus the number of the signal that ended the script. */
  readonly rc: number
  /** Forward-only clock of the machine, in milliseconds. */
  readonly startUptimeMs: number
  readonly endUptimeMs: number
  /** User and system time of the script and all it waited for; absent when the shell did not tell. */
  readonly cpuMs?: number
  /** The script's process group; absent where the script had its shell's. */
  readonly group?: number
}

/** `0m1.250s` as printed by the shell's `times`, in milliseconds. */
function parseTimes(text: string): number | undefined {
  const match = /^(\d+)m(\d+(?:[.,]\d+)?)s$/.exec(text)
  if (match?.[1] === undefined || match[2] === undefined) return undefined
  return Number(match[1]) * 60_000 + Math.round(Number(match[2].replace(',', '.')) * 1000)
}

/** User and system time together. */
function sumMs(line = ''): number | undefined {
  const [user, system] = line.split(' ').map(parseTimes)
  return user === undefined || system === undefined ? undefined : user + system
}

/** Of the children, from what `times` printed: the shell's own line, then theirs. */
function childrenMs(printed: string | undefined): number | undefined {
  return sumMs(printed?.trim().split('\n').slice(1).at(-1))
}

/** Whether the launcher was told to go: that is written before the script is spawned. */
export function hasBegun(text: string | undefined): boolean {
  return text !== undefined && /^(?:group|start) /m.test(text)
}

export function parseExitFile(text: string | undefined): Exit | undefined {
  if (text === undefined || !text.endsWith('\nend\n')) return undefined
  const start = /^start (\d+(?:\.\d+)?)$/m.exec(text)
  if (start?.[1] === undefined) return undefined
  const before = text.slice(0, start.index)
  const after = text.slice(start.index + start[0].length)
  const end = /^rc (\d+) (\d+(?:\.\d+)?)\n([\s\S]*)end\n$/m.exec(after)
  if (end?.[1] === undefined || end[2] === undefined) return undefined
  const code = Number(end[1])
  const words = after.slice(0, end.index)
  const far = /^far .*$/m.exec(words)?.[0]
  const said = words.replace(far ?? '', '').trim()
  const group = /^group (\d+)$/m.exec(before)
  const cpuMs = far === undefined ? childrenMs(end[3]) : sumMs(far.slice('far '.length))
  const earlierMs = far === undefined ? (childrenMs(before.slice(0, group?.index ?? before.length)) ?? 0) : 0
  return {
    rc: code > 128 && said !== '' ? 128 - code : code,
    startUptimeMs: Math.round(Number(start[1]) * 1000),
    endUptimeMs: Math.round(Number(end[2]) * 1000),
    ...(cpuMs === undefined ? {} : { cpuMs: cpuMs - earlierMs }),
    ...(group?.[1] === undefined ? {} : { group: Number(group[1]) }),
  }
}
