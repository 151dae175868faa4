/**
 * What the wrapper of a script writes while and after it runs, by single appends: the line `end` closes it, so a file without it tells
 * of a script that still runs or whose machine died. A POSIX shell reports a signal as 128 + n; only when it also printed its own word
 * for it ("Killed") between `start` and `rc` was it a signal and not the script's own exit code.
 */

export interface Exit {
  /** Exit code, or minus the number of the signal that ended the script. */
  readonly rc: number
  /** Forward-only clock of the machine, in milliseconds. */
  readonly startUptimeMs: number
  readonly endUptimeMs: number
  /** User and system time of the script and all it waited for; absent when the shell did not tell. */
  readonly cpuMs?: number
}

/** `0m1.250s` as printed by the shell's `times`, in milliseconds. */
function parseTimes(text: string): number | undefined {
  const match = /^(\d+)m(\d+(?:[.,]\d+)?)s$/.exec(text)
  if (match?.[1] === undefined || match[2] === undefined) return undefined
  return Number(match[1]) * 60_000 + Math.round(Number(match[2].replace(',', '.')) * 1000)
}

export function parseExitFile(text: string | undefined): Exit | undefined {
  if (text === undefined || !text.endsWith('\nend\n')) return undefined
  const start = /^start (\d+(?:\.\d+)?)$/m.exec(text)
  const end = /^rc (\d+) (\d+(?:\.\d+)?)\n([\s\S]*)end\n$/m.exec(text)
  if (start?.[1] === undefined || end?.[1] === undefined || end[2] === undefined) return undefined
  const code = Number(end[1])
  const said = text.slice(start.index + start[0].length, end.index).trim()
  const children = end[3]?.split('\n')[1]?.split(' ').map(parseTimes)
  const user = children?.[0]
  const system = children?.[1]
  return {
    rc: code > 128 && said !== '' ? 128 - code : code,
    startUptimeMs: Math.round(Number(start[1]) * 1000),
    endUptimeMs: Math.round(Number(end[2]) * 1000),
    ...(user !== undefined && system !== undefined ? { cpuMs: user + system } : {}),
  }
}

/**
 * The wrapper: one POSIX shell that outlives a killed runner. Arguments: script, its folder, stdout, stderr, exit file. Nothing in it
 * starts another process than the script itself, so it costs one fork. It outlives the signals that end the script (a trap that does
 * something is reset in the script, an ignored signal would not be), so that the exit is told even then. It is run from a file: given
 * with `-c`, bash keeps silent about the signal that ended a script.
 */
export const wrapperText = `exec 2>>"$5" || exit 125
trap : TERM INT HUP USR1 USR2
read -r up rest </proc/uptime || up=0
printf 'start %s\\n' "$up" >&2
cd -- "$2" && (exec "$1" >"$3" 2>"$4" </dev/null)
rc=$?
read -r up rest </proc/uptime || up=0
printf 'rc %s %s\\n' "$rc" "$up" >&2
times >&2
printf 'end\\n' >&2
`
